package edge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/config"
	"parley/services/xmpp/sasl"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

const testDomain = "example.com"

type accounts map[string]sasl.Verifiers

func (a accounts) Credentials(_ context.Context, local string) (sasl.Verifiers, bool, error) {
	v, ok := a[local]
	return v, ok, nil
}

type secrets map[string]config.Secret

func (s secrets) Secret(_ context.Context, name string) (config.Secret, bool, error) {
	v, ok := s[name]
	return v, ok, nil
}

// authority is a test CA and a certificate for the domain.
type authority struct {
	cert  tls.Certificate
	roots *x509.CertPool
	caPEM []byte
}

var testAuthority = sync.OnceValue(func() *authority {
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	}
	caKey, leafKey := key(), key()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, NotBefore: time.Unix(0, 0),
		NotAfter: time.Now().AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		panic(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: testDomain}, NotBefore: time.Unix(0, 0),
		NotAfter: time.Now().AddDate(10, 0, 0), DNSNames: []string{testDomain, "*." + testDomain}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, leafKey.Public(), caKey)
	if err != nil {
		panic(err)
	}
	a := &authority{roots: x509.NewCertPool(), cert: tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}}
	a.caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	a.roots.AppendCertsFromPEM(a.caPEM)
	if a.cert.Leaf, err = x509.ParseCertificate(leafDER); err != nil {
		panic(err)
	}
	return a
})

func caFile(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, testAuthority().caPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var testVerifiers = sync.OnceValue(func() sasl.Verifiers {
	v, err := sasl.NewVerifiers("pencil")
	if err != nil {
		panic(err)
	}
	return v
})

// server is an edge that serves until stop or the test's end.
type server struct {
	*Edge
	leader              *fakeLeader
	clients, components dialer
	stop                func()
}

func (s *server) strangersNow() int {
	s.strangers.mu.Lock()
	defer s.strangers.mu.Unlock()
	return s.strangers.all
}

// dialer is a listener that knows how to be reached.
type dialer interface {
	net.Listener
	dial() (net.Conn, error)
}

type tcpDialer struct{ net.Listener }

func (d tcpDialer) dial() (net.Conn, error) { return net.Dial("tcp", d.Addr().String()) }

func listenTCP(t testing.TB) dialer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return tcpDialer{l}
}

// pipeDialer is a listener of net.Pipe, for the fake time of synctest.
type pipeDialer struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func listenPipe() *pipeDialer {
	return &pipeDialer{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (d *pipeDialer) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.done:
		return nil, net.ErrClosed
	}
}

func (d *pipeDialer) Close() error   { d.once.Do(func() { close(d.done) }); return nil }
func (d *pipeDialer) Addr() net.Addr { return &net.UnixAddr{} }

func (d *pipeDialer) dial() (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case d.conns <- a:
		return b, nil
	case <-d.done:
		return nil, net.ErrClosed
	}
}

func startOn(t testing.TB, clients, components dialer, limits Limits, tune ...func(*Edge)) *server {
	return startWith(t, newLeader(), clients, components, Config{Limits: limits}, nil, tune...)
}

func startWith(t testing.TB, leader *fakeLeader, clients, components dialer, cfg Config, nodes PeerDoor, tune ...func(*Edge)) *server {
	s := &server{leader: leader, clients: clients, components: components}
	cert := testAuthority().cert
	cfg.Domain, cfg.SaltKey = testDomain, []byte("salt")
	s.Edge = New(cfg, Deps{
		Peer:        nodes,
		Leader:      s.leader,
		Credentials: accounts{"ada": testVerifiers(), "bob": testVerifiers()},
		Secrets:     secrets{"bridge": "s3cret"},
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
		Log:         slog.New(slog.DiscardHandler),
	})
	for _, f := range tune {
		f(s.Edge)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	serve := func(f func(context.Context, net.Listener) error, l net.Listener) {
		wg.Go(func() {
			if err := f(ctx, l); err != nil {
				t.Errorf("serve: %v", err)
			}
		})
	}
	serve(s.ServeClients, clients)
	serve(s.ServeComponents, components)
	s.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(s.stop)
	return s
}

// start serves on loopback.
func start(t testing.TB, limits Limits, tune ...func(*Edge)) *server {
	return startOn(t, listenTCP(t), listenTCP(t), limits, tune...)
}

// client is the test's end of a connection. A goroutine reads all the time, so
// the server never waits for the test.
type client struct {
	t    testing.TB
	raw  net.Conn
	conn net.Conn

	scanner *stream.Scanner
	in      chan received
}

type received struct {
	header *stream.Header
	e      *stanza.Element
	err    error
}

func dial(t testing.TB, d dialer) *client {
	t.Helper()
	c, err := d.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{t: t, raw: c, conn: c}
}

var anyLimits = &stream.Limits{}

// listen reads headers count streams of a content namespace in the background:
// after each stanza that ends one, the next begins.
func (c *client) listen(content string) {
	c.scanner = stream.NewScanner(c.conn, content, anyLimits)
	c.in = make(chan received, 1024)
	s, in := c.scanner, c.in
	go func() {
		defer close(in)
		fresh := true
		for {
			if fresh {
				h, err := s.Header()
				if err != nil {
					in <- received{err: err}
					return
				}
				in <- received{header: &h}
				fresh = false
				continue
			}
			e, err := s.Next()
			in <- received{e: e, err: err}
			switch {
			case err != nil, e.Is(nsTLS, "proceed"):
				return
			case e.Is(nsSASL, "success"):
				s.Restart()
				fresh = true
			}
		}
	}()
}

func (c *client) receive() received {
	c.t.Helper()
	select {
	case r, ok := <-c.in:
		if !ok {
			c.t.Fatal("nothing more is read")
		}
		return r
	case <-time.After(20 * time.Second):
		c.t.Fatal("the server sends nothing")
		return received{}
	}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatalf("send %.100q: %v", s, err)
	}
}

// try is send where the server may have closed already.
func (c *client) try(s string) { io.WriteString(c.conn, s) }

func (c *client) header() stream.Header {
	c.t.Helper()
	r := c.receive()
	if r.header == nil {
		c.t.Fatalf("received %v, %v; want a stream header", r.e, r.err)
	}
	return *r.header
}

// next returns the next element.
func (c *client) next() *stanza.Element {
	c.t.Helper()
	r := c.receive()
	if r.e == nil {
		c.t.Fatalf("received %v, %v; want an element", r.header, r.err)
	}
	return r.e
}

// drain hands on the elements that have come, in synctest's time.
func (c *client) drain(f func(*stanza.Element)) {
	c.t.Helper()
	synctest.Wait()
	for len(c.in) > 0 {
		f(c.next())
	}
}

// expect is next, of that name.
func (c *client) expect(space, local string) *stanza.Element {
	c.t.Helper()
	e := c.next()
	if !e.Is(space, local) {
		c.t.Fatalf("received %s; want %s of %s", e, local, space)
	}
	return e
}

// expectEnd reads until the stream ends and returns the condition of its
// error, "" for none.
func (c *client) expectEnd() string {
	c.t.Helper()
	condition := ""
	for {
		r := c.receive()
		switch {
		case r.err == io.EOF:
			return condition
		case r.err != nil:
			c.t.Fatalf("the stream ended with %v after error %q", r.err, condition)
		case r.e.Is(stanza.NSStreams, "error"):
			condition = r.e.First().Name.Local
		}
	}
}

func open(to string) string {
	return "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='" + to + "'>"
}

func (c *client) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: testAuthority().roots, ServerName: testDomain}
}

// directTLS makes the connection TLS from the first byte.
func (c *client) directTLS() {
	c.t.Helper()
	t := tls.Client(c.raw, c.tlsConfig())
	if err := t.Handshake(); err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	c.conn = t
}

// startTLS goes by STARTTLS.
func (c *client) startTLS() {
	c.t.Helper()
	c.listen(stanza.NSClient)
	c.send(open(testDomain))
	c.header()
	c.expect(stanza.NSStreams, "features")
	c.send("<starttls xmlns='" + nsTLS + "'/>")
	c.expect(nsTLS, "proceed")
	c.directTLS()
}

// secure is a client with TLS, its stream open and its features read.
func secure(t testing.TB, d dialer) (*client, *stanza.Element) {
	t.Helper()
	c := dial(t, d)
	c.directTLS()
	c.listen(stanza.NSClient)
	c.send(open(testDomain))
	c.header()
	return c, c.expect(stanza.NSStreams, "features")
}

func plain(user, password string) string {
	return "<auth xmlns='" + nsSASL + "' mechanism='PLAIN'>" +
		base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)) + "</auth>"
}

// authenticated is a client that has yet to bind.
func authenticated(t testing.TB, d dialer) *client {
	t.Helper()
	c, _ := secure(t, d)
	c.send(plain("ada", "pencil"))
	c.expect(nsSASL, "success")
	c.send(open(testDomain))
	c.header()
	c.expect(stanza.NSStreams, "features")
	return c
}

// login is a client with a session.
func login(t testing.TB, d dialer, resource string) *client {
	t.Helper()
	c := authenticated(t, d)
	c.send("<iq type='set' id='b'><bind xmlns='" + nsBind + "'><resource>" + resource + "</resource></bind></iq>")
	if e := c.expect(stanza.NSClient, "iq"); e.Attr("type") != "result" {
		t.Fatalf("bind: %s", e)
	}
	return c
}

func message(id string) string {
	return "<message to='bob@example.com' id='" + id + "'><body>x</body></message>"
}

func contains(e *stanza.Element, text string) bool { return strings.Contains(e.String(), text) }
