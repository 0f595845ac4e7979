package network

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"parley/services/config"
	"parley/services/network/resolver"
	"parley/services/problem"
)

// memoryDoors stand in for port 53 of devices: a port of loopback for each.
type memoryDoors struct {
	mu sync.Mutex
	// at is where each interface's door is, opened how often each was.
	at     map[string]string
	opened []string
	refuse error
}

func (m *memoryDoors) open(ctx context.Context, iface string) (net.PacketConn, net.Listener, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return nil, nil, m.refuse
	}
	var lc net.ListenConfig
	for {
		udp, tcp, err := openDoor(ctx, lc, iface, netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			return nil, nil, err
		}
		tcp.Close()
		if tcp, err = lc.Listen(ctx, "tcp4", udp.LocalAddr().String()); err != nil {
			udp.Close()
			continue
		}
		m.at[iface], m.opened = udp.LocalAddr().String(), append(m.opened, iface)
		return udp, tcp, nil
	}
}

// take returns what was opened since the last call.
func (m *memoryDoors) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	opened := m.opened
	m.opened = nil
	return opened
}

func (m *memoryDoors) where(iface string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at[iface]
}

// code asks for A of cb1.tptac9.com and returns the answer's code, "" for none.
func code(server string) string {
	q := new(dns.Msg).SetQuestion("cb1.tptac9.com.", dns.TypeA)
	m, _, err := (&dns.Client{Net: "tcp", Timeout: 20 * time.Second}).Exchange(q, server)
	if err != nil {
		return ""
	}
	return dns.RcodeToString[m.Rcode]
}

func listening(names ...string) func(*config.Document) {
	return func(d *config.Document) { d.DNS.Listen = names }
}

func TestFamily(t *testing.T) {
	for at, want := range map[string]string{"10.0.0.5": "udp4", "0.0.0.0": "udp4", "::1": "udp6", "fd00::5": "udp6"} {
		if got := family("udp", netip.MustParseAddr(at)); got != want {
			t.Errorf("family(udp, %s) = %s; want %s", at, got, want)
		}
	}
}

func TestOthersMayAsk(t *testing.T) {
	b := newBench(t)
	b.dhcp.grant = lease("127.0.0.5/8", "127.0.0.2", "127.0.0.2")
	b.start()
	must := func(f func(*config.Document)) {
		t.Helper()
		if err := b.change(f); err != nil {
			t.Fatal(problem.Text(err))
		}
	}
	must(func(d *config.Document) { d.DNS.Records = []string{"cb1.tptac9.com. A 10.0.0.5"} })
	b.await("the lease", func() bool { return b.addresses("a") == "127.0.0.5/8" })
	if got := b.doors.take(); got != nil {
		t.Errorf("opened without being told: %v", got)
	}
	must(listening("a", "b"))
	if d := cmp.Diff([]string{"a", "b"}, b.doors.take()); d != "" {
		t.Errorf("opened (-want +got):\n%s", d)
	}
	// a has a network that 127.0.0.1 is in, and b has none.
	if got := code(b.doors.where("a")); got != "NOERROR" {
		t.Errorf("the answer on a is %q; want NOERROR", got)
	}
	if got := code(b.doors.where("b")); got != "REFUSED" {
		t.Errorf("the answer on b is %q; want REFUSED", got)
	}
	b.doors.mu.Lock()
	b.doors.refuse = portTaken("b", dnsPort)
	b.doors.mu.Unlock()
	must(listening("a"))
	if err := b.change(listening("a", "b")); problem.CodeOf(err) != problem.PortTaken {
		t.Errorf("a port that is taken: %v; want %s", err, problem.PortTaken)
	}
	if d, err := b.store.Load(); err != nil || !slices.Equal(d.DNS.Listen, []string{"a"}) {
		t.Errorf("after the refusal live.json has %v, %v; want a", d.DNS.Listen, err)
	}
	if got := code(b.doors.where("a")); got != "NOERROR" {
		t.Errorf("after the refusal the answer on a is %q; want NOERROR", got)
	}
	for _, tt := range []struct {
		name  string
		names []string
		want  problem.Code
	}{
		{"no such interface", []string{"x"}, problem.InterfaceUnknown},
		{"no card", []string{"c"}, problem.InterfaceAbsent},
		{"twice", []string{"a", "a"}, problem.ArgumentTwice},
	} {
		if err := b.change(listening(tt.names...)); problem.CodeOf(err) != tt.want {
			t.Errorf("%s: %v; want %s", tt.name, err, tt.want)
		}
	}
	must(listening())
	if got := code(b.doors.where("a")); got != "" {
		t.Errorf("after 'none' the answer on a is %q; want the port closed", got)
	}
}

func TestProcessLetsOthersAsk(t *testing.T) {
	p, c, store := process(t)
	free, err := net.Listen("tcp", "127.0.0.11:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(free.Addr().String())
	free.Close()
	p.cfg.DNSPort = at.Port()
	change := func(f func(*config.Document)) error {
		return store.Transact(func(d *config.Document) error { f(d); return nil }, func() error { return c.Reload(t.Context()) })
	}
	if err := change(func(d *config.Document) {
		d.DNS.Records, d.DNS.Listen = []string{"cb1.tptac9.com. A 10.0.0.5"}, []string{"a"}
	}); err != nil {
		t.Fatal(problem.Text(err))
	}
	if got := code(at.String()); got != "NOERROR" {
		t.Errorf("the answer is %q; want NOERROR", got)
	}
	if err := change(listening("b")); problem.CodeOf(err) != problem.InterfaceAbsent {
		t.Errorf("listening on b: %v; want %s", err, problem.InterfaceAbsent)
	}
	if err := change(listening()); err != nil {
		t.Fatal(problem.Text(err))
	}
	if got := code(at.String()); got != "" {
		t.Errorf("after 'none' the answer is %q; want the port closed", got)
	}
}

// TestDeviceDoor asks a node's real service over a real cable, from a host of
// the interface's network and from an address that is routed there.
func TestDeviceDoor(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		lan := newLAN(t)
		lan.cable("eth0", macA, "pa", "10.1.0.1/24")
		lan.run("ip", "link", "set", "lo", "up")
		lan.run("ip", "addr", "add", "192.0.2.9/32", "dev", "lo")
		n := newNode(t, oneCard)
		n.start()
		if err := n.change(func(d *config.Document) {
			set("a", fixed(t, "10.1.0.5/24", "10.1.0.1"))(d)
			d.DNS.Records, d.DNS.Listen = []string{"cb1.tptac9.com. A 10.1.0.5"}, []string{"a"}
		}); err != nil {
			t.Fatal(problem.Text(err))
		}
		for _, tt := range []struct{ network, from, want string }{
			{"udp", "10.1.0.1", "NOERROR"}, {"tcp", "10.1.0.1", "NOERROR"},
			{"udp", "192.0.2.9", "REFUSED"}, {"tcp", "192.0.2.9", "REFUSED"},
		} {
			await(t, tt.network+" from "+tt.from, func() bool {
				got, err := lan.ask(tt.network, tt.from, "10.1.0.5:53")
				if err == nil && got != tt.want {
					t.Errorf("asked by %s from %s: %s; want %s", tt.network, tt.from, got, tt.want)
				}
				return err == nil
			})
		}
		// The node's own programs ask as before.
		if got := code("127.0.0.1:53"); got != "NOERROR" {
			t.Errorf("the node's own look-up is %q; want NOERROR", got)
		}
		if err := n.change(listening()); err != nil {
			t.Fatal(problem.Text(err))
		}
		if got, err := lan.ask("tcp", "10.1.0.1", "10.1.0.5:53"); err == nil {
			t.Errorf("after 'none' the answer is %s; want the port closed", got)
		}
	})
}

// ask is code from a host of the network with that address.
func (l *lan) ask(network, from, server string) (code string, err error) {
	l.t.Helper()
	local := netip.AddrPortFrom(netip.MustParseAddr(from), 0)
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: net.UDPAddrFromAddrPort(local)}
	if network == "tcp" {
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
	}
	var conn net.Conn
	l.inside(func() { conn, err = d.Dial(network, server) })
	if err != nil {
		return "", err
	}
	defer conn.Close()
	q := new(dns.Msg).SetQuestion("cb1.tptac9.com.", dns.TypeA)
	m, _, err := (&dns.Client{Net: network, Timeout: 10 * time.Second}).ExchangeWithConn(q, &dns.Conn{Conn: conn})
	if err != nil {
		return "", err
	}
	return dns.RcodeToString[m.Rcode], nil
}

// TestDoorsFollowTheLink: a door stays open while its link is the same, and is
// opened anew for another link or after it has ended.
func TestDoorsFollowTheLink(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	m := &memoryDoors{at: map[string]string{}}
	var sockets []net.PacketConn
	o := newDoors(resolver.New(log, resolver.Sockets{}, func() []netip.AddrPort { return nil }), func(ctx context.Context, iface string) (net.PacketConn, net.Listener, error) {
		udp, tcp, err := m.open(ctx, iface)
		sockets = append(sockets, udp)
		return udp, tcp, err
	}, log)
	ctx, cancel := context.WithCancel(t.Context())
	defer o.wait()
	defer cancel()
	set := func(index int) []string {
		t.Helper()
		if err := o.set(ctx, map[string]place{"a": {index, func() []netip.Prefix { return nil }}}); err != nil {
			t.Fatal(err)
		}
		return m.take()
	}
	for _, tt := range []struct {
		name  string
		index int
		want  []string
	}{{"first", 3, []string{"a"}}, {"same link", 3, nil}, {"another link", 7, []string{"a"}}, {"that again", 7, nil}} {
		if d := cmp.Diff(tt.want, set(tt.index)); d != "" {
			t.Errorf("%s: opened (-want +got):\n%s", tt.name, d)
		}
	}
	if got := code(m.where("a")); got != "REFUSED" {
		t.Errorf("the answer is %q; want REFUSED", got)
	}
	sockets[len(sockets)-1].Close()
	<-o.open["a"].done
	if d := cmp.Diff([]string{"a"}, set(7)); d != "" {
		t.Errorf("after its end: opened (-want +got):\n%s", d)
	}
}
