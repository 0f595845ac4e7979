package client_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"parley/services/xmpp/client"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/xmpptest"
)

const domain = "example.com"

// server is the real one, in this process.
type server struct {
	addr  string
	roots *x509.CertPool
}

func startServer(t testing.TB, users ...string) *server {
	t.Helper()
	x := xmpptest.New(t, domain, domain)
	for _, u := range users {
		x.User(u, "secret of "+u)
	}
	s := &server{addr: x.Clients().String(), roots: x509.NewCertPool()}
	if !s.roots.AppendCertsFromPEM(x.Cert) {
		t.Fatal("no certificate")
	}
	return s
}

func (s *server) config(user string) client.Config {
	return client.Config{Addresses: []string{s.addr}, Domain: domain, User: user, Password: "secret of " + user, Resource: "r", Roots: s.roots}
}

// diary is what a client was told.
type diary struct {
	mu                     sync.Mutex
	bodies, acked, changes []string
	repeated               []string
}

func (d *diary) deps() client.Deps {
	add := func(to *[]string, s string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		*to = append(*to, s)
	}
	return client.Deps{
		Received: func(e *stanza.Element) {
			if b := e.Child(stanza.NSClient, "body"); b != nil {
				add(&d.bodies, b.Text())
			}
		},
		Acked:    func(id string) { add(&d.acked, id) },
		Repeated: func(id string) { add(&d.repeated, id) },
		Changed:  func(e client.Event) { add(&d.changes, e.Kind.String()) },
	}
}

// await waits until a list has grown to n, and returns it.
func (d *diary) await(t testing.TB, list *[]string, n int) []string {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		d.mu.Lock()
		got := slices.Clone(*list)
		d.mu.Unlock()
		if len(got) >= n {
			return got
		}
		if time.Now().After(end) {
			t.Fatalf("got %q; want %d", got, n)
		}
	}
}

// run starts a client, which the test's end stops.
func run(t testing.TB, cfg client.Config, deps client.Deps) *client.Client {
	t.Helper()
	c := client.New(cfg, deps)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	})
	return c
}

func ready(t testing.TB, c *client.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}

func numbers(n int) []string {
	var s []string
	for i := range n {
		s = append(s, fmt.Sprint(i))
	}
	return s
}

func TestChatWithTheServer(t *testing.T) {
	s := startServer(t, "ada", "bob")
	for _, tt := range []struct {
		name     string
		startTLS bool
	}{{"direct TLS", false}, {"STARTTLS", true}} {
		t.Run(tt.name, func(t *testing.T) {
			var ada, bob diary
			cfg := s.config("bob")
			cfg.StartTLS = tt.startTLS
			b := run(t, cfg, bob.deps())
			ready(t, b)
			cfg = s.config("ada")
			cfg.StartTLS = tt.startTLS
			a := run(t, cfg, ada.deps())
			const n = 500
			for i := range n {
				if err := a.Message(t.Context(), "bob@"+domain, fmt.Sprint(i), fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
			}
			if err := a.Drained(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := ada.await(t, &ada.acked, n); !slices.Equal(got, numbers(n)) {
				t.Errorf("acknowledged: %q; want 0 to %d in order", got, n-1)
			}
			if got := bob.await(t, &bob.bodies, n); !slices.Equal(got, numbers(n)) {
				t.Errorf("received: %q; want 0 to %d in order", got, n-1)
			}
			if got := a.JID(); got != "ada@"+domain+"/r" {
				t.Errorf("JID() = %q; want ada's full one", got)
			}
		})
	}
}

// TestBrokenConnections sends on through connections that break: nothing is
// missing, whether the server resumes sessions or not, and first comes first.
func TestBrokenConnections(t *testing.T) {
	s := startServer(t, "ada", "bob")
	var ada, bob diary
	b := run(t, s.config("bob"), bob.deps())
	ready(t, b)
	a := run(t, s.config("ada"), ada.deps())
	const n = 2000
	for i := range n {
		if err := a.Message(t.Context(), "bob@"+domain, fmt.Sprint(i), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		if i%200 == 100 {
			ready(t, a)
			a.Break("")
		}
	}
	if err := a.Drained(t.Context()); err != nil {
		t.Fatal(err)
	}
	ada.await(t, &ada.acked, n)
	seen := map[string]bool{}
	var first []string
	for end := time.Now().Add(30 * time.Second); len(first) < n && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		bob.mu.Lock()
		clear(seen)
		first = nil
		for _, body := range bob.bodies {
			if !seen[body] {
				seen[body] = true
				first = append(first, body)
			}
		}
		bob.mu.Unlock()
	}
	if !slices.Equal(first, numbers(n)) {
		t.Errorf("received %d of %d, or not in order", len(first), n)
	}
}

func TestWrongPasswordIsFinal(t *testing.T) {
	s := startServer(t, "ada")
	cfg := s.config("ada")
	cfg.Password = "wrong"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := client.New(cfg, client.Deps{})
	if err := c.Run(ctx); !errors.Is(err, client.ErrPassword) {
		t.Errorf("Run = %v; want %v", err, client.ErrPassword)
	}
	if err := c.Message(t.Context(), "bob@"+domain, "1", "1"); err != client.ErrOver {
		t.Errorf("Message after Run = %v; want %v", err, client.ErrOver)
	}
}

func TestNextAddress(t *testing.T) {
	s := startServer(t, "ada")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	cfg := s.config("ada")
	cfg.Addresses = []string{l.Addr().String(), s.addr}
	c := run(t, cfg, client.Deps{})
	ready(t, c)
	if got := c.Addr(); got != s.addr {
		t.Errorf("Addr() = %q; want %q", got, s.addr)
	}
}

// BenchmarkLoad is what a message costs client and server together: 100
// clients of this process, one outstanding message each.
func BenchmarkLoad(b *testing.B) {
	const n = 100
	var users []string
	for i := range n {
		users = append(users, fmt.Sprintf("u%d", i))
	}
	s := startServer(b, users...)
	clients := make([]*client.Client, n)
	tokens := make([]chan struct{}, n)
	for i, u := range users {
		tokens[i] = make(chan struct{}, 1)
		tokens[i] <- struct{}{}
		clients[i] = run(b, s.config(u), client.Deps{Acked: func(string) { tokens[i] <- struct{}{} }})
		ready(b, clients[i])
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for k := range b.N / n {
				<-tokens[i]
				c.Message(b.Context(), users[(i+k+1)%n]+"@"+domain, "m", "one hundred bytes or so, which is what people type before they press the key that sends it, on average")
			}
			<-tokens[i]
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
