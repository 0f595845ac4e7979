package peer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const testDomain = "tptac9.com"

// authority makes certificates; nil parent: of themselves.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

var serial atomic.Int64

type spec struct {
	cn            string
	dns           []string
	ca            bool
	before, after time.Time
	usage         []x509.ExtKeyUsage
}

func (a *authority) issue(s spec) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return a.issueFor(s, key)
}

func (a *authority) issueFor(s spec, key crypto.Signer) *authority {
	if s.before.IsZero() {
		s.before = time.Now().Add(-time.Hour)
	}
	if s.after.IsZero() {
		s.after = time.Now().Add(24 * time.Hour)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: s.cn}, DNSNames: s.dns,
		NotBefore: s.before, NotAfter: s.after, IsCA: s.ca, BasicConstraintsValid: true, ExtKeyUsage: s.usage}
	parent, signer := tmpl, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err != nil {
		panic(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &authority{c, key}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *authority) tls(chain ...*authority) *tls.Certificate {
	c := &tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key, Leaf: a.cert}
	for _, p := range chain {
		c.Certificate = append(c.Certificate, p.cert.Raw)
	}
	return c
}

func bundle(t testing.TB, of ...*authority) Trust {
	t.Helper()
	var all []byte
	for _, a := range of {
		all = append(all, a.pem()...)
	}
	trust, err := LoadTrust(all)
	if err != nil && len(of) > 0 {
		t.Fatal(err)
	}
	return trust
}

// shared is the article's one certificate of all nodes.
var shared = sync.OnceValue(func() *authority {
	return (*authority)(nil).issue(spec{cn: testDomain, dns: []string{testDomain}})
})

// node is a Net behind a listener.
type node struct {
	*Net
	t        testing.TB
	id       string
	addr     string
	listener net.Listener
	identity atomic.Pointer[Identity]
	hello    atomic.Pointer[Hello]
	stop     func()
}

// newNode makes a node that runs until stop or the test's end. setup, if any, is
// called before Run.
func newNode(t testing.TB, id string, setup func(*node)) *node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, id: id, listener: l, addr: l.Addr().String()}
	n.identity.Store(&Identity{Certificate: shared().tls(), Trust: bundle(t, shared()), Domain: testDomain})
	n.hello.Store(&Hello{ID: id, Address: n.addr, Version: "1.0", Protocol: 1, Cluster: "c1", Domain: testDomain})
	n.Net = New(Config{}, Deps{
		Identity: func() (Identity, error) { return *n.identity.Load(), nil },
		Self:     func() Hello { return *n.hello.Load() },
		Log:      slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", id),
	})
	if setup != nil {
		setup(n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	})
	n.serve(&wg, l)
	n.stop = sync.OnceFunc(func() {
		n.listener.Close()
		cancel()
		wg.Wait()
	})
	t.Cleanup(n.stop)
	for {
		n.mu.Lock()
		running := n.ctx != nil
		n.mu.Unlock()
		if running {
			return n
		}
		time.Sleep(time.Millisecond)
	}
}

// serve does what the edge does.
func (n *node) serve(wg *sync.WaitGroup, l net.Listener) {
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				s := tls.Server(c, &tls.Config{SessionTicketsDisabled: true, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return n.ServerTLS(), nil }})
				s.SetDeadline(time.Now().Add(30 * time.Second))
				if err := s.Handshake(); err != nil {
					c.Close()
					return
				}
				n.Serve(s)
			})
		}
	})
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	if testing.Verbose() {
		w.t.Log(string(p[:len(p)-1]))
	}
	return len(p), nil
}

// await waits for a condition.
func await(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after 30 s", what)
		}
	}
}

// pings counts the connections, either way, that tell if the other node lives.
// Spares come besides, when there is time.
func (n *node) pings() (count int) {
	for _, c := range n.open() {
		if c.kind == kindPing {
			count++
		}
	}
	return count
}

// asks: there is a connection on which the node is asked whether it lives.
func (n *node) asks(id string) bool {
	return slices.ContainsFunc(n.open(), func(c *conn) bool { return c.kind == kindPing && c.dialed && c.peer.ID == id })
}

func (n *node) reaches(id string) func() bool { return func() bool { return n.Peers()[id].Reachable } }
