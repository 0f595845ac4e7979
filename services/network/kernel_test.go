package network

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"parley/services/config"
	"parley/services/problem"
)

// twoCards are eth0 and eth1, the latter in the lower slot.
var twoCards = []card{
	{"eth0", macB, "pci0000:00/0000:00:04.0", "0"},
	{"eth1", macA, "pci0000:00/0000:00:03.0", "0"},
}

func TestKernelIsAsConfigured(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		lan := newLAN(t)
		lan.cable("eth0", macB, "pb", "10.2.0.1/24")
		lan.cable("eth1", macA, "pa", "10.1.0.1/24")
		n := newNode(t, twoCards...)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(problem.Text(err))
			}
		}
		must(n.store.Update(func(d *config.Document) error {
			d.Hostname = "cb1"
			set("a", fixed(t, "10.1.0.5/24", "10.1.0.1"))(d)
			return nil
		}))
		n.start()
		if got := ip(t, "-br", "link"); !strings.Contains(got, "a@") || !strings.Contains(got, "b@") || strings.Contains(got, "eth") {
			t.Errorf("links are\n%s; want a and b", got)
		}
		if host, _ := os.Hostname(); host != "cb1" {
			t.Errorf("host name is %s; want cb1", host)
		}
		a := n.iface("a")
		await(t, "carrier", func() bool { a = n.iface("a"); return a.Up })
		if a.MAC != macA || len(a.Addresses) != 1 || a.Addresses[0].String() != "10.1.0.5/24" || a.MTU != 1500 {
			t.Errorf("a is %+v", a)
		}
		// A veth says that it has a speed and does not negotiate.
		if a.Autoneg != "off" {
			t.Errorf("a negotiates: %q; want off", a.Autoneg)
		}
		var global, connected bool
		for _, r := range a.Routes {
			global = global || r.Global && r.Gateway == addr("10.1.0.1") && r.Destination.Bits() == 0
			connected = connected || !r.Global && r.Destination == netip.MustParsePrefix("10.1.0.0/24") && r.Source == addr("10.1.0.5")
		}
		if !global || !connected || len(a.Routes) != 2 {
			t.Errorf("routes of a are %+v; want the subnet and the default", a.Routes)
		}
		lan.run("ping", "-c1", "-W5", "10.1.0.5")
		before := ip(t, "-d", "route") + ip(t, "-br", "addr")
		must(n.client.Reload(t.Context()))
		if after := ip(t, "-d", "route") + ip(t, "-br", "addr"); after != before {
			t.Errorf("a reload of the same changed\n%s to\n%s", before, after)
		}

		// A second interface, the default one, and a longer packet.
		must(n.change(func(d *config.Document) {
			v4 := fixed(t, "10.2.0.5/24", "10.2.0.1")
			v4.Default = true
			set("b", v4)(d)
			i := d.Interfaces["a"]
			i.MTU = 1400
			d.Interfaces["a"] = i
		}))
		if got := ip(t, "route", "get", "192.0.2.1"); !strings.Contains(got, "via 10.2.0.1 dev b") {
			t.Errorf("route to elsewhere: %s; want it by b", got)
		}
		if got := ip(t, "route", "get", "192.0.2.1", "oif", "a"); !strings.Contains(got, "via 10.1.0.1 dev a") {
			t.Errorf("route of a socket bound to a: %s; want it by a", got)
		}
		if got := n.iface("a").MTU; got != 1400 {
			t.Errorf("MTU of a is %d; want 1400", got)
		}
		// The primary address changes while another of its subnet comes.
		must(n.change(set("a", fixed(t, "10.1.0.6/24", "10.1.0.1"))))
		n.awaitAddress("a", "10.1.0.6/24")
		lan.run("ping", "-c1", "-W5", "10.1.0.6")

		// What somebody else breaks is mended with the next event.
		ip(t, "addr", "flush", "dev", "a")
		ip(t, "link", "set", "dev", "a", "down")
		await(t, "the address again", func() bool {
			a := n.iface("a")
			return len(a.Addresses) == 1 && len(a.Routes) == 2
		})

		must(n.change(func(d *config.Document) {
			i := d.Interfaces["b"]
			i.IPv4.Enabled = false
			d.Interfaces["b"] = i
		}))
		if b := n.iface("b"); b.Up || len(b.Addresses) > 0 || len(b.Routes) > 0 {
			t.Errorf("disabled b is %+v", b)
		}
		before = ip(t, "-d", "route") + ip(t, "-br", "addr")
		err := n.change(func(d *config.Document) {
			set("b", fixed(t, "10.2.0.7/24", "10.2.0.1"))(d)
			d.Interfaces["a"] = config.Interface{MAC: macA, MTU: 1400, IPv4: fixed(t, "10.1.0.6/24", "10.3.0.1")}
		})
		if problem.CodeOf(err) != problem.GatewayBad {
			t.Errorf("a bad gateway: %v", err)
		}
		if after := ip(t, "-d", "route") + ip(t, "-br", "addr"); after != before {
			t.Errorf("a refused change changed\n%s to\n%s", before, after)
		}

		// The slots are swapped: the names stay with the cards. And a
		// restart touches nothing.
		n.stop()
		if after := ip(t, "-d", "route") + ip(t, "-br", "addr"); after != before {
			t.Errorf("the end of the service changed\n%s to\n%s", before, after)
		}
		setCards(t, n.sysfs, card{"b", macB, "pci0000:00/0000:00:01.0", "0"}, card{"a", macA, "pci0000:00/0000:00:03.0", "0"})
		n.start()
		if a := n.iface("a"); a.MAC != macA {
			t.Errorf("a is now %s; want %s", a.MAC, macA)
		}
		if after := ip(t, "-d", "route") + ip(t, "-br", "addr"); after != before {
			t.Errorf("a restart changed\n%s to\n%s", before, after)
		}
		n.stop()

		// Names that were given the other way round are swapped.
		must(n.store.Update(func(d *config.Document) error {
			a, b := d.Interfaces["a"], d.Interfaces["b"]
			a.MAC, b.MAC = b.MAC, a.MAC
			a.MTU = 0
			d.Interfaces["a"], d.Interfaces["b"] = a, b
			return nil
		}))
		n.start()
		if a := n.iface("a"); a.MAC != macB || len(a.Addresses) != 1 {
			t.Errorf("a is now %+v; want %s with its address", a, macB)
		}
	})
}

func TestPing(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		lan := newLAN(t)
		lan.cable("eth0", macA, "pa", "10.1.0.1/24")
		n := newNode(t, card{"eth0", macA, "pci0000:00/0000:00:04.0", "0"})
		if err := n.store.Update(func(d *config.Document) error {
			set("a", fixed(t, "10.1.0.5/24", ""))(d)
			d.DNS.Records = []string{"gw.example.com A 10.1.0.1", "v6.example.com AAAA ::1"}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		n.start()
		if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("1 0"), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := n.client.Ping(t.Context(), "10.1.0.1", 1); problem.CodeOf(err) != problem.PingDenied {
			t.Errorf("ping without permission = %v; want %s", err, problem.PingDenied)
		}
		allowPing(t)
		await(t, "carrier", func() bool { return n.iface("a").Up })
		for i, host := range []string{"10.1.0.1", "gw.example.com", "10.1.0.5", "127.0.0.1", "v6.example.com"} {
			e, err := n.client.Ping(t.Context(), host, i)
			if err != nil || e.Seq != i || e.Took <= 0 || e.Took > pingWait || !e.From.IsValid() {
				t.Errorf("Ping(%s) = %+v, %v", host, e, err)
			}
		}
		start := time.Now()
		for _, tt := range []struct {
			host string
			want problem.Code
		}{
			{"10.1.0.99", problem.PingSilent},
			{"192.0.2.1", problem.PingUnsent},
			{"nowhere.example.com", problem.NoNameServer},
			{"not a host", problem.LookupNameBad},
		} {
			if _, err := n.client.Ping(t.Context(), tt.host, 1); problem.CodeOf(err) != tt.want {
				t.Errorf("Ping(%s) = %v; want %s", tt.host, err, tt.want)
			}
		}
		if took := time.Since(start); took > 5*pingWait {
			t.Errorf("four refusals took %v", took)
		}
	})
}
