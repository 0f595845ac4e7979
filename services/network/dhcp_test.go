package network

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"

	"parley/services/config"
	"parley/services/problem"
)

var oneCard = card{"eth0", macA, "pci0000:00/0000:00:03.0", "0"}

// TestDHCPWithDnsmasq goes through the life of a lease with a server that we
// did not write. Its shortest lease is two minutes, so T1 is told to be short.
func TestDHCPWithDnsmasq(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		lan := newLAN(t)
		lan.cable("eth0", macA, "pa", "10.1.0.1/24")
		leases := filepath.Join(t.TempDir(), "leases")
		args := []string{
			"--dhcp-leasefile=" + leases, "--dhcp-option=option:T1,3", "--dhcp-option=option:T2,100",
			"--dhcp-option=option:mtu,1400", "--address=/host.lan.test/10.1.0.9",
		}
		log, stop := lan.dnsmasq("pa", append(args, "--dhcp-range=10.1.0.50,10.1.0.50,2m")...)
		n := newNode(t, oneCard)
		if err := n.store.Update(func(d *config.Document) error { d.Hostname = "cb1"; return nil }); err != nil {
			t.Fatal(err)
		}
		n.start()
		n.awaitAddress("a", "10.1.0.50/24")
		await(t, "the lease in the status", func() bool { return n.iface("a").Lease != nil })
		a := n.iface("a")
		if a.Lease.Server != addr("10.1.0.1") || a.Lease.Gateway != addr("10.1.0.1") || len(a.Lease.DNS) != 1 || a.MTU != 1400 {
			t.Errorf("a is %+v with lease %+v", a, a.Lease)
		}
		if left := time.Until(a.Lease.Expires); left > 2*time.Minute || left < 100*time.Second {
			t.Errorf("lease ends in %v; want some 2 minutes", left)
		}
		if got := ip(t, "route"); !strings.Contains(got, "default via 10.1.0.1 dev a") {
			t.Errorf("routes are\n%s", got)
		}
		if got := ip(t, "addr", "show", "dev", "a"); strings.Contains(got, "valid_lft forever preferred_lft forever\n    inet6") {
			t.Errorf("the leased address has no end:\n%s", got)
		}
		if data, _ := os.ReadFile(leases); !strings.Contains(string(data), macA+" 10.1.0.50 cb1 ") {
			t.Errorf("the server's leases are\n%s; want our host name in it", data)
		}
		answer, err := n.client.Lookup(t.Context(), "a", "host.lan.test")
		if err != nil || answer.Source != "server" || answer.Server.String() != "10.1.0.1:53" || len(answer.Records) != 1 || !strings.HasSuffix(answer.Records[0], "10.1.0.9") {
			t.Errorf("Lookup by the lease's server = %+v, %v", answer, err)
		}

		acks, expires := log.count("DHCPACK"), a.Lease.Expires
		await(t, "renewal", func() bool { return log.count("DHCPACK") > acks })
		await(t, "the extended lease", func() bool { return n.iface("a").Lease.Expires.After(expires) })
		if got := log.count("DHCPDISCOVER"); got != 1 {
			t.Errorf("%d discoveries; a renewal needs none", got)
		}

		// The server comes back with other addresses: it refuses the old one.
		stop()
		if err := os.Remove(leases); err != nil {
			t.Fatal(err)
		}
		log, stop = lan.dnsmasq("pa", append(args, "--dhcp-range=10.1.0.60,10.1.0.60,2m")...)
		n.awaitAddress("a", "10.1.0.60/24")
		if log.count("DHCPNAK") == 0 {
			t.Error("the new address came without a NAK")
		}

		// A restart of the service asks for what it has, and the address
		// never goes.
		n.stop()
		if got := ip(t, "-br", "addr", "show", "dev", "a"); !strings.Contains(got, "10.1.0.60/24") {
			t.Errorf("after the end of the service a has %s", got)
		}
		n.start()
		if got := ip(t, "-br", "addr", "show", "dev", "a"); !strings.Contains(got, "10.1.0.60/24") {
			t.Errorf("after a restart a has %s", got)
		}
		await(t, "the lease again", func() bool { return n.iface("a").Lease != nil })

		// To static and back.
		if err := n.change(set("a", fixed(t, "10.1.0.5/24", "10.1.0.1"))); err != nil {
			t.Fatal(problem.Text(err))
		}
		n.awaitAddress("a", "10.1.0.5/24")
		await(t, "the release", func() bool { return log.count("DHCPRELEASE") == 1 })
		if a := n.iface("a"); a.Lease != nil || a.MTU != 1500 && a.MTU != 1400 {
			t.Errorf("static a is %+v", a)
		}
		if err := n.change(func(d *config.Document) {
			i := d.Interfaces["a"]
			i.IPv4.DHCP = true
			d.Interfaces["a"] = i
		}); err != nil {
			t.Fatal(problem.Text(err))
		}
		n.awaitAddress("a", "10.1.0.60/24")

		// The cable goes and comes back: the lease is verified.
		requests := log.count("DHCPREQUEST")
		lan.run("ip", "link", "set", "dev", "pa", "down")
		await(t, "loss of carrier", func() bool { return !n.iface("a").Up })
		if got := n.iface("a").Addresses; len(got) != 1 {
			t.Errorf("without carrier a has %v; the lease still holds", got)
		}
		lan.run("ip", "link", "set", "dev", "pa", "up")
		await(t, "verification", func() bool { return log.count("DHCPREQUEST") > requests })

		if err := n.change(func(d *config.Document) {
			i := d.Interfaces["a"]
			i.IPv4.Enabled = false
			d.Interfaces["a"] = i
		}); err != nil {
			t.Fatal(problem.Text(err))
		}
		await(t, "the second release", func() bool { return log.count("DHCPRELEASE") == 2 })
		if got := n.iface("a"); len(got.Addresses) > 0 || got.Up {
			t.Errorf("disabled a is %+v", got)
		}
		stop()
	})
}

// shortServer is a DHCP server for leases with times that dnsmasq does not have.
// quiet says which requests it does not answer.
type shortServer struct {
	mu           sync.Mutex
	t1, t2, life time.Duration
	quiet        func(m *dhcpv4.DHCPv4) bool
	asked        []string
}

func (s *shortServer) setQuiet(f func(*dhcpv4.DHCPv4) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet = f
}

func (s *shortServer) setTimes(t1, t2, life time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t1, s.t2, s.life = t1, t2, life
}

func (s *shortServer) serve(conn net.PacketConn, to net.Addr, m *dhcpv4.DHCPv4) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what := m.MessageType().String()
	if !m.ClientIPAddr.IsUnspecified() {
		what += " to extend"
	}
	s.asked = append(s.asked, what)
	if s.quiet(m) {
		return
	}
	reply := dhcpv4.MessageTypeOffer
	if m.MessageType() == dhcpv4.MessageTypeRequest {
		reply = dhcpv4.MessageTypeAck
	}
	r, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(reply),
		dhcpv4.WithYourIP(net.IPv4(10, 1, 0, 70)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 1, 0, 1))), dhcpv4.WithOption(dhcpv4.OptIPAddressLeaseTime(s.life)),
		dhcpv4.WithOption(dhcpv4.OptRenewTimeValue(s.t1)), dhcpv4.WithOption(dhcpv4.OptRebindingTimeValue(s.t2)))
	if err != nil {
		panic(err)
	}
	if m.ClientIPAddr.IsUnspecified() {
		to = &net.UDPAddr{IP: net.IPv4bcast, Port: 68}
	}
	// A client that hears nothing asks again.
	_, _ = conn.WriteTo(r.ToBytes(), to)
}

func (s *shortServer) count(what string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.asked {
		if a == what {
			n++
		}
	}
	return n
}

// start serves on the other end of the cable.
func (s *shortServer) start(l *lan, peer string) {
	l.t.Helper()
	var conn *net.UDPConn
	var listenErr error
	l.inside(func() { conn, listenErr = server4.NewIPv4UDPConn(peer, &net.UDPAddr{Port: 67}) })
	if listenErr != nil {
		l.t.Fatal(listenErr)
	}
	server, err := server4.NewServer(peer, nil, s.serve, server4.WithConn(conn))
	if err != nil {
		l.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(); err != nil && !errors.Is(err, net.ErrClosed) {
			l.t.Log(err)
		}
	}()
	l.t.Cleanup(func() { server.Close(); <-done })
}

func TestLeaseRebindsAndExpires(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		lan := newLAN(t)
		lan.cable("eth0", macA, "pa", "10.1.0.1/24")
		s := &shortServer{t1: time.Second, t2: 2 * time.Second, life: 40 * time.Second, quiet: func(*dhcpv4.DHCPv4) bool { return false }}
		s.start(lan, "pa")
		n := newNode(t, oneCard)
		n.start()
		n.awaitAddress("a", "10.1.0.70/24")
		await(t, "renewals", func() bool { return s.count("REQUEST to extend") >= 2 })

		// The server does not answer until T2: then everybody is asked.
		var first time.Time
		s.setQuiet(func(m *dhcpv4.DHCPv4) bool {
			if m.ClientIPAddr.IsUnspecified() {
				return false
			}
			if first.IsZero() {
				first = time.Now()
			}
			// From T1 to nearly T2; an attempt of the renewal may come
			// at T2, and is all the same.
			return time.Since(first) < s.t2-s.t1-50*time.Millisecond
		})
		renewed := s.count("REQUEST to extend")
		await(t, "renewal and rebinding", func() bool { return s.count("REQUEST to extend") >= renewed+2 })
		await(t, "an answer", func() bool { return time.Until(n.iface("a").Lease.Expires) > s.life-s.t1/2 })
		s.setQuiet(func(*dhcpv4.DHCPv4) bool { return false })
		if got := s.count("DISCOVER"); got != 1 {
			t.Errorf("%d discoveries; rebinding needs none", got)
		}

		s.setTimes(2*time.Second, 3*time.Second, 4*time.Second)
		renewed = s.count("REQUEST to extend")
		await(t, "a short lease", func() bool { return s.count("REQUEST to extend") > renewed })

		// It falls silent: the address goes with its lease, and comes back
		// with the server.
		s.setQuiet(func(*dhcpv4.DHCPv4) bool { return true })
		n.awaitAddress("a")
		await(t, "a new start", func() bool { return s.count("DISCOVER") > 1 })
		if a := n.iface("a"); a.Lease != nil || len(a.Routes) > 0 || !a.Up {
			t.Errorf("a without lease is %+v", a)
		}
		s.setQuiet(func(*dhcpv4.DHCPv4) bool { return false })
		n.awaitAddress("a", "10.1.0.70/24")

		// The kernel ends an address that nobody is left to remove.
		n.stop()
		await(t, "the end of the address", func() bool { return !strings.Contains(ip(t, "-br", "addr", "show", "dev", "a"), "10.1.0.70") })
	})
}

// TestBootWithoutServerDoesNotWait: everything but the address is there.
func TestBootWithoutServerDoesNotWait(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		lan := newLAN(t)
		lan.cable("eth0", macA, "pa", "10.1.0.1/24")
		n := newNode(t, oneCard)
		start := time.Now()
		n.start()
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("up after %v", took)
		}
		start = time.Now()
		if err := n.change(set("a", fixed(t, "10.1.0.5/24", "10.1.0.1"))); err != nil {
			t.Fatal(problem.Text(err))
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("change while discovering took %v", took)
		}
		if got := n.iface("a").Addresses; len(got) != 1 || got[0] != netip.MustParsePrefix("10.1.0.5/24") {
			t.Errorf("addresses are %v", got)
		}
	})
}
