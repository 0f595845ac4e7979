package callbridge

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/problem"
	"parley/services/xmpp/stream"
)

// bubble is a bridge in a mesh, without its control socket, which would keep
// the bubble's time from passing.
type bubble struct {
	*world
	mesh *mesh
}

func inBubble(t *testing.T, server string, f func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		link := config.BridgeLink{Name: "cb1", Domain: domain, Server: server, Secret: "kvgP1SRzWVabhi01Ab1"}
		b := &bubble{newWorld(t, link, m.ca.pem), m}
		b.deps.Dial = m.dial
		f(t, b)
	})
}

// begin is what Run would do but for the control socket.
func (b *bubble) begin() {
	ctx, stop := context.WithCancel(context.Background())
	d, err := b.store.Load()
	if err != nil {
		b.t.Fatal(err)
	}
	b.conf = d.CallBridge
	done := make(chan struct{}, 3)
	go func() { b.keep(ctx); done <- struct{}{} }()
	go func() { b.reporter.run(ctx); done <- struct{}{} }()
	go func() { b.twins.run(ctx); done <- struct{}{} }()
	b.t.Cleanup(func() {
		stop()
		<-done
		<-done
		<-done
	})
	synctest.Wait()
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bubble) want(state callbridgeapi.State, row string) {
	b.t.Helper()
	if s := b.now(); s.State != state || s.XMPPRow != row {
		b.t.Errorf("status %q, row %q (%s); want %q, %q", s.State, s.XMPPRow, s.Detail, state, row)
	}
}

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

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		condition stream.Condition
		reason    callbridgeapi.Reason
		hint      string
	}{
		{stream.NotAuthorized, callbridgeapi.AuthenticationFailure, "callbridge xmpp secret"},
		{stream.HostUnknown, callbridgeapi.AuthenticationFailure, "xmpp callbridge add-secret cb1"},
		{stream.Conflict, callbridgeapi.ServiceUnavailable, "callbridge xmpp name"},
		{stream.SystemShutdown, callbridgeapi.ServiceUnavailable, "callbridge restart"},
		{stream.SeeOtherHost, callbridgeapi.ServiceUnavailable, "xmpp cluster status"},
		{stream.RemoteConnectionFailed, callbridgeapi.ServiceUnavailable, "xmpp cluster status"},
		{stream.InvalidNamespace, callbridgeapi.ServiceUnavailable, "5223"},
	} {
		t.Run(string(tt.condition), func(t *testing.T) {
			inBubble(t, "", func(t *testing.T, b *bubble) {
				_, at := b.mesh.server("10.0.0.1:5223", &fake{refuses: tt.condition})
				_, good := b.mesh.server("10.0.0.2:5223", &fake{})
				b.zone.set(srv(0, "cb1."+domain, at), a("cb1."+domain, at))
				b.begin()
				if s := b.now(); s.State != callbridgeapi.Failed || s.Reason != tt.reason || !strings.Contains(s.Hint, tt.hint) {
					t.Errorf("status %+v; want %q and the command %q", s, tt.reason, tt.hint)
				}
				b.zone.set(srv(0, "cb1."+domain, at), a("cb1."+domain, at), srv(1, "cb2."+domain, good), a("cb2."+domain, good))
				pass(2 * time.Second)
				b.want(callbridgeapi.Connected, b.now().XMPPRow)
			})
		})
	}
}

// TestSentElsewhere: a server that names another is told with it, and where it is
// the only one by configuration, with the command that takes the other.
func TestSentElsewhere(t *testing.T) {
	for _, tt := range []struct{ name, server, command string }{
		{"one server", "10.0.0.1", "callbridge xmpp server 10.0.0.9"},
		{"by the DNS", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.server, func(t *testing.T, b *bubble) {
				_, at := b.mesh.server("10.0.0.1:5223", &fake{refuses: stream.SeeOtherHost})
				b.zone.set(srv(0, "cb1."+domain, at), a("cb1."+domain, at))
				b.begin()
				s := b.now()
				if !strings.Contains(s.Detail, "names another: 10.0.0.9") {
					t.Errorf("Detail = %q; want the other server", s.Detail)
				}
				if got := strings.Contains(s.Hint, "callbridge xmpp server"); got != (tt.command != "") || !strings.Contains(s.Hint, tt.command) {
					t.Errorf("Hint = %q; want the command %q", s.Hint, tt.command)
				}
			})
		})
	}
}

func TestClientPortIsNamed(t *testing.T) {
	inBubble(t, "", func(t *testing.T, b *bubble) {
		_, at := b.mesh.server("10.0.0.1:5222", &fake{refuses: stream.InvalidNamespace})
		b.zone.set(srv(0, "cb1."+domain, at), a("cb1."+domain, at))
		b.begin()
		if s := b.now(); !strings.Contains(s.Hint, "SRV points to 5222, the client port") {
			t.Errorf("hint %q; want that of the client port", s.Hint)
		}
	})
}

func TestGivenClientPortIsNamed(t *testing.T) {
	inBubble(t, "10.0.0.1:5222", func(t *testing.T, b *bubble) {
		b.mesh.server("10.0.0.1:5222", &fake{refuses: stream.InvalidNamespace})
		b.begin()
		if s := b.now(); strings.Contains(s.Hint, "SRV") || !strings.Contains(s.Hint, "correct 'callbridge xmpp server'") {
			t.Errorf("hint %q; want the setting that has the client port", s.Hint)
		}
	})
}

// TestWorseFailureIsTold: a server that refuses says more than one that is down.
func TestWorseFailureIsTold(t *testing.T) {
	inBubble(t, "", func(t *testing.T, b *bubble) {
		down := netip.MustParseAddrPort("10.0.0.1:5223")
		_, at := b.mesh.server("10.0.0.2:5223", &fake{refuses: stream.NotAuthorized})
		b.zone.set(srv(0, "cb1."+domain, down), a("cb1."+domain, down), srv(1, "cb2."+domain, at), a("cb2."+domain, at), srv(2, "cb3."+domain, down))
		b.begin()
		b.want(callbridgeapi.Failed, "failed to connect to cb2.tptac9.com due to authentication failure (0 seconds ago)")
		want := []string{
			"No DNS A or AAAA records for cb3.tptac9.com",
			`XMPP component connection disconnected due to failure reason: "authentication failure"`,
		}
		if d := cmp.Diff(want, b.log.messages()); d != "" {
			t.Errorf("events (-want +got):\n%s", d)
		}
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

// TestFailureOfBefore: while a connection is made, what failed by other settings, or
// before a connection that has lasted, is not told any more.
func TestFailureOfBefore(t *testing.T) {
	for _, tt := range []struct {
		name string
		// change is done after a failure.
		change func(b *bubble)
		told   bool
	}{
		{"another try", func(b *bubble) { b.Restart(b.t.Context()) }, true},
		{"other settings", func(b *bubble) {
			if err := b.change(func(c *config.CallBridge) { c.XMPP.Name = "cb2" }); err != nil {
				b.t.Fatal(err)
			}
		}, false},
		{"after a connection", func(b *bubble) {
			b.mesh.server("10.0.0.1:5223", &fake{})
			b.Restart(b.t.Context())
			pass(lasting)
			b.want(callbridgeapi.Connected, "connected to 10.0.0.1 (secure) for 2 seconds")
			b.mesh.server("10.0.0.1:5223", &fake{silent: true})
			b.Restart(b.t.Context())
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
				b.begin()
				b.want(callbridgeapi.Failed, "failed to connect to 10.0.0.1 due to connection failure (0 seconds ago)")
				b.mesh.server("10.0.0.1:5223", &fake{silent: true})
				tt.change(b)
				synctest.Wait()
				s := b.now()
				if told := s.Reason != ""; s.State != callbridgeapi.Connecting || told != tt.told {
					t.Errorf("status %+v; want connecting, and the failure told: %v", s, tt.told)
				}
			})
		})
	}
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

// TestForgetfulEventLog: a condition that lasts is raised again.
func TestForgetfulEventLog(t *testing.T) {
	inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
		b.begin()
		b.log.Drop(t.Context(), faultKey)
		pass(remindEvery)
		if b.log.fault().Key == "" {
			t.Error("no fault; want the one that was lost")
		}
	})
}

// TestDeafEventLog: what it does not take is told later, in order; the
// connection does not wait.
func TestDeafEventLog(t *testing.T) {
	inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
		b.log.hear(true)
		b.begin()
		pass(2 * time.Second)
		b.mesh.server("10.0.0.1:5223", &fake{})
		pass(10 * time.Second)
		b.want(callbridgeapi.Connected, b.now().XMPPRow)
		b.log.hear(false)
		pass(reportAgain)
		got := b.log.messages()
		if len(got) < 2 || got[0] != `XMPP component connection disconnected due to failure reason: "connection failure"` || got[len(got)-1] != "XMPP component connection established to 10.0.0.1:5223 (10.0.0.1)" {
			t.Errorf("events %q; want all, in order", got)
		}
		if f := b.log.fault(); f.Key != "" {
			t.Errorf("fault %+v; want none", f)
		}
	})
}

// TestEventLogThatStarts: one that does not answer at first is no news, one that
// goes on so is told of once.
func TestEventLogThatStarts(t *testing.T) {
	for _, tt := range []struct {
		name string
		deaf time.Duration
		want int
	}{
		{"starting", deafAfter - reportAgain, 0},
		{"silent", 10 * deafAfter, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
				b.mesh.server("10.0.0.1:5223", &fake{})
				var lines bytes.Buffer
				b.reporter.log = slog.New(slog.NewTextHandler(&lines, nil))
				b.log.hear(true)
				b.begin()
				pass(tt.deaf)
				b.log.hear(false)
				pass(time.Minute)
				if got := strings.Count(lines.String(), "the event log does not answer"); got != tt.want {
					t.Errorf("%d warnings after %v; want %d\n%s", got, tt.deaf, tt.want, &lines)
				}
			})
		})
	}
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
