package callbridge

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
	"parley/services/pki"
	"parley/services/xmpp"
	"parley/services/xmpp/xmppapi"
)

const domain = "tptac9.com"

type silentAudit struct{}

func (silentAudit) Audit(_, _, _, _ string) error { return nil }

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

// server is the real XMPP server, in this process. It can be killed and
// started again.
type server struct {
	t     testing.TB
	paths config.Paths
	store *config.Store
	api   *xmppapi.Client
	// cert is its certificate's text.
	cert []byte

	mu sync.Mutex
	// addr is where components are served; it stays. clients is where clients
	// are.
	addr, clients netip.AddrPort
	stop          context.CancelFunc
	ended         chan error
	conns         []net.Conn
}

// newServer starts one for the domain, with the names in its certificate.
func newServer(t testing.TB, names ...string) *server {
	t.Helper()
	dir := shortDir(t)
	s := &server{t: t, paths: config.FolderPaths(dir)}
	s.store = config.NewStore(s.paths.Live())
	s.api = xmppapi.NewClient(s.paths.Socket("xmpp"))
	root := files.NewStore(files.Config{Dir: s.paths.Files(), State: dir}, files.Deps{Audit: silentAudit{}})
	if err := root.Prepare(); err != nil {
		t.Fatal(err)
	}
	a := pki.Attributes{Subject: pkix.Name{CommonName: names[0]}, DNS: names}
	if _, _, err := pki.SelfSigned(root, files.Who{Name: "admin", Role: account.Admin}, "one", a, pki.DefaultDays, time.Now()); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.cert, err = os.ReadFile(filepath.Join(s.paths.Files(), "one.crt")); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(s.end)
	if err := s.store.Transact(func(d *config.Document) error {
		d.XMPP = config.XMPP{Enabled: true, Domain: domain, Listen: []string{"a"}, Key: "one.key", Certificate: "one.crt"}
		return nil
	}, func() error { return s.api.Reload(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	return s
}

// caught keeps the connections of a listener, to break them.
type caught struct {
	net.Listener
	s *server
}

func (c caught) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.s.mu.Lock()
		c.s.conns = append(c.s.conns, conn)
		c.s.mu.Unlock()
	}
	return conn, err
}

func (s *server) listen(ctx context.Context, _ []string, port int) ([]net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := "127.0.0.1:0"
	if port == xmpp.ComponentPort && s.addr.IsValid() {
		at = s.addr.String()
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	if port == xmpp.ComponentPort {
		s.addr = l.Addr().(*net.TCPAddr).AddrPort()
		l = caught{l, s}
	} else {
		s.clients = l.Addr().(*net.TCPAddr).AddrPort()
	}
	return []net.Listener{l}, nil
}

func (s *server) start() {
	s.t.Helper()
	x := xmpp.New(xmpp.Config{Paths: s.paths, Group: -1, Version: "test"},
		xmpp.Deps{Config: s.store, Listen: s.listen, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(context.Background())
	s.stop, s.ended = stop, make(chan error, 1)
	go func() { s.ended <- x.Run(ctx) }()
	await(s.t, "a leader", func() bool {
		st, err := s.api.Status(ctx)
		return err == nil && st.State == "LEADER" && st.Trouble == ""
	})
}

// end stops the server in order.
func (s *server) end() {
	if s.stop == nil {
		return
	}
	s.stop()
	s.stop = nil
	if err := <-s.ended; err != nil {
		s.t.Errorf("server ended with %v; want nil", err)
	}
}

// kill breaks the connections, as the death of the machine's process does,
// before the server can say a word.
func (s *server) kill() {
	s.mu.Lock()
	for _, c := range s.conns {
		if t, ok := c.(*net.TCPConn); ok {
			t.SetLinger(0)
		}
		c.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.end()
}

// register makes a Call Bridge and returns its secret.
func (s *server) register(name, secret string) string {
	s.t.Helper()
	cb, err := s.api.AddCallBridge(s.t.Context(), name, secret)
	if err != nil {
		s.t.Fatal(err)
	}
	return cb.Secret
}

// connected says whether the server has a Call Bridge's connection.
func (s *server) connected(name string) bool {
	list, err := s.api.CallBridges(s.t.Context())
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

// await waits for a condition.
func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
