package relay

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

func chatStanza() *stanza.Element {
	return stanza.New(stanza.NSClient, "message", "type", "chat", "to", "bob@example.com", "id", "a1b2c3d4").Add(
		stanza.New(stanza.NSClient, "body").AddText(strings.Repeat("Shall we meet on the balcony? ", 6)),
		stanza.New("urn:xmpp:receipts", "request"), stanza.New("http://jabber.org/protocol/chatstates", "active"))
}

func BenchmarkEncodeSend(b *testing.B) {
	e := chatStanza()
	buf := make([]byte, 0, 1<<16)
	for b.Loop() {
		m := message{kind: kSend, n: 1000, bytes: e.Append(make([]byte, 0, 512), stanza.NSClient)}
		buf = appendFrame(buf[:0], &m)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecodeSend(b *testing.B) {
	m := message{kind: kSend, n: 1000, bytes: chatStanza().Append(nil, stanza.NSClient)}
	frame := appendFrame(nil, &m)
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		m, err := decodeFrame(frame[frameHead:])
		if err != nil {
			b.Fatal(err)
		}
		if _, err := stream.Parse(m.bytes); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDeliver(b *testing.B) {
	m := message{kind: kDeliver, n: 1000, bytes: chatStanza().Append(nil, stanza.NSClient)}
	var buf []byte
	r := bytes.NewReader(nil)
	in := newReader(r)
	for b.Loop() {
		buf = appendFrame(buf[:0], &m)
		r.Reset(buf)
		in.r.Reset(r)
		if _, err := in.next(); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

// switchboard delivers each stanza to the session that it names by number,
// and confirms it, at once.
type switchboard struct {
	link.Announcer
	mu       sync.Mutex
	sessions map[link.SessionID]*line
}

type line struct {
	ref  link.Ref
	edge link.Edge
	last uint64
}

func (s *switchboard) Open(_ context.Context, o link.Open, e link.Edge) (jid.JID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[o.Ref.ID] = &line{ref: o.Ref, edge: e}
	return o.JID.WithResource("r")
}

func (s *switchboard) Send(ref link.Ref, seq uint64, e *stanza.Element) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := ref.ID
	to[0] ^= 1
	if l := s.sessions[to]; l != nil {
		l.last++
		l.edge.Deliver(l.ref, link.Delivery{N: l.last, Item: 1, Bytes: e.Append(make([]byte, 0, 512), stanza.NSClient)})
	}
	s.sessions[ref.ID].edge.Confirm(ref, seq)
}

func (*switchboard) Enable(link.Ref, link.Enable)   {}
func (*switchboard) Delivered(link.Ref, uint64)     {}
func (*switchboard) Close(link.Ref)                 {}
func (*switchboard) Attach(link.Session, link.Edge) {}
func (*switchboard) Lost(link.Edge, link.Keeper)    {}
func (*switchboard) Settled()                       {}

// sink is an edge whose clients take all at once.
type sink struct {
	relay     *Relay
	confirmed chan struct{}
	delivered chan link.Delivery
}

func (s *sink) Deliver(ref link.Ref, d link.Delivery) {
	s.delivered <- d
}
func (s *sink) Confirm(link.Ref, uint64) { s.confirmed <- struct{}{} }
func (s *sink) Memo(link.Ref, []byte)    {}
func (s *sink) End(link.Ref, string)     {}

func benchTLS(tb testing.TB) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"x"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, InsecureSkipVerify: true}
}

// tcpRelays are relays joined by TLS over loopback, of which the first leads.
func tcpRelays(tb testing.TB, n int, local link.Announcer, sinks []*sink) []*Relay {
	conf := benchTLS(tb)
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	var listeners []net.Listener
	relays := make([]*Relay, n)
	addrs := make([]string, n)
	for i := range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		addrs[i] = ln.Addr().String()
		r := New(Config{}, Deps{Edge: sinks[i], Log: slog.New(slog.DiscardHandler), Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			return (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", addr)
		}})
		relays[i] = r
		sinks[i].relay = r
		work.Go(func() { r.Run(ctx) })
		work.Go(func() {
			for k := 0; ; k++ {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				work.Go(func() { r.Serve(ctx, tls.Server(c, conf), fmt.Sprint(k)) })
			}
		})
		listeners = append(listeners, ln)
	}
	tb.Cleanup(func() {
		cancel()
		for _, ln := range listeners {
			ln.Close()
		}
		work.Wait()
	})
	for i, r := range relays {
		l := Leadership{Term: 1, ID: "leader", Addr: addrs[0]}
		if i == 0 {
			l.Local = local
		}
		r.Lead(l)
	}
	return relays
}

// BenchmarkMessage has messages go from a follower's client to a client of
// another follower and back, over TLS; with mirror, the second is the
// leader's own. Each costs what it costs all three nodes.
func BenchmarkMessage(b *testing.B) {
	for _, tt := range []struct {
		name     string
		from, to int
	}{{"follower-leader-follower", 1, 2}, {"follower-leader, mirrored", 1, 0}, {"leader, mirrored", 0, 0}} {
		b.Run(tt.name, func(b *testing.B) {
			sinks := make([]*sink, 3)
			for i := range sinks {
				sinks[i] = &sink{confirmed: make(chan struct{}, 1<<16), delivered: make(chan link.Delivery, 1<<16)}
			}
			relays := tcpRelays(b, 3, &switchboard{sessions: map[link.SessionID]*line{}}, sinks)
			from, to := link.Ref{ID: link.SessionID{2}}, link.Ref{ID: link.SessionID{3}}
			for ref, at := range map[link.Ref]int{from: tt.from, to: tt.to} {
				if _, err := relays[at].Open(b.Context(), link.Open{Ref: ref, JID: mustJID("ada@x")}, sinks[at]); err != nil {
					b.Fatal(err)
				}
			}
			for {
				relays[0].mu.Lock()
				ok := relays[0].backup.synced
				relays[0].mu.Unlock()
				if ok {
					break
				}
				time.Sleep(time.Millisecond)
			}
			e := chatStanza()
			b.ResetTimer()
			const window = 64
			go func() {
				under := 0
				for i := range b.N {
					if under == window {
						<-sinks[tt.from].confirmed
						under--
					}
					relays[tt.from].Send(from, uint64(i+1), e)
					under++
				}
			}()
			for range b.N {
				d := <-sinks[tt.to].delivered
				relays[tt.to].Delivered(to, d.N)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}
