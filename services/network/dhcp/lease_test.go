package dhcp

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

var byValue = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestLeaseOf(t *testing.T) {
	sent := time.Now()
	ip := net.ParseIP
	a, p := netip.MustParseAddr, netip.MustParsePrefix
	base := []dhcpv4.Modifier{
		dhcpv4.WithYourIP(ip("10.0.0.7")),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ip("10.0.0.1"))),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
		dhcpv4.WithLeaseTime(800),
		dhcpv4.WithRouter(ip("10.0.0.1")),
	}
	lease := func(change func(*Lease)) Lease {
		l := Lease{
			Server: a("10.0.0.1"), Address: p("10.0.0.7/24"), Gateway: a("10.0.0.1"),
			Renew: sent.Add(400 * time.Second), Rebind: sent.Add(700 * time.Second), Expires: sent.Add(800 * time.Second),
		}
		change(&l)
		return l
	}
	for _, tt := range []struct {
		name string
		mods []dhcpv4.Modifier
		old  Lease
		want Lease
		bad  error
	}{
		{name: "plain", want: lease(func(*Lease) {})},
		{
			name: "all options",
			mods: []dhcpv4.Modifier{
				dhcpv4.WithDNS(ip("10.0.0.53"), ip("0.0.0.0"), ip("10.0.0.54")),
				dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x05, 0xb4}),
				dhcpv4.WithOption(dhcpv4.OptRenewTimeValue(100 * time.Second)),
				dhcpv4.WithOption(dhcpv4.OptRebindingTimeValue(200 * time.Second)),
			},
			want: lease(func(l *Lease) {
				l.DNS, l.MTU = []netip.Addr{a("10.0.0.53"), a("10.0.0.54")}, 1460
				l.Renew, l.Rebind = sent.Add(100*time.Second), sent.Add(200*time.Second)
			}),
		},
		{
			name: "T1 after T2",
			mods: []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptRenewTimeValue(750 * time.Second))},
			want: lease(func(*Lease) {}),
		},
		{
			name: "tiny MTU",
			mods: []dhcpv4.Modifier{dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{0, 68})},
			want: lease(func(*Lease) {}),
		},
		{
			name: "without end",
			mods: []dhcpv4.Modifier{dhcpv4.WithLeaseTime(0xffffffff)},
			want: lease(func(l *Lease) { l.Renew, l.Rebind, l.Expires = time.Time{}, time.Time{}, time.Time{} }),
		},
		{
			name: "classless routes go before the router",
			mods: []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(
				&dhcpv4.Route{Dest: &net.IPNet{IP: ip("0.0.0.0").To4(), Mask: net.CIDRMask(0, 32)}, Router: ip("10.0.0.2")},
				&dhcpv4.Route{Dest: &net.IPNet{IP: ip("10.9.0.0").To4(), Mask: net.CIDRMask(16, 32)}, Router: ip("0.0.0.0")},
			))},
			want: lease(func(l *Lease) {
				l.Gateway, l.Routes = a("10.0.0.2"), []Route{{p("10.9.0.0/16"), a("0.0.0.0")}}
			}),
		},
		{
			name: "renewal that names only the time",
			mods: []dhcpv4.Modifier{func(m *dhcpv4.DHCPv4) {
				m.DeleteOption(dhcpv4.OptionRouter)
				m.DeleteOption(dhcpv4.OptionSubnetMask)
				m.DeleteOption(dhcpv4.OptionServerIdentifier)
			}},
			old: Lease{Server: a("10.0.0.9"), Address: p("10.0.0.7/28"), Gateway: a("10.0.0.3"), DNS: []netip.Addr{a("10.0.0.53")}},
			want: lease(func(l *Lease) {
				l.Server, l.Address, l.Gateway, l.DNS = a("10.0.0.9"), p("10.0.0.7/28"), a("10.0.0.3"), []netip.Addr{a("10.0.0.53")}
			}),
		},
		{name: "no address", mods: []dhcpv4.Modifier{dhcpv4.WithYourIP(ip("0.0.0.0"))}, bad: errNoAddress},
		{name: "loopback", mods: []dhcpv4.Modifier{dhcpv4.WithYourIP(ip("127.0.0.1"))}, bad: errNoAddress},
		{name: "no server", mods: []dhcpv4.Modifier{dhcpv4.WithoutOption(dhcpv4.OptionServerIdentifier)}, bad: errNoServer},
		{name: "no time", mods: []dhcpv4.Modifier{dhcpv4.WithLeaseTime(0)}, bad: errNoTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := dhcpv4.New(append(append([]dhcpv4.Modifier{}, base...), tt.mods...)...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := leaseOf(m, sent, tt.old)
			if tt.bad != nil {
				if !errors.Is(err, tt.bad) {
					t.Errorf("leaseOf = %v; want %v", err, tt.bad)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, byValue); diff != "" {
				t.Errorf("leaseOf (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzLease feeds a reply from the network to what reads it.
func FuzzLease(f *testing.F) {
	m, err := dhcpv4.New(dhcpv4.WithYourIP(net.IPv4(10, 0, 0, 7)), dhcpv4.WithLeaseTime(100),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 1))),
		dhcpv4.WithGeneric(dhcpv4.OptionClasslessStaticRoute, []byte{0, 10, 0, 0, 1}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.ToBytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := dhcpv4.FromBytes(data)
		if err != nil {
			return
		}
		now := time.Now()
		l, err := leaseOf(m, now, Lease{})
		if err != nil {
			return
		}
		if !usable(l.Address.Addr()) || !l.Address.IsValid() || !l.Server.IsValid() {
			t.Errorf("lease %+v has no address or server", l)
		}
		if !l.forever() && (l.Renew.Before(now) || l.Rebind.Before(l.Renew) || l.Expires.Before(l.Rebind)) {
			t.Errorf("lease %+v has its times out of order", l)
		}
	})
}
