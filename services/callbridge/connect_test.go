package callbridge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/problem"
	"parley/services/xmpp/stream"
)

// TestMissingRecords is the article's first scenario.
func TestMissingRecords(t *testing.T) {
	inBubble(t, "", func(t *testing.T, b *bubble) {
		_, at := b.mesh.server("10.106.81.30:5223", &fake{})
		b.begin()
		want := []string{
			"No DNS A or AAAA records for _xmpp-component._tcp.tptac9.com",
			"XMPP connection dropped while session was live for reason 2",
			`XMPP component connection disconnected due to failure reason: "dns error"`,
		}
		if d := cmp.Diff(want, b.log.messages()); d != "" {
			t.Errorf("events (-want +got):\n%s", d)
		}
		f := b.log.fault()
		if f.Message != "XMPP connection to '' failed" || !strings.Contains(f.Hint, "NXDOMAIN, from 10.0.0.53") || !strings.Contains(f.Hint, "dns add rr _xmpp-component._tcp.tptac9.com. 86400 IN SRV 0 0 5223") {
			t.Errorf("fault %+v; want the article's, with what was asked and the command", f)
		}
		b.want(callbridgeapi.Failed, "failed to connect due to dns error (0 seconds ago)")
		pass(10 * time.Minute)
		n := len(b.log.messages())
		// By now a round follows the other after 64 s, more or less.
		pass(640 * time.Second)
		if rounds := (len(b.log.messages()) - n) / len(want); rounds < 9 || rounds > 11 {
			t.Errorf("%d rounds in 640 s; want about 10", rounds)
		}
		b.zone.set(srv(0, "cb1.tptac9.com", at))
		pass(70 * time.Second)
		if got := b.log.messages(); !slices.Contains(got, "No DNS A or AAAA records for cb1.tptac9.com") {
			t.Errorf("events %q; want one of the server without an address", got)
		}
		if h := b.log.fault().Hint; !strings.Contains(h, "asked for A cb1.tptac9.com: NXDOMAIN") {
			t.Errorf("hint %q; want what was asked now", h)
		}
		b.zone.set(srv(0, "cb1.tptac9.com", at), a("cb1.tptac9.com", at))
		pass(70 * time.Second)
		if s := b.now(); s.State != callbridgeapi.Connected || s.Server != "cb1.tptac9.com" || s.Reason != "" {
			t.Errorf("status %+v; want connected to cb1.tptac9.com, no failure any more", s)
		}
		if f := b.log.fault(); f.Key != "" {
			t.Errorf("fault %+v; want none", f)
		}
	})
}

func TestNoNameServer(t *testing.T) {
	inBubble(t, "", func(t *testing.T, b *bubble) {
		b.zone.err = problem.New(problem.NoNameServer, "name", question(domain))
		b.begin()
		s := b.now()
		if s.Reason != callbridgeapi.DNSError || !strings.Contains(s.Detail, "no name server is known") || !strings.Contains(s.Hint, "dns add forwardzone") {
			t.Errorf("status %+v; want the resolver's problem and its fix", s)
		}
	})
}

// TestRounds: 1 s doubling to 64 s, an eighth of it by chance.
func TestRounds(t *testing.T) {
	inBubble(t, "10.106.81.30", func(t *testing.T, b *bubble) {
		b.begin()
		pass(5 * time.Minute)
		calls := b.mesh.calls()
		want := time.Second
		for i := range calls[1:] {
			got := calls[i+1].at.Sub(calls[i].at)
			if got < want-want/16 || got >= want+want/16 {
				t.Errorf("pause %d = %v; want about %v", i, got, want)
			}
			want = min(2*want, 64*time.Second)
		}
		if len(calls) < 9 {
			t.Errorf("%d tries in 5 minutes; want 9 or more", len(calls))
		}
		b.want(callbridgeapi.Failed, fmt.Sprintf("failed to connect to 10.106.81.30 due to connection failure (%s ago)", duration(time.Since(b.now().FailedAt))))
		if f := b.log.fault(); f.Message != "XMPP connection to '10.106.81.30' failed" || !strings.Contains(f.Hint, "connection refused") {
			t.Errorf("fault %+v; want one that names the server", f)
		}
		if m := b.log.messages()[0]; m != `XMPP component connection disconnected due to failure reason: "connection failure"` {
			t.Errorf("first event %q; want that alone", m)
		}
		b.Restart(t.Context())
		synctest.Wait()
		if n := len(b.mesh.calls()); n != len(calls)+1 {
			t.Errorf("%d tries; want one at once by a restart, %d", n, len(calls)+1)
		}
	})
}

// TestNextTarget: all servers and all their addresses, at once; then, on the
// loss of the one, the others first.
func TestNextTarget(t *testing.T) {
	inBubble(t, "", func(t *testing.T, b *bubble) {
		dead1, dead2 := netip.MustParseAddrPort("10.0.0.1:5223"), netip.MustParseAddrPort("10.0.0.2:5223")
		dead6 := netip.MustParseAddrPort("[2001:db8::2]:5223")
		_, good := b.mesh.server("10.0.0.3:5223", &fake{})
		spare, last := b.mesh.server("10.0.0.4:5223", &fake{})
		b.zone.set(srv(0, "cb1."+domain, dead1), a("cb1."+domain, dead1), a("cb1."+domain, dead2), "cb1."+domain+". 60 IN AAAA 2001:db8::2",
			srv(10, "cb2."+domain, good), a("cb2."+domain, good), srv(20, "cb3."+domain, last), a("cb3."+domain, last))
		b.begin()
		var order []netip.AddrPort
		for _, c := range b.mesh.calls() {
			order = append(order, c.addr)
		}
		if d := cmp.Diff([]netip.AddrPort{dead1, dead2, dead6, good}, order, cmp.Comparer(func(x, y netip.AddrPort) bool { return x == y })); d != "" {
			t.Errorf("dialled (-want +got):\n%s", d)
		}
		b.want(callbridgeapi.Connected, "connected to cb2.tptac9.com (secure) for 0 seconds")
		pass(time.Minute)
		b.mesh.gone(good)
		synctest.Wait()
		b.want(callbridgeapi.Connected, "connected to cb3.tptac9.com (secure) for 0 seconds")
		if got := b.now().Reason; got != callbridgeapi.ConnectionFailure {
			t.Errorf("reason %q; want that of the loss, until the new connection lasts", got)
		}
		pass(lasting)
		if got := b.now().Reason; got != "" {
			t.Errorf("reason %q; want none any more", got)
		}
		if f := b.log.fault(); f.Key != "" {
			t.Errorf("fault %+v; want none for a connection that is made anew at once", f)
		}
		want := []string{
			"XMPP component connection established to cb2.tptac9.com:5223 (10.0.0.3)",
			"XMPP connection dropped while session was live for reason 1",
			`XMPP component connection disconnected due to failure reason: "connection failure"`,
			"XMPP component connection established to cb3.tptac9.com:5223 (10.0.0.4)",
		}
		if d := cmp.Diff(want, b.log.messages()); d != "" {
			t.Errorf("events (-want +got):\n%s", d)
		}
		spare.now(func() {
			if len(spare.conns) != 1 {
				t.Errorf("%d connections; want one", len(spare.conns))
			}
		})
	})
}

func TestOwnServerIsLocalhost(t *testing.T) {
	inBubble(t, "localhost", func(t *testing.T, b *bubble) {
		f, at := b.mesh.server("10.106.81.30:5223", &fake{refuses: stream.NotAuthorized})
		b.own = []netip.Addr{at.Addr()}
		b.begin()
		pass(500 * time.Millisecond)
		b.want(callbridgeapi.Failed, "failed to connect to localhost due to authentication failure (0 seconds ago)")
		if f := b.log.fault(); f.Message != "XMPP connection to 'localhost' failed" || !strings.Contains(f.Hint, "'xmpp callbridge list'") {
			t.Errorf("fault %+v; want that of the secret", f)
		}
		f.now(func() { f.refuses = "" })
		b.Restart(t.Context())
		synctest.Wait()
		pass(62 * time.Second)
		b.want(callbridgeapi.Connected, "connected to localhost (secure) for 1 minute, 2 seconds")
	})
}

// TestSilence of a server that does not acknowledge.
func TestSilence(t *testing.T) {
	inBubble(t, "", func(t *testing.T, b *bubble) {
		f, at := b.mesh.server("10.0.0.1:5223", &fake{plain: true})
		_, next := b.mesh.server("10.0.0.2:5223", &fake{})
		b.zone.set(srv(0, "cb1."+domain, at), a("cb1."+domain, at), srv(1, "cb2."+domain, next), a("cb2."+domain, next))
		b.begin()
		pass(time.Hour)
		b.want(callbridgeapi.Connected, "connected to cb1.tptac9.com (secure) for 1 hour, 0 minutes, 0 seconds")
		f.now(func() {
			if f.pings != 360 {
				t.Errorf("%d pings in an hour; want one each 10 s", f.pings)
			}
			f.mute = true
		})
		pass(19 * time.Second)
		b.want(callbridgeapi.Connected, "connected to cb1.tptac9.com (secure) for 1 hour, 0 minutes, 19 seconds")
		pass(2 * time.Second)
		if s := b.now(); s.State != callbridgeapi.Connected || s.Server != "cb2.tptac9.com" {
			t.Errorf("status %+v; want the other server 20 s after the last word of the first", s)
		}
	})
}

// TestSilentServer: one that takes connections and says nothing costs a few
// seconds, and another one is taken.
func TestSilentServer(t *testing.T) {
	inBubble(t, "", func(t *testing.T, b *bubble) {
		_, at := b.mesh.server("10.0.0.1:5223", &fake{silent: true})
		_, next := b.mesh.server("10.0.0.2:5223", &fake{})
		b.zone.set(srv(0, "cb1."+domain, at), a("cb1."+domain, at), srv(1, "cb2."+domain, next), a("cb2."+domain, next))
		b.begin()
		b.want(callbridgeapi.Connecting, "connecting")
		pass(negotiationTime)
		b.want(callbridgeapi.Connected, "connected to cb2.tptac9.com (secure) for 0 seconds")
	})
}

// TestRestartMeanwhile gives up each part of the way.
func TestRestartMeanwhile(t *testing.T) {
	inBubble(t, "", func(t *testing.T, b *bubble) {
		_, at := b.mesh.server("10.0.0.1:5223", &fake{silent: true})
		b.zone.set(srv(0, "cb1."+domain, at), a("cb1."+domain, at))
		b.begin()
		for range 3 {
			b.Restart(t.Context())
			synctest.Wait()
		}
		if n := len(b.mesh.calls()); n != 4 {
			t.Errorf("%d tries; want one for each restart and the first", n)
		}
		if got := b.log.messages(); len(got) > 0 {
			t.Errorf("events %q; want none of what was given up", got)
		}
		b.mesh.gone(at)
		b.mesh.server("10.0.0.1:5223", &fake{})
		b.Restart(t.Context())
		synctest.Wait()
		b.want(callbridgeapi.Connected, "connected to cb1.tptac9.com (secure) for 0 seconds")
		b.Restart(t.Context())
		synctest.Wait()
		b.want(callbridgeapi.Connected, "connected to cb1.tptac9.com (secure) for 0 seconds")
		if n := len(b.mesh.calls()); n != 6 {
			t.Errorf("%d tries; want one more for each restart", n)
		}
	})
}

// TestConflictBacksOff: two bridges of one name must not take the place from
// each other without end.
func TestConflictBacksOff(t *testing.T) {
	inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
		b.mesh.server("10.0.0.1:5223", &fake{words: []string{"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"}})
		b.begin()
		pass(5 * time.Minute)
		if n := len(b.mesh.calls()); n < 8 || n > 11 {
			t.Errorf("%d connections in 5 minutes; want those of the back-off, about 9", n)
		}
		if s := b.now(); !strings.Contains(s.Detail, "another Call Bridge has connected as cb1") {
			t.Errorf("detail %q; want the other bridge named", s.Detail)
		}
	})
}

func TestRequestsAreAnswered(t *testing.T) {
	inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
		f, _ := b.mesh.server("10.0.0.1:5223", &fake{words: []string{
			"<iq type='get' id='1' from='ada@tptac9.com/x' to='cb1.tptac9.com'><ping xmlns='urn:xmpp:ping'/></iq>",
			"<iq type='get' id='2' from='ada@tptac9.com/x' to='cb1.tptac9.com'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
			"<iq type='set' id='3' from='ada@tptac9.com/x' to='cb1.tptac9.com'><query xmlns='jabber:iq:roster'/></iq>",
			"<message id='4' from='ada@tptac9.com/x' to='cb1.tptac9.com'><body>hello</body></message>",
			"<iq type='result' id='5' from='tptac9.com' to='cb1.tptac9.com'/>",
		}})
		b.begin()
		pass(time.Second)
		got := f.answers()
		for _, want := range []string{"type='result' id='1'", "type='result' id='2'", "category='component'", "type='error' id='3'"} {
			if strings.Count(got, want) != 1 {
				t.Errorf("answers %s; want %q once", got, want)
			}
		}
		if strings.Contains(got, "id='4'") || strings.Contains(got, "id='5'") {
			t.Errorf("answers %s; want none to a message or a result", got)
		}
	})
}

func TestPace(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lived []time.Duration
		want  []time.Duration
	}{
		{"never connected", []time.Duration{0, 0, 0, 0, 0, 0, 0, 0}, []time.Duration{1, 2, 4, 8, 16, 32, 64, 64}},
		{"lost after a while", []time.Duration{time.Hour, lasting, lasting}, []time.Duration{0, 0, 0}},
		{"lost at once, again and again", []time.Duration{1, 1, 1, lasting}, []time.Duration{0, 1, 1, 0}},
		{"all lost", []time.Duration{time.Hour, 0, 0, time.Hour, 0}, []time.Duration{0, 1, 2, 0, 1}},
		{"lost while others fail", []time.Duration{0, 0, 1, 0}, []time.Duration{1, 2, 0, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p pace
			for i, lived := range tt.lived {
				want := tt.want[i] * time.Second
				if got := p.next(lived, false); got < want-want/16 || got > want+want/16 {
					t.Errorf("next %d = %v; want about %v", i, got, want)
				}
			}
		})
	}
}
