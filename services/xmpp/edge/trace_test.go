package edge

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"parley/services/xmpp/stanza"
)

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// TestTrace: in detail, the log names stanzas, and nothing that they hold.
func TestTrace(t *testing.T) {
	log := &lines{}
	s := start(t, Limits{}, func(e *Edge) {
		e.log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	c := login(t, s.clients, "phone")
	ls := s.leader.session(t, 0)
	c.send("<message type='chat' id='m1' to='bob@example.com'><body>hidden words</body></message>" +
		"<iq type='set' id='i1'><query xmlns='jabber:iq:register'><password>hidden words</password></query></iq>")
	s.leader.waitFor(t, "the stanzas", func() bool { return len(ls.sent) == 2 })
	s.leader.deliver(ls, stanza.New(stanza.NSClient, "message", "from", "bob@example.com/x", "to", "ada@example.com").Add(
		stanza.New(stanza.NSClient, "body").AddText("hidden words")), 1)
	c.next()
	c.send("<presence id='" + strings.Repeat("x", 1000) + "'/><message from='eve@example.com'/>")
	if got := c.expectEnd(); got != "invalid-from" {
		t.Errorf("the stream ended with %q; want invalid-from", got)
	}
	s.stop()
	got := log.String()
	full := ls.jid.String()
	for _, want := range []string{
		`msg="stanza in" session=` + full + ` name=message type=chat id=m1 to=bob@example.com`,
		`msg="stanza in" session=` + full + ` name=iq type=set id=i1 of="jabber:iq:register query"`,
		`msg="stanza out" session=` + full + ` name=message from=bob@example.com/x to=ada@example.com`,
		`name=presence id=` + strings.Repeat("x", 200) + "…",
		`name=message from=eve@example.com`,
		`msg="stream error out" session=` + full + ` condition=invalid-from`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the log has no %q:\n%s", want, got)
		}
	}
	for _, secret := range []string{"hidden", "pencil"} {
		if strings.Contains(got, secret) {
			t.Errorf("the log has %q, which is nobody's business:\n%s", secret, got)
		}
	}
}

// TestTracedStreamErrorOfThePeer: its last word is named as well.
func TestTracedStreamErrorOfThePeer(t *testing.T) {
	log := &lines{}
	s := start(t, Limits{}, func(e *Edge) {
		e.log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	c := login(t, s.clients, "phone")
	c.send("<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
	c.expectEnd()
	s.stop()
	if got := log.String(); !strings.Contains(got, `msg="stream error in"`) || !strings.Contains(got, "condition=reset") {
		t.Errorf("the log does not name the peer's error:\n%s", got)
	}
}
