package callbridge

import (
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley/services/callbridge/directory/openldap"
	"parley/services/config"
	"parley/services/xmpp/client"
	"parley/services/xmpp/xmppapi"
)

// staffed is a bridge between a server and an LDAP server, which it is not told
// of yet.
type staffed struct {
	*world
	server *server
	ldap   *openldap.Server
	// good are the settings for the LDAP server.
	good config.Directory
}

// newStaffed has people in the LDAP server; the bridge has not started.
func newStaffed(t *testing.T, people string) *staffed {
	t.Helper()
	s := newServer(t, domain)
	ldap := openldap.Start(t, openldap.Config{LDIF: people, Names: "IP:127.0.0.1"})
	secret := s.register("cb1", "")
	w := newWorld(t, config.BridgeLink{Name: "cb1", Domain: domain, Server: s.addr.String(), Secret: config.Secret(secret)}, s.cert)
	authority, err := os.ReadFile(ldap.CA.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.paths.Files(), "ldap.cer"), authority, 0o600); err != nil {
		t.Fatal(err)
	}
	return &staffed{w, s, ldap, config.Directory{
		Address: "127.0.0.1", Port: ldap.Plain, Trust: "ldap.cer", Username: openldap.Reader, Password: openldap.ReaderSecret,
		BaseDN: openldap.Base, User: "$uid$",
	}}
}

// set has the bridge take settings for the LDAP server.
func (w *staffed) set(d config.Directory) {
	w.t.Helper()
	if err := w.store.Transact(func(doc *config.Document) error { doc.Directory = d; return nil }, func() error { return w.Reload(w.t.Context()) }); err != nil {
		w.t.Fatal(err)
	}
}

// client connects as a user; events tells what becomes of it, and ends after
// stop.
func (s *server) client(t testing.TB, user, password string) (events <-chan client.Event, stop func()) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.cert)
	all := make(chan client.Event, 16)
	c := client.New(client.Config{Addresses: []string{s.clients.String()}, Domain: domain, User: user, Password: password, Roots: roots, Attempt: time.Minute}, client.Deps{
		Changed: func(e client.Event) {
			select {
			case all <- e:
			default:
			}
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(all)
		_ = c.Run(ctx)
	}()
	return all, func() { cancel(); <-ended }
}

// stay logs a user in for as long as the test runs; lost gets why the session
// has ended.
func (s *server) stay(t testing.TB, user, password string) (lost <-chan error) {
	t.Helper()
	events, stop := s.client(t, user, password)
	t.Cleanup(stop)
	if e, ok := <-events; !ok || e.Kind != client.Bound {
		t.Fatalf("%s is not let in: %v", user, e.Err)
	}
	why := make(chan error, 1)
	go func() {
		if e, ok := <-events; ok {
			why <- e.Err
		}
	}()
	return why
}

// login says why a user cannot log in, nil where that works.
func (s *server) login(t testing.TB, user, password string) error {
	t.Helper()
	events, stop := s.client(t, user, password)
	defer stop()
	e, ok := <-events
	if !ok {
		t.Fatalf("%s has neither been let in nor refused", user)
	}
	return e.Err
}

// user is an account as the server has it.
func (s *server) user(t testing.TB, name string) (u xmppapi.User, there bool) {
	t.Helper()
	us, err := s.API.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range us {
		if u.Name == name {
			return u, true
		}
	}
	return u, false
}

// attended waits until XMPP has been told all that there is to tell.
func (w *staffed) attended() {
	w.t.Helper()
	// At the second turn the first is over.
	for range 2 {
		w.mu.Lock()
		w.Bridge.status.components = -1
		w.mu.Unlock()
		w.people.mu.Lock()
		w.people.tell()
		w.people.mu.Unlock()
		await(w.t, "a turn of the attendant", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.Bridge.status.components >= 0
		})
	}
}
