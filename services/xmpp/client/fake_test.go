package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"parley/services/xmpp/client"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// resumer is a server of one account whose session can be resumed at any of
// its addresses. It loses connections at random, with what was under way.
type resumer struct {
	t     *testing.T
	addrs []string
	tls   *tls.Config
	roots *x509.CertPool
	wg    sync.WaitGroup

	mu sync.Mutex
	// life is how many stanzas a connection takes before it is lost, 0 for
	// ever; forget says how many resumptions are refused.
	life, forget int
	location     string
	refuse       func(addr string) *stream.Error
	conn         net.Conn
	conns        []net.Conn
	session      int
	got          []string
	handled      uint32
	// out are the messages not acknowledged, sent from the number acked on.
	out   []string
	acked uint32
	// arrivals are the addresses in the order of sessions bound or resumed.
	arrivals []string
}

func newResumer(t *testing.T, addresses int) *resumer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{domain}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	r := &resumer{t: t, roots: x509.NewCertPool(), tls: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}
	r.roots.AddCert(cert)
	for range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		r.addrs = append(r.addrs, l.Addr().String())
		r.wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				r.mu.Lock()
				r.conns = append(r.conns, c)
				r.mu.Unlock()
				r.wg.Go(func() {
					defer c.Close()
					r.serve(c)
				})
			}
		})
	}
	t.Cleanup(func() {
		r.mu.Lock()
		for _, c := range r.conns {
			c.Close()
		}
		r.mu.Unlock()
	})
	return r
}

func (r *resumer) config() client.Config {
	return client.Config{Addresses: r.addrs, Domain: domain, User: "ada", Password: "x", Roots: r.roots, Retry: time.Millisecond}
}

func (r *resumer) serve(raw net.Conn) {
	c := tls.Server(raw, r.tls)
	s := stream.NewScanner(c, stanza.NSClient, &stream.Limits{})
	defer s.Release()
	write := func(e *stanza.Element) { c.Write(e.Append(nil, stanza.NSClient)) }
	open := func(features *stanza.Element) bool {
		if _, err := s.Header(); err != nil {
			return false
		}
		c.Write(stream.Header{Content: stanza.NSClient, From: domain, ID: "1", Version: "1.0"}.Append(nil))
		write(stream.Features(features))
		return true
	}
	if !open(stanza.New("urn:ietf:params:xml:ns:xmpp-sasl", "mechanisms")) {
		return
	}
	if _, err := s.Next(); err != nil {
		return
	}
	write(stanza.New("urn:ietf:params:xml:ns:xmpp-sasl", "success"))
	s.Restart()
	if !open(stanza.New(stanza.NSSM, "sm")) {
		return
	}
	addr := raw.LocalAddr().String()
	r.mu.Lock()
	if r.refuse != nil {
		if err := r.refuse(addr); err != nil {
			r.mu.Unlock()
			c.Write(append(err.Append(nil), stream.End...))
			return
		}
	}
	r.mu.Unlock()
	taken := 0
	for {
		e, err := s.Next()
		if err != nil {
			if err == io.EOF {
				c.Write([]byte(stream.End))
			}
			return
		}
		r.mu.Lock()
		switch {
		case e.Name.Local == "resume" && r.forget == 0 && e.Attr("previd") == strconv.Itoa(r.session):
			r.take(c, addr)
			r.covered(e.Attr("h"))
			write(stanza.New(stanza.NSSM, "resumed", "previd", e.Attr("previd"), "h", fmt.Sprint(r.handled)))
			for _, m := range r.out {
				io.WriteString(c, m)
			}
		case e.Name.Local == "resume":
			if r.forget > 0 {
				r.forget--
			}
			write(stanza.New(stanza.NSSM, "failed", "h", fmt.Sprint(r.handled)).Add(stanza.New(stanza.NSStanzas, "item-not-found")))
		case e.Name.Local == "iq":
			r.take(c, addr)
			r.session++
			r.handled, r.acked, r.out = 0, 0, nil
			const ns = "urn:ietf:params:xml:ns:xmpp-bind"
			write(stanza.Result(e).Add(stanza.New(ns, "bind").Add(stanza.New(ns, "jid").AddText("ada@" + domain + "/r"))))
		case e.Name.Local == "enable":
			write(stanza.New(stanza.NSSM, "enabled", "resume", "true", "id", strconv.Itoa(r.session), "location", r.location))
		case r.conn != net.Conn(c):
			// A connection that was replaced.
			r.mu.Unlock()
			return
		case e.Name.Local == "r":
			write(stanza.New(stanza.NSSM, "a", "h", fmt.Sprint(r.handled)))
		case e.Name.Local == "a":
			r.covered(e.Attr("h"))
		default:
			if taken++; r.life > 0 && taken > r.life {
				// Sometimes it was taken and the client never heard of it.
				if mathrand.IntN(2) == 0 {
					r.stanza(e)
				}
				r.mu.Unlock()
				return
			}
			r.stanza(e)
		}
		r.mu.Unlock()
	}
}

func (r *resumer) take(c net.Conn, addr string) {
	r.conn = c
	r.arrivals = append(r.arrivals, addr)
}

func (r *resumer) stanza(e *stanza.Element) {
	r.handled++
	if id := e.Attr("id"); id != "" {
		r.got = append(r.got, id)
		// Each message is echoed, so both directions are tried.
		m := stanza.New(stanza.NSClient, "message").Add(stanza.New(stanza.NSClient, "body").AddText(id)).Append(nil, stanza.NSClient)
		m = append(m, "<r xmlns='"+stanza.NSSM+"'/>"...)
		r.out = append(r.out, string(m))
		r.conn.Write(m)
	}
}

func (r *resumer) covered(h string) {
	n, err := strconv.ParseUint(h, 10, 32)
	if count := uint32(n) - r.acked; err != nil || int(count) > len(r.out) {
		r.t.Errorf("the client acknowledged %s of %d after %d", h, len(r.out), r.acked)
		return
	}
	r.out = r.out[uint32(n)-r.acked:]
	r.acked = uint32(n)
}

// TestResumption has neither direction lose or double anything, however often
// the connection is lost.
func TestResumption(t *testing.T) {
	r := newResumer(t, 3)
	r.life = 20
	var d diary
	cfg := r.config()
	cfg.Window = 16
	c := run(t, cfg, d.deps())
	const n = 1500
	for i := range n {
		if err := c.Message(t.Context(), "bob@"+domain, fmt.Sprint(i), "x"); err != nil {
			t.Fatal(err)
		}
		// From time to time the client's own network breaks.
		if i%300 == 77 {
			c.Break("")
		}
	}
	if err := c.Drained(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := numbers(n)
	r.mu.Lock()
	if !slices.Equal(r.got, want) {
		t.Errorf("the server got %q; want each once and in order", r.got)
	}
	sessions := r.session
	r.life = 0
	r.mu.Unlock()
	if got := d.await(t, &d.acked, n); !slices.Equal(got, want) {
		t.Errorf("acknowledged %q; want each once and in order", got)
	}
	if got := d.await(t, &d.bodies, n); !slices.Equal(got, want) {
		t.Errorf("received %q; want each once and in order", got)
	}
	if len(d.repeated) > 0 || sessions != 1 {
		t.Errorf("repeated %q in %d sessions; want one session", d.repeated, sessions)
	}
}

// TestSessionLost has the client begin again where the server forgot: what h
// covered is done, the rest is sent again, and is told to be.
func TestSessionLost(t *testing.T) {
	r := newResumer(t, 1)
	var d diary
	c := run(t, r.config(), d.deps())
	ready(t, c)
	if err := c.Message(t.Context(), "bob@"+domain, "0", "x"); err != nil {
		t.Fatal(err)
	}
	d.await(t, &d.acked, 1)
	r.mu.Lock()
	r.forget, r.life = 1, 1
	r.mu.Unlock()
	c.Break("")
	const n = 6
	for i := 1; i < n; i++ {
		if err := c.Message(t.Context(), "bob@"+domain, fmt.Sprint(i), "x"); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			d.await(t, &d.changes, 3)
			r.mu.Lock()
			r.life = 0
			r.mu.Unlock()
		}
	}
	if got := d.await(t, &d.acked, n); !slices.Equal(got, numbers(n)) {
		t.Errorf("acknowledged %q; want each once and in order", got)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if bound := slices.Index(d.changes[1:], "bound"); bound < 0 {
		t.Errorf("changes: %q; want a second session", d.changes)
	}
}

func TestHints(t *testing.T) {
	t.Run("location", func(t *testing.T) {
		r := newResumer(t, 3)
		r.location = r.addrs[2]
		var d diary
		c := run(t, r.config(), d.deps())
		ready(t, c)
		c.Break("")
		d.await(t, &d.changes, 3)
		if want := []string{r.addrs[0], r.addrs[2]}; !slices.Equal(r.arrivals, want) {
			t.Errorf("connected to %q; want %q", r.arrivals, want)
		}
	})
	t.Run("see-other-host", func(t *testing.T) {
		r := newResumer(t, 3)
		r.refuse = func(addr string) *stream.Error {
			if addr != r.addrs[0] {
				return nil
			}
			e := &stream.Error{Condition: stream.UndefinedCondition}
			e.Specific = stanza.New("urn:ietf:params:xml:ns:xmpp-streams", "see-other-host").AddText(r.addrs[1])
			return e
		}
		c := run(t, r.config(), client.Deps{})
		ready(t, c)
		if got := c.Addr(); got != r.addrs[1] {
			t.Errorf("Addr() = %q; want %q", got, r.addrs[1])
		}
	})
	t.Run("silence", func(t *testing.T) {
		r := newResumer(t, 2)
		cfg := r.config()
		cfg.Silence = 50 * time.Millisecond
		var d diary
		c := run(t, cfg, d.deps())
		ready(t, c)
		// Whoever answers stays: twice the silence has passed by far.
		time.Sleep(4 * cfg.Silence)
		d.mu.Lock()
		changes := slices.Clone(d.changes)
		d.mu.Unlock()
		if !slices.Equal(changes, []string{"bound"}) {
			t.Errorf("changes: %q; want one session that stays", changes)
		}
		r.mu.Lock()
		d.await(t, &d.changes, 2)
		r.mu.Unlock()
		if got := d.await(t, &d.changes, 3); got[1] != "lost" {
			t.Errorf("changes: %q; want a loss, and then to be back", got)
		}
	})
}
