package resolver

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"parley/services/config"
	"parley/services/network/loopback"
)

// upstream serves h on loopback by UDP and TCP, as another's name server would.
func upstream(t *testing.T, h dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	// The resolver's own way to a port that is free for both.
	l, err := new(Resolver).Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, tcp := l.udp, l.tcp
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: h}, {Listener: tcp, Handler: h}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		done := make(chan struct{})
		go func() { defer close(done); _ = s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = s.Shutdown(); <-done })
	}
	return netip.MustParseAddrPort(udp.LocalAddr().String())
}

// serve runs a resolver whose servers are upstreams, and returns its address.
func serve(t *testing.T, records []string, upstreams ...netip.AddrPort) string {
	t.Helper()
	r := New(slog.New(slog.NewTextHandler(t.Output(), nil)), Sockets{}, func() []netip.AddrPort { return upstreams })
	if err := r.Configure(config.DNS{Records: records}); err != nil {
		t.Fatal(err)
	}
	s, err := r.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return s.Addr().String()
}

func many(n int) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		for i := range n {
			m.Answer = append(m.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300},
				A:   net.IPv4(10, 0, byte(i>>8), byte(i)),
			})
		}
		if w.RemoteAddr().Network() == "udp" {
			m.Truncate(dns.MinMsgSize)
		}
		_ = w.WriteMsg(m)
	}
}

func TestTruncatedAnswerIsFetchedByTCP(t *testing.T) {
	addr := serve(t, nil, upstream(t, many(200)))
	q := new(dns.Msg).SetQuestion("many.example.com.", dns.TypeA)
	for _, tt := range []struct {
		network string
		whole   bool
	}{{"tcp", true}, {"udp", false}} {
		m, _, err := (&dns.Client{Net: tt.network, Timeout: 20 * time.Second}).Exchange(q, addr)
		if err != nil {
			t.Fatal(err)
		}
		if whole := len(m.Answer) == 200; whole != tt.whole || m.Truncated == tt.whole {
			t.Errorf("by %s: %d records, truncated %v; want all: %v", tt.network, len(m.Answer), m.Truncated, tt.whole)
		}
	}
}

func TestServerWithoutEDNS(t *testing.T) {
	good := many(1)
	addr := serve(t, nil, upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		if q.IsEdns0() != nil {
			_ = w.WriteMsg(&dns.Msg{MsgHdr: dns.MsgHdr{Id: q.Id, Response: true, Rcode: dns.RcodeFormatError}})
			return
		}
		good(w, q)
	}))
	m, err := dns.Exchange(new(dns.Msg).SetQuestion("old.example.com.", dns.TypeA), addr)
	if err != nil || len(m.Answer) != 1 {
		t.Errorf("Exchange = %v, %v; want one record", m, err)
	}
}

func TestClosedPortFailsOver(t *testing.T) {
	gone := netip.AddrPortFrom(loopback.Address(), 53)
	addr := serve(t, nil, gone, upstream(t, many(1)))
	start := time.Now()
	m, err := dns.Exchange(new(dns.Msg).SetQuestion("cb1.example.com.", dns.TypeA), addr)
	if err != nil || len(m.Answer) != 1 {
		t.Errorf("Exchange = %v, %v; want one record", m, err)
	}
	if took := time.Since(start); took > patience {
		t.Errorf("took %v; a closed port is known at once", took)
	}
}

func TestServerAnswersByTheRules(t *testing.T) {
	addr := serve(t, []string{"cb1.example.com 60 A 10.0.0.5"})
	question := func(name string, qtype, class uint16) *dns.Msg {
		m := new(dns.Msg).SetQuestion(name, qtype)
		m.Question[0].Qclass = class
		return m
	}
	notify := new(dns.Msg).SetNotify("example.com.")
	edns := new(dns.Msg).SetQuestion("cb1.example.com.", dns.TypeA)
	edns.SetEdns0(4096, true)
	for _, tt := range []struct {
		name   string
		query  *dns.Msg
		code   int
		answer int
	}{
		{"local", question("cb1.example.com.", dns.TypeA, dns.ClassINET), dns.RcodeSuccess, 1},
		{"mixed case comes back", question("cB1.eXample.com.", dns.TypeA, dns.ClassINET), dns.RcodeSuccess, 1},
		{"EDNS", edns, dns.RcodeSuccess, 1},
		{"no server", question("x.example.com.", dns.TypeA, dns.ClassINET), dns.RcodeServerFailure, 0},
		{"class", question("cb1.example.com.", dns.TypeA, dns.ClassCHAOS), dns.RcodeRefused, 0},
		{"any", question("cb1.example.com.", dns.TypeANY, dns.ClassINET), dns.RcodeNotImplemented, 0},
		{"transfer", question("example.com.", dns.TypeAXFR, dns.ClassINET), dns.RcodeNotImplemented, 0},
		{"notify", notify, dns.RcodeNotImplemented, 0},
	} {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(fmt.Sprint(tt.name, " by ", network), func(t *testing.T) {
				m, _, err := (&dns.Client{Net: network, Timeout: 20 * time.Second}).Exchange(tt.query, addr)
				if err != nil {
					t.Fatal(err)
				}
				if m.Rcode != tt.code || len(m.Answer) != tt.answer || !m.RecursionAvailable || m.Authoritative {
					t.Errorf("answer is\n%v\nwant %s with %d records", m, dns.RcodeToString[tt.code], tt.answer)
				}
				if tt.answer > 0 && (m.IsEdns0() != nil) != (tt.query.IsEdns0() != nil) {
					t.Errorf("EDNS in the answer: %v", m.IsEdns0())
				}
				if m.Question[0].Name != tt.query.Question[0].Name {
					t.Errorf("question is %q; want it as asked, %q", m.Question[0].Name, tt.query.Question[0].Name)
				}
			})
		}
	}
}

// TestGoResolverWorksThroughIt uses the client that most programs of the node
// have.
func TestGoResolverWorksThroughIt(t *testing.T) {
	addr := serve(t, []string{
		"_xmpp-client._tcp.tptac9.com. 86400 IN SRV 10 50 5222 cb1.tptac9.com.",
		"cb1.tptac9.com A 10.106.81.30",
	})
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, strings.TrimSuffix(network, "6"), addr)
	}}
	_, srv, err := r.LookupSRV(t.Context(), "xmpp-client", "tcp", "tptac9.com")
	if err != nil || len(srv) != 1 || srv[0].Target != "cb1.tptac9.com." || srv[0].Port != 5222 {
		t.Errorf("LookupSRV = %v, %v", srv, err)
	}
	hosts, err := r.LookupHost(t.Context(), "cb1.tptac9.com")
	if err != nil || len(hosts) != 1 || hosts[0] != "10.106.81.30" {
		t.Errorf("LookupHost = %v, %v; want 10.106.81.30", hosts, err)
	}
}

// TestServeRefusesStrangers: what others ask is answered to hosts of the
// networks, as they are at the time, and only refused to the rest.
func TestServeRefusesStrangers(t *testing.T) {
	r := New(slog.New(slog.DiscardHandler), Sockets{}, func() []netip.AddrPort { return nil })
	if err := r.Configure(config.DNS{Records: []string{"cb1.example.com 60 A 10.0.0.5"}}); err != nil {
		t.Fatal(err)
	}
	sockets, err := r.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var networks atomic.Pointer[[]netip.Prefix]
	s := r.Serve(sockets.udp, sockets.tcp, func() []netip.Prefix { return *networks.Load() })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	for _, tt := range []struct {
		name     string
		networks []string
		code     int
	}{
		{"none", nil, dns.RcodeRefused},
		{"others", []string{"192.0.2.0/24", "127.0.0.2/32"}, dns.RcodeRefused},
		{"its own", []string{"192.0.2.0/24", "127.0.0.0/8"}, dns.RcodeSuccess},
		{"others again", []string{"::1/128"}, dns.RcodeRefused},
	} {
		nets := []netip.Prefix{}
		for _, n := range tt.networks {
			nets = append(nets, netip.MustParsePrefix(n))
		}
		networks.Store(&nets)
		for _, network := range []string{"udp", "tcp"} {
			q := new(dns.Msg).SetQuestion("cb1.example.com.", dns.TypeA)
			m, _, err := (&dns.Client{Net: network, Timeout: 20 * time.Second}).Exchange(q, s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			good := tt.code == dns.RcodeSuccess
			if m.Rcode != tt.code || (len(m.Answer) == 1) != good || m.RecursionAvailable != good {
				t.Errorf("by %s with networks %s the answer is\n%v\nwant %s", network, tt.name, m, dns.RcodeToString[tt.code])
			}
		}
	}
}

// TestBounded: connections beyond the number are closed, and one that ends
// makes room for another.
func TestBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBounded(inner, 1)
	defer b.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := b.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	first := <-accepted
	over := dial()
	over.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := over.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("a connection beyond the bound reads %v; want it closed", err)
	}
	first.Close()
	first.Close()
	dial()
	if c := <-accepted; c == nil {
		t.Error("no connection after one has ended")
	}
}
