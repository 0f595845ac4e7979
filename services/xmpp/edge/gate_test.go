package edge

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

var elsewhere = &stream.Error{Condition: seeOtherHost, Text: "192.0.2.7:5222"}

func TestGate(t *testing.T) {
	s := start(t, Limits{})
	bound := login(t, s.clients, "x")
	unbound := authenticated(t, s.clients)
	bridge := component(t, s)
	expectElsewhere := func(name string, c *client) {
		t.Helper()
		e := c.next()
		if got := e.Child(nsStreamErrors, "see-other-host"); got == nil || got.Text() != elsewhere.Text {
			t.Errorf("%s: received %s; want see-other-host", name, e)
		}
		if got := c.expectEnd(); got != "" {
			t.Errorf("%s: a second stream error, %s", name, got)
		}
		c.raw.Close()
	}
	s.Gate(false, elsewhere)
	expectElsewhere("session", bound)
	expectElsewhere("component", bridge)
	unbound.send("<iq type='set' id='b'><bind xmlns='" + nsBind + "'/></iq>")
	expectElsewhere("bind", unbound)

	clear := dial(t, s.clients)
	clear.listen(stanza.NSClient)
	clear.send(open(testDomain))
	clear.header()
	expectElsewhere("before TLS", clear)
	direct := dial(t, s.clients)
	direct.directTLS()
	direct.listen(stanza.NSClient)
	direct.send(open(testDomain))
	direct.header()
	expectElsewhere("after TLS", direct)
	bridge = dial(t, s.components)
	bridge.directTLS()
	bridge.listen(stanza.NSComponent)
	bridge.send(openComponent("bridge.example.com"))
	bridge.header()
	expectElsewhere("new component", bridge)

	s.Gate(false, &stream.Error{Condition: "remote-connection-failed"})
	clear = dial(t, s.clients)
	clear.listen(stanza.NSClient)
	clear.send(open(testDomain))
	clear.header()
	if got := clear.expectEnd(); got != "remote-connection-failed" {
		t.Errorf("stream error = %q; want remote-connection-failed", got)
	}
	s.Gate(true, nil)
	login(t, s.clients, "x")
	component(t, s)
}

// Who waits for a leader is turned away at once.
func TestGateWhileOpening(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, s *server) {
		s.leader.onOpen = func(ctx context.Context, _ link.Open) error { <-ctx.Done(); return ctx.Err() }
		c := authenticated(t, s.clients)
		c.send("<iq type='set' id='b'><bind xmlns='" + nsBind + "'/></iq>")
		synctest.Wait()
		if n := s.strangersNow(); n != 0 {
			t.Errorf("%d strangers; who waits for a leader has authenticated", n)
		}
		begin := time.Now()
		s.Gate(false, elsewhere)
		if got := c.expectEnd(); got != "see-other-host" {
			t.Errorf("stream error = %q; want see-other-host", got)
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("turned away after %v; want at once", d)
		}
	})
}
