package edge

import (
	"context"
	"crypto/sha1"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

func openComponent(to string) string {
	return "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='" + to + "'>"
}

func handshake(id, secret string) string {
	return fmt.Sprintf("<handshake>%x</handshake>", sha1.Sum([]byte(id+secret)))
}

// component is an accepted one.
func component(t *testing.T, s *server) *client {
	t.Helper()
	c := dial(t, s.components)
	c.directTLS()
	c.listen(stanza.NSComponent)
	c.send(openComponent("bridge.example.com"))
	h := c.header()
	if h.From != "bridge.example.com" || h.Version != "" {
		t.Errorf("header = %+v; want from bridge.example.com and no version", h)
	}
	c.send(handshake(h.ID, "s3cret"))
	if e := c.expect(stanza.NSClient, "handshake"); len(e.Nodes) > 0 {
		t.Errorf("answer = %s; want an empty handshake", e)
	}
	return c
}

func TestComponent(t *testing.T) {
	s := start(t, Limits{})
	c := component(t, s)
	ls := s.leader.session(t, 0)
	if ls.open.Kind != link.Component || ls.jid.String() != "bridge.example.com" {
		t.Errorf("opened %+v", ls.open)
	}
	c.send("<message from='x@bridge.example.com' to='ada@example.com'><body>hi</body></message>")
	s.leader.waitFor(t, "the message", func() bool { return len(ls.sent) == 1 })
	if e := ls.sent[0]; !e.Is(stanza.NSClient, "message") || e.Child(stanza.NSClient, "body") == nil {
		t.Errorf("sent %s; want it in %s", e, stanza.NSClient)
	}
	s.leader.deliver(ls, stanza.New(stanza.NSClient, "message", "to", "bridge.example.com").Add(
		stanza.New(stanza.NSClient, "body").AddText("back")), 5)
	// The scanner of this stream gives NSComponent as NSClient.
	if e := c.expect(stanza.NSClient, "message"); e.Child(stanza.NSClient, "body") == nil {
		t.Errorf("delivered %s; want the body in the stanza's namespace", e)
	}
	s.leader.waitFor(t, "the item", func() bool { return ls.delivered == 1 })
	c.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence from='bridge.example.com' to='ada@example.com'/><r xmlns='urn:xmpp:sm:3'/>")
	if e := c.expect(stanza.NSSM, "enabled"); e.Attr("resume") != "" || e.Attr("id") != "" {
		t.Errorf("received %s; want no resumption", e)
	}
	if e := c.expect(stanza.NSSM, "a"); e.Attr("h") != "1" {
		t.Errorf("received %s; want h=1", e)
	}
	c.send("</stream:stream>")
	if got := c.expectEnd(); got != "" {
		t.Errorf("stream error %s at a clean close", got)
	}
	s.leader.waitFor(t, "the close", func() bool { return ls.closed })
}

// TestComponentIsWaitedFor: the leader is told that the connection is gone, and
// not that the session is over.
func TestComponentIsWaitedFor(t *testing.T) {
	s := start(t, Limits{})
	c := component(t, s)
	c.conn.Close()
	ls := s.leader.session(t, 0)
	s.leader.waitFor(t, "the detachment", func() bool { return ls.detached || ls.closed })
	if ls.closed {
		t.Error("a component that lost its connection was closed; want it detached")
	}
}

func TestComponentFaults(t *testing.T) {
	s := start(t, Limits{})
	s.leader.onOpen = func(context.Context, link.Open) error { return nil }
	secure := func(t *testing.T) *client {
		c := dial(t, s.components)
		c.directTLS()
		c.listen(stanza.NSComponent)
		return c
	}
	for _, tt := range []struct{ name, to, want string }{
		{"unknown name", "other.example.com", "host-unknown"},
		{"the domain itself", "example.com", "host-unknown"},
		{"foreign domain", "bridge.example.org", "host-unknown"},
		{"suffix without dot", "bridgeexample.com", "host-unknown"},
		{"empty name", ".example.com", "host-unknown"},
		{"an account", "x@bridge.example.com", "host-unknown"},
		{"none", "", "host-unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := secure(t)
			c.send(openComponent(tt.to))
			c.header()
			if got := c.expectEnd(); got != tt.want {
				t.Errorf("stream error = %q; want %q", got, tt.want)
			}
		})
	}
	for _, tt := range []struct {
		name string
		send func(id string) string
		want string
	}{
		{"wrong secret", func(id string) string { return handshake(id, "secret") }, "not-authorized"},
		{"empty secret", func(id string) string { return handshake(id, "") }, "not-authorized"},
		{"empty handshake", func(string) string { return "<handshake/>" }, "not-authorized"},
		{"stanza before the handshake", func(string) string { return "<message from='bridge.example.com' to='x'/>" }, "not-authorized"},
		{"no from", func(id string) string { return handshake(id, "s3cret") + "<message to='ada@example.com'/>" }, "invalid-from"},
		{"foreign from", func(id string) string {
			return handshake(id, "s3cret") + "<message from='x@example.com' to='ada@example.com'/>"
		}, "invalid-from"},
		{"from of a subdomain", func(id string) string {
			return handshake(id, "s3cret") + "<message from='x.bridge.example.com' to='ada@example.com'/>"
		}, "invalid-from"},
		{"upper case digest", func(id string) string {
			return strings.Replace(strings.ToUpper(handshake(id, "s3cret")), "HANDSHAKE", "handshake", 2) + "</stream:stream>"
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := secure(t)
			c.send(openComponent("bridge.example.com"))
			c.send(tt.send(c.header().ID))
			if got := c.expectEnd(); got != tt.want {
				t.Errorf("stream error = %q; want %q", got, tt.want)
			}
		})
	}
	t.Run("refused by the leader", func(t *testing.T) {
		s := start(t, Limits{})
		s.leader.onOpen = func(context.Context, link.Open) error { return &link.Refusal{Condition: stanza.Conflict} }
		c := dial(t, s.components)
		c.directTLS()
		c.listen(stanza.NSComponent)
		c.send(openComponent("bridge.example.com"))
		c.send(handshake(c.header().ID, "s3cret"))
		if got := c.expectEnd(); got != "conflict" {
			t.Errorf("stream error = %q; want conflict", got)
		}
	})
	t.Run("client's stream", func(t *testing.T) {
		c := secure(t)
		c.send(open("bridge.example.com"))
		c.header()
		if got := c.expectEnd(); got != "invalid-namespace" {
			t.Errorf("stream error = %q; want invalid-namespace", got)
		}
	})
	t.Run("without TLS", func(t *testing.T) {
		c := dial(t, s.components)
		c.listen(stanza.NSComponent)
		c.send(openComponent("bridge.example.com"))
		c.header()
		if got := c.expectEnd(); got != "policy-violation" {
			t.Errorf("stream error = %q; want policy-violation", got)
		}
	})
}

// TestComponentSeesThatTheNodeLives: what it asks for is answered at once, and
// when its window is full it is poked, whether the leader does anything or not.
func TestComponentSeesThatTheNodeLives(t *testing.T) {
	s := start(t, Limits{})
	s.leader.confirm = false
	c := component(t, s)
	ls := s.leader.session(t, 0)
	const message, question = "<message from='bridge.example.com' to='ada@example.com'/>", "<r xmlns='urn:xmpp:sm:3'/>"
	count := func(want string) {
		t.Helper()
		if e := c.expect(stanza.NSSM, "a"); e.Attr("h") != want {
			t.Errorf("received %s; want h=%s", e, want)
		}
	}
	c.send("<enable xmlns='urn:xmpp:sm:3'/>" + question)
	c.expect(stanza.NSSM, "enabled")
	count("0")
	begun := time.Now()
	for range 3 {
		c.send(message + question)
		count("0")
	}
	if took := time.Since(begun); took > s.limits.Ack/2 {
		t.Errorf("three answers took %v; want them at once, and not after %v", took, s.limits.Ack)
	}
	s.leader.confirmTo(ls, 3)
	for range 3 {
		// It is told when the rest is confirmed, too.
		count("3")
	}
	go c.try(strings.Repeat(message, s.limits.Window))
	c.expect(stanza.NSSM, "r")
	c.send("<a xmlns='urn:xmpp:sm:3' h='0'/>")
	c.expect(stanza.NSSM, "r")
}
