package callbridge

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"parley/services/xmpp/xmpptest"
)

const domain = "tptac9.com"

// shortDir is a folder whose path leaves room for a socket's name.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// server is the real XMPP server, in this process.
type server struct {
	*xmpptest.Server
	// cert is its certificate's text.
	cert []byte
	// addr is where components are served, clients where clients are.
	addr, clients netip.AddrPort
}

// newServer starts one for the domain, with the names in its certificate.
func newServer(t testing.TB, names ...string) *server {
	t.Helper()
	s := xmpptest.New(t, domain, names...)
	return &server{s, s.Cert, s.Components(), s.Clients()}
}

func (s *server) register(name, secret string) string { return s.Register(name, secret) }

func (s *server) connected(name string) bool { return s.Connected(name) }

func (s *server) kill() { s.Kill() }

func (s *server) start() { s.Start() }

// await waits for a condition.
func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
