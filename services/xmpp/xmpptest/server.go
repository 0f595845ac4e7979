// Package xmpptest runs the real XMPP server in the process of a test, for
// packages whose counterpart it is. The tests of package xmpp itself cannot
// import it, and have a harness of their own.
package xmpptest

import (
	"context"
	"crypto/x509/pkix"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"parley/services/account"
	"parley/services/config"
	"parley/services/files"
	"parley/services/network/loopback"
	"parley/services/pki"
	"parley/services/xmpp"
	"parley/services/xmpp/xmppapi"
)

// limit is how long a server may take to lead, on a machine that does other
// things.
const limit = time.Minute

type silentAudit struct{}

func (silentAudit) Audit(_, _, _, _ string) error { return nil }

// Server is one on loopback, on its own. It can be killed and started again.
type Server struct {
	API *xmppapi.Client
	// Cert is its certificate's text, which it has signed itself.
	Cert []byte

	t     testing.TB
	paths config.Paths
	store *config.Store

	// addr is its own, at which it has the usual ports.
	addr  netip.Addr
	stop  context.CancelFunc
	ended chan error

	mu    sync.Mutex
	conns []net.Conn
}

// New starts a server of the domain, with these names in its certificate. It
// ends with the test.
func New(t testing.TB, domain string, names ...string) *Server {
	t.Helper()
	// t.TempDir has the test's name in it, and a socket's path is short.
	dir, err := os.MkdirTemp("", "xmpp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{t: t, paths: config.FolderPaths(dir), addr: loopback.Address()}
	s.store = config.NewStore(s.paths.Live())
	s.API = xmppapi.NewClient(s.paths.Socket("xmpp"))
	root := files.NewStore(files.Config{Dir: s.paths.Files(), State: dir}, files.Deps{Audit: silentAudit{}})
	if err := root.Prepare(); err != nil {
		t.Fatal(err)
	}
	a := pki.Attributes{Subject: pkix.Name{CommonName: names[0]}, DNS: names}
	if _, _, err := pki.SelfSigned(root, files.Who{Name: "admin", Role: account.Admin}, "one", a, pki.DefaultDays, time.Now()); err != nil {
		t.Fatal(err)
	}
	if s.Cert, err = os.ReadFile(filepath.Join(s.paths.Files(), "one.crt")); err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.End)
	if err := s.store.Transact(func(d *config.Document) error {
		d.XMPP = config.XMPP{Enabled: true, Domain: domain, Listen: []string{"a"}, Key: "one.key", Certificate: "one.crt"}
		return nil
	}, func() error { return s.API.Reload(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	return s
}

// Clients is where clients are served.
func (s *Server) Clients() netip.AddrPort { return netip.AddrPortFrom(s.addr, xmpp.ClientPort) }

// Components is where components are served.
func (s *Server) Components() netip.AddrPort { return netip.AddrPortFrom(s.addr, xmpp.ComponentPort) }

// Start runs the server until it leads.
func (s *Server) Start() {
	s.t.Helper()
	x := xmpp.New(xmpp.Config{Paths: s.paths, Group: -1, Version: "test"},
		xmpp.Deps{Config: s.store, Listen: s.listen, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(context.Background())
	s.stop, s.ended = stop, make(chan error, 1)
	go func() { s.ended <- x.Run(ctx) }()
	for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		st, err := s.API.Status(ctx)
		if err == nil && st.State == "LEADER" && st.Trouble == "" {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("the server does not lead: %+v, %v", st, err)
		}
	}
}

// End stops the server in order, if it runs.
func (s *Server) End() {
	if s.stop == nil {
		return
	}
	s.stop()
	s.stop = nil
	if err := <-s.ended; err != nil {
		s.t.Errorf("server ended with %v; want nil", err)
	}
}

// Kill breaks the connections, as the death of the process does, before the
// server can say a word.
func (s *Server) Kill() {
	s.mu.Lock()
	for _, c := range s.conns {
		if t, ok := c.(*net.TCPConn); ok {
			t.SetLinger(0)
		}
		c.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.End()
}

// User makes an account.
func (s *Server) User(name, password string) {
	s.t.Helper()
	if err := s.API.AddUser(s.t.Context(), xmppapi.Credential{Name: name, Password: password}); err != nil {
		s.t.Fatal(err)
	}
}

// Register makes a Call Bridge, with a new secret for "", and returns its
// secret.
func (s *Server) Register(name, secret string) string {
	s.t.Helper()
	b, err := s.API.AddCallBridge(s.t.Context(), name, secret)
	if err != nil {
		s.t.Fatal(err)
	}
	return b.Secret
}

// Connected says whether the server has a Call Bridge's connection.
func (s *Server) Connected(name string) bool {
	list, err := s.API.CallBridges(s.t.Context())
	if err != nil {
		return false
	}
	for _, b := range list {
		if b.Name == name {
			return b.Connected
		}
	}
	return false
}

// listen opens a door.
func (s *Server) listen(ctx context.Context, _ []string, port int) ([]net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(s.addr, uint16(port)).String())
	if err != nil {
		return nil, err
	}
	return []net.Listener{caught{l, s}}, nil
}

// caught keeps the connections of a listener, to break them.
type caught struct {
	net.Listener
	s *Server
}

// Accept implements net.Listener.
func (c caught) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.s.mu.Lock()
		c.s.conns = append(c.s.conns, conn)
		c.s.mu.Unlock()
	}
	return conn, err
}
