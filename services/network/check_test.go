package network

import (
	"net/netip"
	"strings"
	"testing"

	"parley/services/config"
	"parley/services/problem"
)

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func TestCheck(t *testing.T) {
	static := func(p, gw string) config.Interface {
		return config.Interface{IPv4: config.IPv4{Enabled: true, Address: netip.MustParsePrefix(p), Gateway: addr(gw)}}
	}
	one := func(p, gw string) func(*config.Document) {
		return func(d *config.Document) { d.Interfaces["a"] = static(p, gw) }
	}
	dns := func(server string) func(*config.Document) {
		return func(d *config.Document) {
			d.DNS.Zones = []config.ForwardZone{{Domain: ".", Server: netip.MustParseAddrPort(server)}}
		}
	}
	host := func(name string) func(*config.Document) { return func(d *config.Document) { d.Hostname = name } }
	mtu := func(n int) func(*config.Document) {
		return func(d *config.Document) { d.Interfaces["a"] = config.Interface{MTU: n} }
	}
	for _, tt := range []struct {
		name   string
		change func(*config.Document)
		want   problem.Code
		says   string
	}{
		{"default", func(*config.Document) {}, "", ""},
		{"static", one("10.0.0.5/24", "10.0.0.1"), "", ""},
		{"no gateway", one("10.0.0.5/24", ""), "", ""},
		{"point to point", one("10.0.0.0/31", "10.0.0.1"), "", ""},
		{"network address", one("10.0.0.0/24", ""), problem.AddressBad, "network address of 10.0.0.0/24"},
		{"broadcast address", one("10.0.1.255/23", ""), problem.AddressBad, "broadcast address of 10.0.0.0/23"},
		{"last of a half", one("10.0.0.255/23", ""), "", ""},
		{"loopback", one("127.0.0.1/8", ""), problem.AddressBad, "loopback"},
		{"multicast", one("224.0.0.5/24", ""), problem.AddressBad, "multicast"},
		{"this network", one("0.1.2.3/24", ""), problem.AddressBad, "reserved"},
		{"class E", one("240.0.0.5/24", ""), problem.AddressBad, "reserved"},
		{"prefix of 0", one("10.0.0.5/0", ""), problem.AddressBad, "prefix length of 0"},
		{"IPv6", one("2001:db8::5/64", ""), problem.AddressBad, "not IPv4"},
		{"gateway elsewhere", one("10.0.0.5/24", "10.0.1.1"), problem.GatewayBad, "not in the subnet 10.0.0.0/24"},
		{"gateway is itself", one("10.0.0.5/24", "10.0.0.5"), problem.GatewayBad, "itself"},
		{"gateway is the broadcast", one("10.0.0.5/24", "10.0.0.255"), problem.GatewayBad, "broadcast"},
		{"gateway is the network", one("10.0.0.5/24", "10.0.0.0"), problem.GatewayBad, "network address"},
		{"disabled but wrong", func(d *config.Document) {
			i := static("10.0.0.0/24", "")
			i.IPv4.Enabled = false
			d.Interfaces["b"] = i
		}, problem.AddressBad, ""},
		{"wrong but DHCP", func(d *config.Document) {
			i := static("10.0.0.0/24", "")
			i.IPv4.DHCP = true
			d.Interfaces["a"] = i
		}, "", ""},
		{"same subnet", func(d *config.Document) {
			d.Interfaces["a"], d.Interfaces["b"] = static("10.0.0.5/24", ""), static("10.0.0.130/25", "")
		}, problem.SubnetTwice, "interfaces b and a"},
		{"same subnet, one disabled", func(d *config.Document) {
			i := static("10.0.0.6/24", "")
			i.IPv4.Enabled = false
			d.Interfaces["a"], d.Interfaces["b"] = static("10.0.0.5/24", ""), i
		}, "", ""},
		{"unknown interface", func(d *config.Document) { d.Interfaces["e"] = static("10.0.0.5/24", "") }, problem.InterfaceUnknown, "'e'"},
		{"absent interface", func(d *config.Document) { d.Interfaces["c"] = static("10.0.9.5/24", "") }, problem.InterfaceAbsent, "a, b"},
		{"absent and unused", func(d *config.Document) { d.Interfaces["c"] = config.Interface{MAC: macC} }, "", ""},
		{"small MTU", mtu(575), problem.MTUBad, "575"},
		{"great MTU", mtu(9217), problem.MTUBad, ""},
		{"jumbo MTU", mtu(9000), "", ""},
		{"negative MTU", mtu(-1), problem.MTUBad, ""},
		{"qualified host name", host("cb1.example.com"), "", ""},
		{"empty host name", host(""), problem.HostnameBad, ""},
		{"host name with underscore", host("cb_1"), problem.HostnameBad, "cb_1"},
		{"host name with hyphen first", host("-cb1"), problem.HostnameBad, ""},
		{"label too long", host(strings.Repeat("x", 64)), problem.HostnameBad, ""},
		{"name server", dns("10.0.0.53:53"), "", ""},
		{"no name server", dns("0.0.0.0:53"), problem.NameServerBad, ""},
		{"record", func(d *config.Document) { d.DNS.Records = []string{"x IN MX 0 y"} }, problem.RecordBad, "MX"},
		{"zone", func(d *config.Document) {
			d.DNS.Zones = []config.ForwardZone{{Domain: "a..b", Server: netip.MustParseAddrPort("10.0.0.53:53")}}
		}, problem.ZoneBad, "a..b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := config.Default()
			tt.change(&d)
			err := Check(d, []string{"a", "b"})
			if got := problem.CodeOf(err); got != tt.want || (err != nil) != (tt.want != "") {
				t.Fatalf("Check = %v; want code %q", err, tt.want)
			}
			if err == nil {
				return
			}
			if text := problem.Text(err); !strings.Contains(text, tt.says) || strings.ContainsAny(text, "{}") || !strings.Contains(text, "; ") {
				t.Errorf("text is %q; want it to say %q and a fix", text, tt.says)
			}
		})
	}
}
