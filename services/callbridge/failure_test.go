package callbridge

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/xmpp/stream"
)

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
