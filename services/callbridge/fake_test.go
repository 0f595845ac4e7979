package callbridge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// authority signs certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	a.cert, a.pem = sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, a.key, a.key)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, c, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (*x509.Certificate, []byte) {
	t.Helper()
	c.SerialNumber = big.NewInt(1)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().AddDate(1, 0, 0)
	}
	c.NotBefore = time.Now().AddDate(0, 0, -7)
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// issue makes a certificate with these names.
func (a *authority) issue(t testing.TB, names ...string) (tls.Certificate, *x509.Certificate, []byte) {
	t.Helper()
	key := newKey(t)
	c, text := sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names}, a.cert, key, a.key)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}, c, text
}

// mesh is a network in memory: servers by address. It is for bubbles of
// synctest.
type mesh struct {
	t  testing.TB
	ca *authority

	mu      sync.Mutex
	servers map[netip.AddrPort]*fake
	// dialled are the addresses, in order, and when.
	dialled []dialled
}

// elsewhere is whom a server names that sends others away.
const elsewhere = "10.0.0.9:5222"

func (f *fake) refusal(condition stream.Condition) []byte {
	if condition == stream.SeeOtherHost {
		return stanza.New(stanza.NSStreams, "error").Add(stanza.New(nsErrors, string(condition)).AddText(elsewhere)).Append(nil, stanza.NSClient)
	}
	return (&stream.Error{Condition: condition}).Append(nil)
}

type dialled struct {
	addr netip.AddrPort
	at   time.Time
}

// fake is a server that does as it is told.
type fake struct {
	cert tls.Certificate
	// silent ones do not even answer to TLS.
	silent bool
	// words go out once the stream is open.
	words []string

	// others are servers of the same cluster: a new connection here ends
	// theirs.
	others []*fake

	mu sync.Mutex
	// live are the connections that were let in.
	live []net.Conn
	// told is what the bridge acknowledged last.
	told string
	// unacked servers take stanzas and acknowledge none; plain ones know
	// nothing of XEP-0198.
	unacked, plain bool
	// refuses, when set, is the condition that follows the handshake.
	refuses stream.Condition
	// mute servers answer nothing.
	mute  bool
	conns []net.Conn
	// pings that were asked for.
	pings int
	heard []*stanza.Element
}

func newMesh(t testing.TB) *mesh {
	return &mesh{t: t, ca: newAuthority(t), servers: map[netip.AddrPort]*fake{}}
}

// server makes one at an address, with a certificate for the domain.
func (m *mesh) server(addr string, f *fake) (*fake, netip.AddrPort) {
	at := netip.MustParseAddrPort(addr)
	if f.cert.Leaf == nil {
		f.cert, _, _ = m.ca.issue(m.t, domain)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.servers[at] = f
	return f, at
}

// gone takes a server away: its connections break, new ones are refused.
func (m *mesh) gone(at netip.AddrPort) {
	m.mu.Lock()
	f := m.servers[at]
	delete(m.servers, at)
	m.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

// dial is Deps.Dial.
func (m *mesh) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	m.mu.Lock()
	m.dialled = append(m.dialled, dialled{addr, time.Now()})
	f := m.servers[addr]
	m.mu.Unlock()
	if f == nil {
		return nil, unix.ECONNREFUSED
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	f.mu.Lock()
	f.conns = append(f.conns, there)
	f.mu.Unlock()
	go f.serve(there)
	return here, nil
}

// calls are what was dialled so far.
func (m *mesh) calls() []dialled {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]dialled(nil), m.dialled...)
}

func (f *fake) serve(raw net.Conn) {
	defer raw.Close()
	if f.silent {
		io.Copy(io.Discard, raw)
		return
	}
	conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{f.cert}})
	if conn.Handshake() != nil {
		return
	}
	s := stream.NewScanner(conn, stanza.NSComponent, limits)
	defer s.Release()
	h, err := s.Header()
	if err != nil {
		return
	}
	conn.Write(stream.Header{Content: stanza.NSComponent, From: h.To, ID: "stream-1"}.Append(nil))
	if _, err := s.Next(); err != nil {
		conn.Write([]byte(stream.End))
		return
	}
	f.mu.Lock()
	refuses := f.refuses
	f.mu.Unlock()
	if refuses == "" {
		for _, o := range f.others {
			o.evict()
		}
		f.now(func() { f.live = append(f.live, conn) })
	}
	if refuses != "" {
		conn.Write(f.refusal(refuses))
		return
	}
	conn.Write([]byte("<handshake/>"))
	var saying sync.WaitGroup
	defer saying.Wait()
	// The pipe holds nothing: whoever writes waits for the other to read.
	out := make(chan []byte, 100)
	saying.Go(func() {
		for _, w := range f.words {
			conn.Write([]byte(w))
		}
		for b := range out {
			conn.Write(b)
		}
	})
	defer close(out)
	defer raw.Close()
	stanzas := 0
	for {
		e, err := s.Next()
		if err != nil {
			return
		}
		if e.Name.Space == stanza.NSSM {
			f.mu.Lock()
			mute, handled := f.mute, stanzas
			if f.unacked {
				handled = 0
			}
			f.mu.Unlock()
			switch {
			case mute:
			case f.plain && e.Name.Local == "enable":
				out <- stanza.New(stanza.NSSM, "failed").Append(nil, stanza.NSClient)
			case e.Name.Local == "enable":
				out <- stanza.New(stanza.NSSM, "enabled").Append(nil, stanza.NSClient)
			case e.Name.Local == "a":
				f.now(func() { f.told = e.Attr("h") })
			case e.Name.Local == "r" && !f.plain:
				out <- stanza.New(stanza.NSSM, "a", "h", strconv.Itoa(handled)).Append(nil, stanza.NSClient)
			}
			continue
		}
		stanzas++
		f.mu.Lock()
		f.heard = append(f.heard, e)
		if e.Child(stanza.NSPing, "ping") != nil {
			f.pings++
		}
		mute := f.mute
		f.mu.Unlock()
		if !mute && e.Attr("type") == "get" {
			out <- stanza.Result(e).Append(nil, stanza.NSClient)
		}
	}
}

// evict ends the connections with a conflict.
func (f *fake) evict() {
	f.mu.Lock()
	live := f.live
	f.live = nil
	f.mu.Unlock()
	for _, c := range live {
		c.Write((&stream.Error{Condition: stream.Conflict}).Append(nil))
	}
}

// now changes or reads what f does.
func (f *fake) now(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// answers are what f was answered with, as text.
func (f *fake) answers() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, e := range f.heard {
		b.WriteString(e.String())
	}
	return b.String()
}
