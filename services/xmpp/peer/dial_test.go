package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/services/problem"
)

// listen serves each connection with f until the test ends.
func listen(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				f(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); cancel(); wg.Wait() })
	return l.Addr().String()
}

func tlsServer(cfg *tls.Config) func(net.Conn) {
	return func(c net.Conn) {
		s := tls.Server(c, cfg)
		s.Handshake()
		io.Copy(io.Discard, s)
	}
}

func TestDialErrors(t *testing.T) {
	var self *authority
	now := time.Now()
	ca := self.issue(spec{cn: "Our CA", ca: true})
	mine, theirs := shared(), ca.issue(spec{cn: testDomain})
	expired := self.issue(spec{cn: testDomain, before: now.AddDate(-2, 0, 0), after: now.AddDate(-1, 0, 0)})
	for _, tt := range []struct {
		name string
		// own is what this node shows, and trusts besides its own; the other
		// node shows cert and trusts.
		own      *authority
		ownTrust []*authority
		cert     *authority
		trusts   []*authority
		addr     func(t *testing.T) string
		want     problem.Code
		detail   string
		refused  bool
	}{
		{name: "one shared certificate", own: mine, ownTrust: []*authority{mine}, cert: mine, trusts: []*authority{mine}},
		{name: "two, concatenated", own: mine, ownTrust: []*authority{theirs, mine}, cert: theirs, trusts: []*authority{mine}},
		{name: "CA on one side, pinned on the other", own: mine, ownTrust: []*authority{ca}, cert: theirs, trusts: []*authority{mine}},
		{name: "not trusted here", own: mine, ownTrust: []*authority{mine}, cert: theirs, trusts: []*authority{mine},
			want: problem.ClusterTLS, detail: "certificate CN=tptac9.com (SHA-256 …) of ADDR is not in the trust bundle, nor is its authority CN=Our CA"},
		{name: "not trusted there", own: mine, ownTrust: []*authority{theirs}, cert: theirs, trusts: []*authority{ca},
			want: problem.ClusterTLS, detail: "ADDR does not trust this node's certificate CN=tptac9.com (SHA-256 …): it is not in its trust bundle"},
		{name: "expired there", own: mine, ownTrust: []*authority{expired}, cert: expired, trusts: []*authority{mine},
			want: problem.ClusterTLS, detail: "certificate CN=tptac9.com (SHA-256 …) of ADDR expired on " + stamp(expired.cert.NotAfter)},
		{name: "expired here", own: expired, ownTrust: []*authority{mine}, cert: mine, trusts: []*authority{mine, expired},
			want: problem.ClusterTLS, detail: "ADDR does not trust this node's certificate CN=tptac9.com (SHA-256 …): it expired on " + stamp(expired.cert.NotAfter)},
		{name: "TLS without ALPN", addr: func(t *testing.T) string {
			return listen(t, tlsServer(&tls.Config{Certificates: []tls.Certificate{*mine.tls()}}))
		}, want: problem.ClusterTLS, detail: "it does not take part in a cluster: cluster mode is off there, or it is no Parley"},
		{name: "TLS with another ALPN", addr: func(t *testing.T) string {
			return listen(t, tlsServer(&tls.Config{Certificates: []tls.Certificate{*mine.tls()}, NextProtos: []string{"h2"}}))
		}, want: problem.ClusterTLS, detail: "it does not take part in a cluster: cluster mode is off there, or it is no Parley"},
		{name: "TLS 1.2", addr: func(t *testing.T) string {
			return listen(t, tlsServer(&tls.Config{Certificates: []tls.Certificate{*mine.tls()}, MaxVersion: tls.VersionTLS12}))
		}, want: problem.ClusterTLS, detail: "it does not speak TLS 1.3, so it is no Parley"},
		{name: "its certificate cannot be loaded", addr: func(t *testing.T) string {
			return listen(t, tlsServer(&tls.Config{NextProtos: []string{ALPN}, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return nil, errors.New("no file")
			}}))
		}, want: problem.ClusterTLS, detail: "ADDR has an error of its own, perhaps no certificate"},
		{name: "no TLS", addr: func(t *testing.T) string {
			return listen(t, func(c net.Conn) { io.WriteString(c, "220 mail ready\r\n"); io.Copy(io.Discard, c) })
		}, want: problem.ClusterTLS, detail: "what answers there does not speak TLS: tls: first record does not look like a TLS handshake"},
		{name: "closes at once", addr: func(t *testing.T) string { return listen(t, func(net.Conn) {}) },
			want: problem.ClusterRoute, detail: "it closed the connection", refused: true},
		{name: "says nothing", addr: func(t *testing.T) string { return listen(t, func(c net.Conn) { io.Copy(io.Discard, c) }) },
			want: problem.ClusterRoute, detail: "it took the connection, but did not answer in time"},
		{name: "TLS, but no answer", addr: func(t *testing.T) string {
			return listen(t, tlsServer(&tls.Config{Certificates: []tls.Certificate{*mine.tls()}, NextProtos: []string{ALPN}}))
		}, want: problem.ClusterRoute, detail: "it took the connection, but did not answer in time"},
		{name: "TLS, then rubbish", addr: func(t *testing.T) string {
			return listen(t, func(c net.Conn) {
				s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*mine.tls()}, NextProtos: []string{ALPN}})
				io.WriteString(s, "\xff\xff\xff\xff{}")
				io.Copy(io.Discard, s)
			})
		}, want: problem.ClusterRoute, detail: "frame of 4294967295 bytes: malformed frame"},
		{name: "nobody listens", addr: func(t *testing.T) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			return l.Addr().String()
		}, want: problem.ClusterRoute, detail: "connection refused, nothing listens there", refused: true},
		{name: "no such name", addr: func(t *testing.T) string { return "no-such-node.invalid:5222" }, want: problem.ClusterName, detail: "*"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.own == nil {
				tt.own, tt.ownTrust = mine, []*authority{mine}
			}
			a := newNode(t, "a", func(n *node) {
				if n.cfg.Wait = 30 * time.Second; strings.HasSuffix(tt.detail, "in time") {
					n.cfg.Wait = 500 * time.Millisecond
				}
				n.identity.Store(&Identity{Certificate: tt.own.tls(), Trust: bundle(t, tt.ownTrust...), Domain: testDomain})
			})
			var addr string
			if tt.addr != nil {
				addr = tt.addr(t)
			} else {
				addr = newNode(t, "b", func(n *node) {
					n.identity.Store(&Identity{Certificate: tt.cert.tls(), Trust: bundle(t, tt.trusts...), Domain: testDomain})
				}).addr
			}
			c, err := a.Dial(t.Context(), addr, "call")
			if tt.want == "" {
				if err != nil {
					t.Fatalf("Dial = %v; want a connection", err)
				}
				c.Close()
				return
			}
			p, ok := errors.AsType[*problem.Problem](err)
			if !ok || p.Code != tt.want {
				t.Fatalf("Dial = %v; want %s", err, tt.want)
			}
			got := strings.ReplaceAll(blot(p.Values["detail"]), addr, "ADDR")
			if got != tt.detail && tt.detail != "*" || p.Values["node"] != addr || Refused(err) != tt.refused {
				t.Errorf("Dial: node %s, detail %q, refused %v; want %s, %q, %v", p.Values["node"], got, Refused(err), addr, tt.detail, tt.refused)
			}
			if text := problem.Text(err); strings.Contains(text, "{") {
				t.Errorf("text = %q; want no gaps", text)
			}
		})
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	addr := listen(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	a := newNode(t, "a", nil)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := a.Dial(ctx, addr, "call"); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial = %v; want Canceled", err)
	}
}

// TestStrangers: nothing is read from a node that is not trusted, however much it
// sends, and it does not stay.
func TestStrangers(t *testing.T) {
	var self *authority
	b := newNode(t, "b", nil)
	stranger := self.issue(spec{cn: "stranger"})
	c, err := tls.Dial("tcp", b.addr, &tls.Config{NextProtos: []string{ALPN}, InsecureSkipVerify: true, Certificates: []tls.Certificate{*stranger.tls()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	var a answer
	if err := readFrame(c, maxOpening, &a); err != nil || a.Untrusted != "is not in its trust bundle" || a.Hello != nil {
		t.Errorf("answer = %+v, %v; want why", a, err)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read = %v; want EOF", err)
	}
	for err == nil {
		_, err = c.Write(make([]byte, 16<<10))
	}
	if n := len(b.open()); n != 0 {
		t.Errorf("%d connections; want 0", n)
	}
	if _, err := tls.Dial("tcp", b.addr, &tls.Config{NextProtos: []string{ALPN}, InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
}

// TestTrustChanges: connections stay when certificates change, unless the bundle
// no longer covers what they were made with.
func TestTrustChanges(t *testing.T) {
	var self *authority
	one, two := self.issue(spec{cn: "one"}), self.issue(spec{cn: "two"})
	// A machine that stands still for a while must not change what is looked at.
	patient := func(n *node) { n.cfg.Silence = 3 * time.Second }
	a, b := newNode(t, "a", patient), newNode(t, "b", patient)
	set := func(n *node, shows *authority, trusts ...*authority) {
		n.identity.Store(&Identity{Certificate: shows.tls(), Trust: bundle(t, trusts...), Domain: testDomain})
	}
	set(a, one, one, two)
	set(b, two, one, two)
	a.SetMembers([]Member{{"b", b.addr}})
	await(t, "a reaches b", a.reaches("b"))
	since := a.Peers()["b"].Since
	count := func() int { return len(b.open()) }
	const all = 1 + spares
	await(t, "a's ping and spares are there", func() bool { return count() == all })
	before := b.open()

	three := self.issue(spec{cn: "three"})
	set(a, three, one, two, three)
	set(b, two, one, two, three)
	time.Sleep(3 * reviewEvery / 2)
	if s := a.Peers()["b"]; !s.Reachable || !s.Since.Equal(since) || count() != all || slices.ContainsFunc(b.open(), func(c *conn) bool { return !slices.Contains(before, c) }) {
		t.Errorf("after a new certificate: %+v, %d connections; want no change", s, count())
	}
	set(b, two, two, three)
	await(t, "connections with the old certificate are replaced", func() bool {
		now := b.open()
		return len(now) == all && !slices.ContainsFunc(now, func(c *conn) bool { return c.chain[0].Subject.CommonName != "three" })
	})
	set(b, two, two)
	await(t, "a is refused", func() bool {
		s := a.Peers()["b"]
		return !s.Reachable && s.Err != nil && strings.Contains(s.Err.Error(), "does not trust this node's certificate CN=three")
	})
	if a.Peers()["b"].Refused {
		t.Error("Refused = true; want false: the process lives")
	}
	set(b, two, two, three)
	await(t, "a reaches b again", a.reaches("b"))
}
