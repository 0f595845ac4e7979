package xmpp

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/services/account"
	"parley/services/config"
	"parley/services/files"
	"parley/services/pki"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

// world is a server on loopback: interface a works, b cannot be listened on.
type world struct {
	t *testing.T
	*Server
	store *config.Store
	files *files.Store
	// addrs are the client doors that are open, or were.
	addrs []string
}

var errNoB = problem.New(problem.ListenFailed, "interface", "b", "address", "b", "detail", "test")

type silent struct{}

func (silent) Audit(_, _, _, _ string) error { return nil }

func newWorld(t *testing.T) *world {
	t.Helper()
	// A socket's path is short.
	dir, err := os.MkdirTemp("", "xmpp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	paths := config.FolderPaths(dir)
	w := &world{t: t, store: config.NewStore(paths.Live())}
	w.files = files.NewStore(files.Config{Dir: paths.Files(), State: dir}, files.Deps{Audit: silent{}})
	if err := w.files.Prepare(); err != nil {
		t.Fatal(err)
	}
	w.Server = New(Config{Paths: paths, Group: -1, Version: "test"}, Deps{Config: w.store, Listen: w.listen, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	})
	await(t, "it to lead", func() error {
		st, err := xmppapi.NewClient(paths.Socket("xmpp")).Status(t.Context())
		if err == nil && st.State != "LEADER" {
			err = errors.New(st.State)
		}
		return err
	})
	return w
}

func (w *world) listen(_ context.Context, ifaces []string, port int) ([]net.Listener, error) {
	if slices.Contains(ifaces, "b") {
		return nil, errNoB
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil && port == ClientPort {
		w.addrs = append(w.addrs, l.Addr().String())
	}
	return []net.Listener{l}, err
}

// certificate makes name.key and name.crt.
func (w *world) certificate(name string) {
	w.t.Helper()
	who := files.Who{Name: "admin", Role: account.Admin}
	a := pki.Attributes{Subject: pkix.Name{CommonName: "example.com"}, DNS: []string{"example.com"}}
	if _, _, err := pki.SelfSigned(w.files, who, name, a, pki.DefaultDays, time.Now()); err != nil {
		w.t.Fatal(err)
	}
}

// configure changes live.json and has it taken.
func (w *world) configure(change func(*config.XMPP)) error {
	return w.store.Transact(func(d *config.Document) error {
		change(&d.XMPP)
		return nil
	}, func() error { return w.Reload(w.t.Context()) })
}

func (w *world) open() {
	w.t.Helper()
	w.certificate("one")
	if err := w.configure(func(x *config.XMPP) {
		*x = config.XMPP{Enabled: true, Domain: "example.com", Listen: []string{"a"}, Key: "one.key", Certificate: "one.crt"}
	}); err != nil {
		w.t.Fatal(err)
	}
}

// dial opens a client's connection on the newest door by direct TLS, and
// returns it with the serial number of the certificate that it was shown.
func (w *world) dial() (*tls.Conn, string) {
	w.t.Helper()
	c, err := tls.Dial("tcp", w.addrs[len(w.addrs)-1], &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"xmpp-client"}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c, c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func TestNewCertificateClosesNoDoor(t *testing.T) {
	w := newWorld(t)
	w.open()
	old, first := w.dial()
	w.certificate("two")
	if err := w.configure(func(x *config.XMPP) { x.Key, x.Certificate = "two.key", "two.crt" }); err != nil {
		t.Fatal(err)
	}
	if _, second := w.dial(); second == first {
		t.Error("a new connection is shown the old certificate")
	}
	if _, err := old.Write([]byte("<?xml version='1.0'?><stream:stream to='example.com' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")); err != nil {
		t.Fatal(err)
	}
	if n, err := old.Read(make([]byte, 1024)); n == 0 {
		t.Errorf("the old connection answered %v; want a stream header", err)
	}
}

func TestRefusedReloadLeavesTheDoorsAsTheyWere(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*config.XMPP)
		want   problem.Code
	}{
		{"interface that cannot be listened on", func(x *config.XMPP) { x.Listen = []string{"a", "b"} }, problem.ListenFailed},
		{"certificate that is not there", func(x *config.XMPP) { x.Certificate = "absent.crt" }, problem.FileUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.open()
			if err := w.configure(tt.change); problem.CodeOf(err) != tt.want {
				t.Errorf("Reload = %v; want %s", err, tt.want)
			}
			w.dial()
			st, err := w.Status(t.Context())
			if err != nil || !st.Running || !slices.Equal(st.Addresses, []string{"a:5222", "a:5223"}) {
				t.Errorf("Status = %+v, %v; want the old doors", st, err)
			}
		})
	}
}

func TestDisableShutsTheDoorsNotTheStore(t *testing.T) {
	w := newWorld(t)
	w.open()
	if err := w.configure(func(x *config.XMPP) { x.Enabled = false }); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", w.addrs[0]); err == nil {
		c.Close()
		t.Error("the client door is open after disable")
	}
	if _, err := w.AddCallBridge(t.Context(), "cb1", ""); err != nil {
		t.Errorf("AddCallBridge with shut doors = %v; want nil", err)
	}
}

func TestResetForgetsTheStoreAndGoesOn(t *testing.T) {
	w := newWorld(t)
	w.open()
	if _, err := w.AddCallBridge(t.Context(), "cb1", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if bs, err := w.CallBridges(t.Context()); err != nil || len(bs) != 0 {
		t.Errorf("after Reset there are Call Bridges %v, %v; want none", bs, err)
	}
	if err := w.AddUser(t.Context(), xmppapi.Credential{Name: "ada", Password: "secret of ada"}); err != nil {
		t.Errorf("AddUser after Reset = %v; want nil", err)
	}
	w.dial()
}

func TestAccounts(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ada := xmppapi.Credential{Name: "ada", Password: "secret of ada"}
	steps := []struct {
		name string
		do   func() error
		want problem.Code
	}{
		{"add", func() error { return w.AddUser(ctx, ada) }, ""},
		{"add twice", func() error { return w.AddUser(ctx, ada) }, problem.UserExists},
		{"add in another case", func() error { return w.AddUser(ctx, xmppapi.Credential{Name: "Ada", Password: "x"}) }, problem.UserExists},
		{"bad name", func() error { return w.AddUser(ctx, xmppapi.Credential{Name: "a b", Password: "x"}) }, problem.UserName},
		{"empty password", func() error { return w.AddUser(ctx, xmppapi.Credential{Name: "bob"}) }, problem.UserPassword},
		{"password of nobody", func() error { return w.SetPassword(ctx, xmppapi.Credential{Name: "bob", Password: "x"}) }, problem.UserUnknown},
		{"import with a known one", func() error { return w.ImportUsers(ctx, []xmppapi.Credential{{Name: "cy", Password: "x"}, ada}) }, problem.UserExists},
		{"delete", func() error { return w.DelUser(ctx, "ada") }, ""},
		{"delete twice", func() error { return w.DelUser(ctx, "ada") }, problem.UserUnknown},
	}
	for _, s := range steps {
		if err := s.do(); problem.CodeOf(err) != s.want || (err == nil) != (s.want == "") {
			t.Errorf("%s = %v; want %q", s.name, err, s.want)
		}
	}
	if us, err := w.Users(ctx); err != nil || len(us) != 0 {
		t.Errorf("Users = %v, %v; want none: a refused import adds nobody", us, err)
	}
}

func TestCallBridgeSecrets(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{}
	for _, name := range []string{"cb1", "cb2", "CB3"} {
		b, err := w.AddCallBridge(t.Context(), name, "")
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Secret) != 19 || !strings.HasSuffix(b.Secret, "Ab1") || seen[b.Secret] {
			t.Errorf("secret of %s = %q; want 19 characters of its own that end in Ab1", name, b.Secret)
		}
		seen[b.Secret] = true
	}
	if b, err := w.AddCallBridge(t.Context(), "cb4", "kvgP1SRzWVabhiPVAb1"); err != nil || b.Secret != "kvgP1SRzWVabhiPVAb1" {
		t.Errorf("AddCallBridge with a secret = %+v, %v", b, err)
	}
	for _, tt := range []struct {
		name, secret string
		want         problem.Code
	}{
		{"cb1", "", problem.BridgeExists}, {"cb3", "", problem.BridgeExists}, {"", "", problem.BridgeName}, {"cb1.example.com", "", problem.BridgeName},
		{"-cb", "", problem.BridgeName}, {"cb5", "short", problem.BridgeSecret}, {"cb5", "has a blank in it", problem.BridgeSecret},
	} {
		if _, err := w.AddCallBridge(t.Context(), tt.name, tt.secret); !errors.Is(err, problem.New(tt.want)) {
			t.Errorf("AddCallBridge(%q, %q) = %v; want %s", tt.name, tt.secret, err, tt.want)
		}
	}
}
