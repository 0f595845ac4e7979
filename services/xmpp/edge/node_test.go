package edge

import (
	"crypto/tls"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// fakeNodes is the door of other nodes.
type fakeNodes struct {
	cfg   *tls.Config
	serve func(*tls.Conn)

	mu     sync.Mutex
	served int
}

func (n *fakeNodes) ServerTLS() *tls.Config { return n.cfg }

func (n *fakeNodes) Serve(c *tls.Conn) {
	n.mu.Lock()
	n.served++
	n.mu.Unlock()
	n.serve(c)
}

func startNodes(t *testing.T, limits Limits, serve func(*tls.Conn)) (*server, *fakeNodes) {
	n := &fakeNodes{serve: serve, cfg: &tls.Config{
		Certificates: []tls.Certificate{testAuthority().cert}, NextProtos: []string{alpnPeer}, MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAnyClientCert,
	}}
	return startWith(t, newLeader(), listenTCP(t), listenTCP(t), Config{Limits: limits}, n), n
}

func dialNode(t *testing.T, d dialer, protos ...string) (*tls.Conn, error) {
	t.Helper()
	raw, err := d.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(30 * time.Second))
	c := tls.Client(raw, &tls.Config{RootCAs: testAuthority().roots, ServerName: testDomain, NextProtos: protos,
		Certificates: []tls.Certificate{testAuthority().cert}})
	return c, c.Handshake()
}

// echoNode says back what it reads until the connection ends.
func echoNode(c *tls.Conn) { io.Copy(c, c); c.Close() }

func expectEcho(t *testing.T, c net.Conn) {
	t.Helper()
	buf := make([]byte, 4)
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "ping" {
		t.Fatalf("read %q, %v; want ping", buf, err)
	}
}

func TestNodes(t *testing.T) {
	limits := DefaultLimits()
	limits.StrangersPerAddress = 1
	limits.Auth = 2 * time.Second
	for _, tt := range []struct {
		name  string
		serve func(*tls.Conn)
	}{
		{"kept", echoNode},
		{"handed on", func(c *tls.Conn) { go echoNode(c) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, n := startNodes(t, limits, tt.serve)
			// Each but the last would be one stranger too many.
			var conns []*tls.Conn
			for range 3 {
				c, err := dialNode(t, s.clients, alpnPeer)
				if err != nil {
					t.Fatal(err)
				}
				if got := c.ConnectionState().NegotiatedProtocol; got != alpnPeer {
					t.Fatalf("protocol = %q; want %q", got, alpnPeer)
				}
				expectEcho(t, c)
				conns = append(conns, c)
			}
			// The time for strangers is no concern of theirs, nor the gate.
			s.Gate(false, elsewhere)
			time.Sleep(limits.Auth + 100*time.Millisecond)
			for _, c := range conns {
				expectEcho(t, c)
			}
			c, err := dialNode(t, s.clients, alpnPeer)
			if err != nil {
				t.Fatal(err)
			}
			expectEcho(t, c)
			s.Gate(true, nil)
			conns[0].Close()
			// They end with the listener.
			s.stop()
			for _, c := range conns[1:] {
				if n, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
					t.Errorf("read %d, %v after the shutdown; want the end", n, err)
				}
			}
			if n.served != 4 {
				t.Errorf("%d were served; want 4", n.served)
			}
		})
	}
}

// Clients are told apart from nodes by what they offer first, and on this port
// only.
func TestNoNodes(t *testing.T) {
	s, n := startNodes(t, Limits{}, echoNode)
	for _, protos := range [][]string{nil, {"xmpp-client"}, {"xmpp-client", alpnPeer}} {
		c, err := dialNode(t, s.clients, protos...)
		if err != nil {
			t.Errorf("%v: %v", protos, err)
			continue
		}
		want := ""
		if slices.Contains(protos, "xmpp-client") {
			want = "xmpp-client"
		}
		if got := c.ConnectionState().NegotiatedProtocol; got != want {
			t.Errorf("%v: protocol = %q; want %q", protos, got, want)
		}
		if err := dialogue(c, open(testDomain), "</stream:features>"); err != nil {
			t.Errorf("%v: %v", protos, err)
		}
	}
	if c, err := dialNode(t, s.components, alpnPeer); err == nil {
		if err := dialogue(c, openComponent("bridge.example.com"), "<stream:stream"); err != nil {
			t.Errorf("components' port: %v", err)
		}
	}
	login(t, s.clients, "x")
	if n.served != 0 {
		t.Errorf("%d clients were taken for nodes", n.served)
	}
	// Without a door for them there are none.
	alone := start(t, Limits{})
	if _, err := dialNode(t, alone.clients, alpnPeer); err == nil {
		t.Error("a node was let in where there is no door for it")
	}
}
