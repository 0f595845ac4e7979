package edge

import (
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parley/services/xmpp/link"
	"parley/services/xmpp/realclient"
	"parley/services/xmpp/stanza"
)

// echo has the fake leader answer as much as real clients need: empty results
// for their IQs, and their messages back.
func (l *fakeLeader) echo(s *fakeSession, _ uint64, e *stanza.Element) {
	var answer *stanza.Element
	switch kind := e.Attr("type"); {
	case e.Name.Local == "iq" && (kind == "get" || kind == "set"):
		answer = stanza.Result(e)
		if q := e.First(); q != nil && kind == "get" {
			answer.Add(stanza.New(q.Name.Space, q.Name.Local))
		}
	case e.Name.Local == "message" && kind != "error":
		answer = stanza.New(stanza.NSClient, "message", "type", kind, "id", e.Attr("id"), "from", e.Attr("to"), "to", s.jid.String())
		answer.Nodes = e.Nodes
	default:
		return
	}
	item := link.Item(0)
	if answer.Name.Local == "message" {
		item = 1
	}
	l.deliver(s, answer, item)
}

func hostPort(t *testing.T, l net.Listener) (string, int) {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return host, n
}

// oldTLS has the server speak TLS 1.2, where there is tls-unique, the only
// binding that slixmpp knows.
func oldTLS(e *Edge) { e.clientTLS.MaxVersion = tls.VersionTLS12 }

// TestRealClients logs in libraries that we did not write, and has a message go
// round.
func TestRealClients(t *testing.T) {
	for _, tt := range []struct {
		name    string
		library realclient.Library
		direct  bool
		// mechanism is what the client is told to use, used what it does.
		mechanism, used string
		tune            []func(*Edge)
	}{
		{"slixmpp", realclient.Slixmpp, false, "", "PLAIN", nil},
		{"slixmpp TLS 1.2", realclient.Slixmpp, false, "", "SCRAM-SHA-256-PLUS", []func(*Edge){oldTLS}},
		{"slixmpp TLS 1.2 direct, SHA-1-PLUS", realclient.Slixmpp, true, "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1-PLUS", []func(*Edge){oldTLS}},
		{"aioxmpp", realclient.Aioxmpp, false, "", "", nil},
		{"aioxmpp direct TLS", realclient.Aioxmpp, true, "", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, Limits{}, tt.tune...)
			s.leader.onSend = s.leader.echo
			host, port := hostPort(t, s.clients)
			c := realclient.Start(t, realclient.Config{
				Library: tt.library, JID: "ada@" + testDomain, Password: "pencil", Host: host, Port: port, CA: caFile(t),
				DirectTLS: tt.direct, Mechanism: tt.mechanism,
			})
			if e := c.AwaitKind("connected"); e.Mechanism != tt.used {
				t.Errorf("mechanism = %s; want %s", e.Mechanism, tt.used)
			}
			c.Do("send", "bob@"+testDomain, "hello", "m1")
			c.Await("the echo", func(e realclient.Event) bool { return e.Event == "message" && e.Body == "hello" })
			ls := s.leader.session(t, 0)
			s.leader.waitFor(t, "the delivery", func() bool { return ls.delivered > 0 })
			c.Do("quit")
			s.leader.waitFor(t, "the close", func() bool { return ls.closed })
			// slixmpp asks now and then only, so this may come at the close.
			c.Await("the acknowledgement", func(e realclient.Event) bool { return e.Event == "acked" && e.ID == "m1" })
		})
	}
}

// TestRealClientsResume has the libraries resume their sessions on another node
// when one goes down, or their connection breaks. What was on its way in either
// direction arrives, and once.
func TestRealClientsResume(t *testing.T) {
	for _, library := range []realclient.Library{realclient.Slixmpp, realclient.Aioxmpp} {
		t.Run(string(library), func(t *testing.T) {
			l := newLeader()
			l.onSend = func(s *fakeSession, seq uint64, e *stanza.Element) {
				if e.Name.Local == "iq" {
					l.echo(s, seq, e)
				}
			}
			a := startWith(t, l, listenTCP(t), listenTCP(t), Config{}, nil)
			b := startWith(t, l, listenTCP(t), listenTCP(t), Config{}, nil)
			host, port := hostPort(t, a.clients)
			c := realclient.Start(t, realclient.Config{
				Library: library, JID: "ada@" + testDomain, Password: "pencil", Host: host, Port: port, CA: caFile(t),
				Others: []string{b.clients.Addr().String()},
			})
			c.AwaitKind("connected")
			ls := l.session(t, 0)
			l.waitFor(t, "that it may be resumed", func() bool { return ls.enable.Keep > 0 })
			stanzas := func(id string) (n int) {
				l.mu.Lock()
				defer l.mu.Unlock()
				for _, e := range ls.sent {
					if e.Attr("id") == id {
						n++
					}
				}
				return n
			}
			resumed := func() int { return c.Count(func(e realclient.Event) bool { return e.Event == "resumed" }) }
			for i := range 4 {
				id := strconv.Itoa(i)
				// Not confirmed, and so sent again.
				l.mu.Lock()
				l.confirm = false
				l.mu.Unlock()
				c.Do("send", "bob@"+testDomain, "hello", "m"+id)
				l.waitFor(t, "the message", func() bool { return ls.sent[len(ls.sent)-1].Attr("id") == "m"+id })
				l.mu.Lock()
				again := ls.repeated
				l.mu.Unlock()
				if i%2 == 0 {
					c.Do("drop")
				} else {
					l.mu.Lock()
					edge := ls.edge
					l.mu.Unlock()
					edge.(*Edge).breakAll()
				}
				l.waitFor(t, "the session detached", func() bool { return ls.detached })
				l.mu.Lock()
				l.confirm = true
				l.mu.Unlock()
				l.deliver(ls, stanza.New(stanza.NSClient, "message", "type", "chat", "from", "bob@"+testDomain+"/x", "id", "d"+id).Add(
					stanza.New(stanza.NSClient, "body").AddText("while away")), link.Item(i+1))
				c.Await("the resumption", func(realclient.Event) bool { return resumed() == i+1 })
				c.Await("the delivery", func(e realclient.Event) bool { return e.Event == "message" && e.ID == "d"+id })
				l.waitFor(t, "its acknowledgement", func() bool { return ls.delivered == ls.last })
				l.waitFor(t, "the message again", func() bool { return ls.repeated > again })
				c.Await("the message acknowledged", func(e realclient.Event) bool { return e.Event == "acked" && e.ID == "m"+id })
				if n := stanzas("m" + id); n != 1 {
					t.Errorf("message m%s was taken %d times; want once", id, n)
				}
			}
			if got := len(c.IDs("message")); got != 4 {
				t.Errorf("%d messages received; want 4", got)
			}
			c.Do("quit")
			l.waitFor(t, "the close", func() bool { return ls.closed })
		})
	}
}

// breakAll closes the connections of all sessions.
func (e *Edge) breakAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for d := range e.doors {
		d.each(func(p *peer) { p.wire.Conn.Close() })
	}
}

// TestGoSendxmpp sends with a client of another family, which ends each element
// with a line feed, <starttls/> included.
func TestGoSendxmpp(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
	}{{"STARTTLS", nil}, {"direct TLS", []string{"-t"}}} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, Limits{})
			s.leader.onSend = s.leader.echo
			c := exec.Command("go-sendxmpp", append(tt.args, "-u", "ada@"+testDomain, "-p", "pencil", "-j", s.clients.Addr().String(), "bob@"+testDomain)...)
			c.Env = append(os.Environ(), "SSL_CERT_FILE="+caFile(t), "HOME="+t.TempDir())
			c.Stdin = strings.NewReader("hello\n")
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("go-sendxmpp: %v\n%s", err, out)
			}
			ls := s.leader.session(t, 0)
			s.leader.waitFor(t, "the message", func() bool {
				return slices.ContainsFunc(ls.sent, func(e *stanza.Element) bool { return e.Name.Local == "message" && contains(e, ">hello") })
			})
		})
	}
}

func TestRealClientWrongPassword(t *testing.T) {
	s := start(t, Limits{})
	host, port := hostPort(t, s.clients)
	c := realclient.Start(t, realclient.Config{Library: realclient.Slixmpp, JID: "ada@" + testDomain, Password: "wrong", Host: host, Port: port, CA: caFile(t)})
	if e := c.AwaitKind("failed"); e.Reason != "auth" {
		t.Errorf("failed for %s; want auth", e.Reason)
	}
}

// TestRealComponent has slixmpp be a component: let in with the secret, and
// refused with another.
func TestRealComponent(t *testing.T) {
	s := start(t, Limits{})
	s.leader.onSend = s.leader.echo
	host, port := hostPort(t, s.components)
	run := func(t *testing.T, secret string) *realclient.Client {
		return realclient.Start(t, realclient.Config{Library: realclient.Slixmpp, JID: "bridge." + testDomain, Password: secret,
			Host: host, Port: port, CA: caFile(t), Component: true})
	}
	t.Run("secret", func(t *testing.T) {
		c := run(t, "s3cret")
		c.AwaitKind("connected")
		c.Do("send", "ada@"+testDomain, "hello", "m1")
		c.Await("the echo", func(e realclient.Event) bool { return e.Event == "message" && e.Body == "hello" })
		c.Do("quit")
		ls := s.leader.session(t, 0)
		s.leader.waitFor(t, "the close", func() bool { return ls.closed })
	})
	t.Run("wrong secret", func(t *testing.T) {
		c := run(t, "secret")
		if e := c.AwaitKind("stream-error"); e.Condition != "not-authorized" {
			t.Errorf("stream error = %s; want not-authorized", e.Condition)
		}
	})
}
