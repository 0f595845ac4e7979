package edge

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

func TestLoginStartTLS(t *testing.T) {
	s := start(t, Limits{})
	c := dial(t, s.clients)
	c.startTLS()
	c.listen(stanza.NSClient)
	c.send(open(testDomain))
	if h := c.header(); h.From != testDomain || h.Version != "1.0" || h.ID == "" {
		t.Errorf("header = %+v", h)
	}
	f := c.expect(stanza.NSStreams, "features")
	var offered []string
	for _, m := range f.Child(nsSASL, "mechanisms").Children() {
		offered = append(offered, m.Text())
	}
	want := []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"}
	if !cmp.Equal(offered, want) {
		t.Errorf("mechanisms = %v; want %v", offered, want)
	}
	if b := f.Child(nsBindings, "sasl-channel-binding"); b == nil || b.First().Attr("type") != "tls-exporter" {
		t.Errorf("features = %s; want tls-exporter", f)
	}
	c.send(plain("ada", "pencil"))
	c.expect(nsSASL, "success")
	c.send(open(testDomain))
	c.header()
	f = c.expect(stanza.NSStreams, "features")
	if f.Child(nsBind, "bind") == nil || f.Child(stanza.NSSM, "sm") == nil {
		t.Errorf("features = %s; want bind and sm", f)
	}
	c.send("<iq type='set' id='b'><bind xmlns='" + nsBind + "'/></iq>")
	if e := c.next(); e.Child(nsBind, "bind").First().Text() != "ada@example.com/generated" {
		t.Errorf("bind = %s", e)
	}
	c.send(message("1"))
	ls := s.leader.session(t, 0)
	s.leader.waitFor(t, "the message", func() bool { return len(ls.sent) == 1 && ls.sent[0].Attr("id") == "1" })
	s.leader.deliver(ls, stanza.New(stanza.NSClient, "message", "id", "in"), 7)
	if e := c.next(); e.Attr("id") != "in" {
		t.Errorf("received %s; want the delivery", e)
	}
	s.leader.waitFor(t, "the item", func() bool { return ls.delivered == 1 })
	c.send("</stream:stream>")
	if got := c.expectEnd(); got != "" {
		t.Errorf("stream error %s at a clean close", got)
	}
	s.leader.waitFor(t, "the close", func() bool { return ls.closed })
}

// TestNegotiationFaults sends what is wrong before there is a session.
func TestNegotiationFaults(t *testing.T) {
	s := start(t, Limits{})
	badAuth := func(mechanism, text string) string {
		return "<auth xmlns='" + nsSASL + "' mechanism='" + mechanism + "'>" + text + "</auth>"
	}
	scramFirst := base64.StdEncoding.EncodeToString([]byte("n,,n=ada,r=x"))
	for _, tt := range []struct {
		name string
		// stage is where send comes: raw, clear, secure or authenticated.
		stage, send, want string
	}{
		{"not XML", "raw", "GET / HTTP/1.1\r\n\r\n", "bad-format"},
		{"DTD", "raw", "<!DOCTYPE x>", "restricted-xml"},
		{"wrong host", "raw", open("example.org"), "host-unknown"},
		{"no host", "raw", open(""), "host-unknown"},
		{"old version", "raw", strings.Replace(open(testDomain), " version='1.0' to=", " to=", 1), "unsupported-version"},
		{"wrong namespace", "raw", strings.Replace(open(testDomain), "jabber:client", "jabber:server", 1), "invalid-namespace"},
		{"wrong prefix", "raw", strings.ReplaceAll(open(testDomain), "stream:", "s:"), "not-well-formed"},
		{"other encoding", "raw", strings.Replace(open(testDomain), "'?>", "' encoding='UTF-16'?>", 1), "unsupported-encoding"},
		{"huge header", "raw", open(strings.Repeat("x", 20<<10)), "policy-violation"},
		{"stanza in the clear", "clear", message("1"), "not-authorized"},
		{"authentication in the clear", "clear", plain("ada", "pencil"), "policy-violation"},
		{"bytes after starttls", "clear", "<starttls xmlns='" + nsTLS + "'/>" + open(testDomain), "policy-violation"},
		{"malformed", "clear", "<a></b>", "not-well-formed"},
		{"stanza before authentication", "secure", message("1"), "not-authorized"},
		{"bind before authentication", "secure", "<iq type='set'><bind xmlns='" + nsBind + "'/></iq>", "not-authorized"},
		{"starttls twice", "secure", "<starttls xmlns='" + nsTLS + "'/>", "not-authorized"},
		{"three wrong passwords", "secure", strings.Repeat(plain("ada", "x"), 3), "policy-violation"},
		{"three unknown users", "secure", strings.Repeat(plain("eve", "x"), 3), "policy-violation"},
		{"ten unknown mechanisms", "secure", strings.Repeat(badAuth("X", "="), 10), "policy-violation"},
		{"ten aborts", "secure", strings.Repeat(badAuth("SCRAM-SHA-1", scramFirst)+"<abort xmlns='"+nsSASL+"'/>", 10), "policy-violation"},
		{"ten times no base64", "secure", strings.Repeat(badAuth("PLAIN", "%"), 10), "policy-violation"},
		{"ten unfinished exchanges", "secure", strings.Repeat(badAuth("SCRAM-SHA-1", scramFirst)+"<presence/>", 10), "policy-violation"},
		{"huge stanza", "secure", "<auth xmlns='" + nsSASL + "'>" + strings.Repeat("x", 20<<10), "policy-violation"},
		{"stanza before binding", "authenticated", message("1"), "not-authorized"},
		{"authentication twice", "authenticated", plain("ada", "pencil"), "not-authorized"},
		{"close", "secure", "</stream:stream>", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var c *client
			switch tt.stage {
			case "raw":
				c = dial(t, s.clients)
				c.listen(stanza.NSClient)
			case "clear":
				c = dial(t, s.clients)
				c.listen(stanza.NSClient)
				c.send(open(testDomain))
				c.header()
			case "secure":
				c, _ = secure(t, s.clients)
			default:
				c = authenticated(t, s.clients)
			}
			c.send(tt.send)
			if tt.stage == "raw" {
				c.header()
			}
			if got := c.expectEnd(); got != tt.want {
				t.Errorf("stream error = %q; want %q", got, tt.want)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	s := start(t, Limits{})
	for _, tt := range []struct{ name, send, want string }{
		{"wrong password", plain("ada", "x"), "not-authorized"},
		{"unknown user", plain("eve", "x"), "not-authorized"},
		{"unknown mechanism", "<auth xmlns='" + nsSASL + "' mechanism='X'/>", "invalid-mechanism"},
		{"no base64", "<auth xmlns='" + nsSASL + "' mechanism='PLAIN'>%</auth>", "incorrect-encoding"},
		{"empty", "<auth xmlns='" + nsSASL + "' mechanism='PLAIN'>=</auth>", "malformed-request"},
		{"other authzid", "<auth xmlns='" + nsSASL + "' mechanism='PLAIN'>" +
			base64.StdEncoding.EncodeToString([]byte("bob@example.com\x00ada\x00pencil")) + "</auth>", "invalid-authzid"},
		{"abort", "<auth xmlns='" + nsSASL + "' mechanism='PLAIN'/><abort xmlns='" + nsSASL + "'/>", "aborted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := secure(t, s.clients)
			c.send(tt.send)
			e := c.next()
			if e.Is(nsSASL, "challenge") {
				e = c.next()
			}
			if !e.Is(nsSASL, "failure") || e.First().Name.Local != tt.want {
				t.Errorf("received %s; want failure %s", e, tt.want)
			}
			// The stream goes on.
			c.send(plain("ada", "pencil"))
			c.expect(nsSASL, "success")
		})
	}
}

func TestBind(t *testing.T) {
	s := start(t, Limits{})
	s.leader.onOpen = func(_ context.Context, o link.Open) error {
		if o.Resource == "taken" {
			return &link.Refusal{Condition: stanza.Conflict}
		}
		return nil
	}
	s.leader.opened = func(ls *fakeSession) {
		switch ls.open.Resource {
		case "early":
			s.leader.deliver(ls, stanza.New(stanza.NSClient, "presence"), 0)
		case "doomed":
			s.leader.end(ls, "conflict")
		}
	}
	bind := func(resource string) string {
		return "<iq type='set' id='b'><bind xmlns='" + nsBind + "'><resource>" + resource + "</resource></bind></iq>"
	}
	t.Run("refused, then allowed", func(t *testing.T) {
		c := authenticated(t, s.clients)
		c.send(bind("taken"))
		if e := c.next(); e.Attr("type") != "error" || !contains(e, "<conflict") {
			t.Errorf("received %s; want conflict", e)
		}
		c.send("<resume xmlns='urn:xmpp:sm:3' h='0' previd='x'/>")
		if e := c.expect(stanza.NSSM, "failed"); !contains(e, "<item-not-found") {
			t.Errorf("received %s; want item-not-found", e)
		}
		c.send(bind("phone"))
		if e := c.next(); !contains(e, ">ada@example.com/phone<") {
			t.Errorf("received %s; want the full JID", e)
		}
		c.send("<resume xmlns='urn:xmpp:sm:3' h='0' previd='x'/>")
		if e := c.expect(stanza.NSSM, "failed"); !contains(e, "<unexpected-request") {
			t.Errorf("received %s; want unexpected-request", e)
		}
	})
	t.Run("delivery before the answer", func(t *testing.T) {
		c := authenticated(t, s.clients)
		c.send(bind("early"))
		c.expect(stanza.NSClient, "iq")
		c.expect(stanza.NSClient, "presence")
	})
	t.Run("ended before the answer", func(t *testing.T) {
		c := authenticated(t, s.clients)
		c.send(bind("doomed"))
		c.expect(stanza.NSClient, "iq")
		if got := c.expectEnd(); got != "conflict" {
			t.Errorf("stream error = %q; want conflict", got)
		}
	})
}

// TestSessionFaults sends what is wrong in a session.
func TestSessionFaults(t *testing.T) {
	s := start(t, Limits{})
	for _, tt := range []struct{ name, send, want string }{
		{"foreign from", "<message from='bob@example.com'/>", "invalid-from"},
		{"malformed from", "<message from='@'/>", "invalid-from"},
		{"other resource", "<message from='ada@example.com/other'/>", "invalid-from"},
		{"own from", "<message from='ada@example.com/x'/></stream:stream>", ""},
		{"bare from", "<message from='ada@example.com'/></stream:stream>", ""},
		{"unknown stanza", "<letter/>", "unsupported-stanza-type"},
		{"foreign namespace", "<message xmlns='jabber:server'/>", "unsupported-stanza-type"},
		{"ack without enable", "<r xmlns='urn:xmpp:sm:3'/>", "unsupported-stanza-type"},
		{"malformed", "<message><body></message>", "not-well-formed"},
		{"comment", "<!-- -->", "restricted-xml"},
		{"too long", "<message><body>" + strings.Repeat("x", 300<<10), "policy-violation"},
		{"too deep", strings.Repeat("<message>", 100), "policy-violation"},
		{"ack too high", "<enable xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='1'/>", "undefined-condition"},
		{"ack without count", "<enable xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3'/>", "bad-format"},
		{"stream error", "<stream:error/>", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := login(t, s.clients, "x")
			c.try(tt.send)
			if got := c.expectEnd(); got != tt.want {
				t.Errorf("stream error = %q; want %q", got, tt.want)
			}
		})
	}
}

func TestStreamLangIsTheStanzas(t *testing.T) {
	s := start(t, Limits{})
	c, _ := secure(t, s.clients)
	c.send(plain("ada", "pencil"))
	c.expect(nsSASL, "success")
	c.send(strings.Replace(open(testDomain), " to=", " xml:lang='de' to=", 1))
	c.header()
	c.next()
	c.send("<iq type='set' id='b'><bind xmlns='" + nsBind + "'/></iq><message id='1'/><message id='2' xml:lang='fr'/>")
	ls := s.leader.session(t, 0)
	s.leader.waitFor(t, "two messages", func() bool { return len(ls.sent) == 2 })
	for i, want := range []string{"de", "fr"} {
		if got := ls.sent[i]; !contains(got, "xml:lang='"+want+"'") {
			t.Errorf("message %d = %s; want xml:lang %s", i, got, want)
		}
	}
}

func TestLeaderEndsSession(t *testing.T) {
	s := start(t, Limits{})
	c := login(t, s.clients, "x")
	ls := s.leader.session(t, 0)
	s.leader.end(ls, "conflict")
	if got := c.expectEnd(); got != "conflict" {
		t.Errorf("stream error = %q; want conflict", got)
	}
	c.try("</stream:stream>")
	c.conn.Close()
	s.stop()
	if ls.closed {
		t.Error("Close was called for a session that the leader has ended")
	}
}

func TestShutdown(t *testing.T) {
	s := start(t, Limits{})
	bound := login(t, s.clients, "x")
	unbound, _ := secure(t, s.clients)
	bare := dial(t, s.clients)
	bare.listen(stanza.NSClient)
	bare.send(open(testDomain))
	bare.header()
	bare.next()
	bound.send("<enable xmlns='urn:xmpp:sm:3'/>")
	bound.expect(stanza.NSSM, "enabled")
	ls := s.leader.session(t, 0)
	s.leader.deliver(ls, stanza.New(stanza.NSClient, "message"), 3)
	bound.expect(stanza.NSClient, "message")
	done := make(chan struct{})
	go func() { s.stop(); close(done) }()
	for _, c := range []*client{bound, unbound, bare} {
		if got := c.expectEnd(); got != "system-shutdown" {
			t.Errorf("stream error = %q; want system-shutdown", got)
		}
		// An acknowledgement on the way out counts.
		c.try("<a xmlns='urn:xmpp:sm:3' h='1'/></stream:stream>")
		c.conn.Close()
	}
	<-done
	if !ls.closed || ls.delivered != 1 {
		t.Errorf("after the shutdown: closed %v, delivered %v; want true, 1", ls.closed, ls.delivered)
	}
	if _, err := s.clients.dial(); err == nil {
		t.Error("the port is open after the shutdown")
	}
}
