package mmptest

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"parley/init/initapi"
	"parley/services/config"
	"parley/services/network"
	"parley/services/network/networkapi"
	"parley/services/network/resolver"
	"parley/services/problem"
)

// Network is the twin of the network service on a machine with the interfaces
// a and b. It checks as the service does.
type Network struct {
	// Config is what Reload takes.
	Config *config.Store
	// Hosts answer a Ping.
	Hosts map[string]netip.Addr

	mu      sync.Mutex
	taken   *config.Document
	flushes int
	// cached are the questions that the server has answered.
	cached map[string]bool
}

var _ networkapi.API = (*Network)(nil)

// present are the interfaces of the twin and their MAC addresses.
var present = []string{"a", "b"}

// Fingerprint is all that changes of the state, as text.
func (n *Network) Fingerprint() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprint(n.taken, n.flushes)
}

// Interfaces implements networkapi.API.
func (n *Network) Interfaces(context.Context) ([]networkapi.Interface, error) {
	d, err := n.Config.Load()
	if err != nil {
		return nil, err
	}
	var out []networkapi.Interface
	for i, name := range present {
		c := d.Interfaces[name]
		nic := networkapi.Interface{Name: name, MAC: fmt.Sprintf("52:54:00:12:34:%02x", 0x56+i), Up: i == 0, MTU: 1500}
		if c.MTU != 0 {
			nic.MTU = c.MTU
		}
		if c.IPv4.Enabled && !c.IPv4.DHCP && c.IPv4.Address.IsValid() {
			nic.Addresses = []netip.Prefix{c.IPv4.Address}
			nic.Routes = []networkapi.Route{
				{Source: c.IPv4.Address.Addr(), Destination: c.IPv4.Address.Masked()},
				{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: c.IPv4.Gateway, Global: true},
			}
		}
		if c.IPv4.Enabled && c.IPv4.DHCP {
			address, gateway := netip.MustParsePrefix("10.0.2.15/24"), netip.MustParseAddr("10.0.2.2")
			nic.Addresses = []netip.Prefix{address}
			nic.Routes = []networkapi.Route{{Source: address.Addr(), Destination: address.Masked()}}
			nic.Lease = &networkapi.Lease{Server: gateway, Address: address, Gateway: gateway, DNS: []netip.Addr{netip.MustParseAddr("10.0.2.3")},
				Renew: Now().Add(12 * time.Hour), Expires: Now().Add(24 * time.Hour)}
		}
		out = append(out, nic)
	}
	return out, nil
}

// Reload implements networkapi.API.
func (n *Network) Reload(context.Context) error {
	d, err := n.Config.Load()
	if err != nil {
		return err
	}
	if err := network.Check(d, present); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.taken = &d
	return nil
}

// NameServers implements networkapi.API: those of the leases.
func (n *Network) NameServers(ctx context.Context) (servers []netip.AddrPort, err error) {
	nics, err := n.Interfaces(ctx)
	for _, i := range nics {
		if i.Lease == nil {
			continue
		}
		for _, a := range i.Lease.DNS {
			servers = append(servers, netip.AddrPortFrom(a, 53))
		}
	}
	return servers, err
}

// Lookup implements networkapi.API with the local records and one server that
// knows nothing.
func (n *Network) Lookup(_ context.Context, kind, name string) (networkapi.Answer, error) {
	zone, err := resolver.ParseZone(name)
	if err != nil {
		return networkapi.Answer{}, problem.New(problem.LookupNameBad, "name", name)
	}
	d, err := n.Config.Load()
	if err != nil {
		return networkapi.Answer{}, err
	}
	a := networkapi.Answer{Source: "local record", Code: "NOERROR", Took: 200 * time.Microsecond}
	for _, r := range d.DNS.Records {
		f := strings.Fields(r)
		if strings.TrimSuffix(f[0], ".") == zone && strings.EqualFold(f[3], kind) {
			a.Records = append(a.Records, r)
		}
	}
	if a.Records == nil {
		a.Source, a.Code, a.Server = "server", "NXDOMAIN", netip.MustParseAddrPort("10.0.2.3:53")
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.cached == nil {
			n.cached = map[string]bool{}
		}
		if question := kind + " " + zone; n.cached[question] {
			a.Source = "cache"
		} else {
			n.cached[question] = true
		}
	}
	return a, nil
}

// FlushDNS implements networkapi.API.
func (n *Network) FlushDNS(context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.flushes++
	clear(n.cached)
	return nil
}

// ForgetDenials implements networkapi.API; nothing is cached here.
func (n *Network) ForgetDenials(context.Context) error { return nil }

// Ping implements networkapi.API.
func (n *Network) Ping(ctx context.Context, host string, seq int) (networkapi.Echo, error) {
	if err := ctx.Err(); err != nil {
		return networkapi.Echo{}, err
	}
	if a, ok := n.Hosts[host]; ok {
		return networkapi.Echo{From: a, Seq: seq, Took: 1500 * time.Microsecond}, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return networkapi.Echo{}, problem.New(problem.PingSilent, "host", host, "address", a.String())
	}
	return networkapi.Echo{}, problem.New(problem.HostNotFound, "host", host)
}

// Now is the time in tests.
func Now() time.Time { return time.Date(2026, 11, 22, 20, 47, 58, 0, time.UTC) }

// Init is the twin of init on an appliance that has been up for a while.
type Init struct {
	mu sync.Mutex
	// Volatile says that there is no state disk.
	Volatile           bool
	Reboots, Poweroffs int
}

var _ initapi.API = (*Init)(nil)

// Fingerprint is all that changes of the state, as text.
func (i *Init) Fingerprint() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return fmt.Sprint(i.Reboots, i.Poweroffs)
}

// Status implements initapi.API.
func (i *Init) Status(context.Context) (initapi.Status, error) {
	s := initapi.Status{
		Version: "1.0", Kernel: "6.1.0-40-amd64", Booted: Now().Add(-24*time.Minute - 26*time.Second),
		Storage: "vda1 (ext4, 1.0 GiB)", Volatile: i.Volatile,
		Services: []initapi.Service{
			{Name: "network", Running: true, PID: 71, Since: Now().Add(-24 * time.Minute)},
			{Name: "xmpp", Running: true, PID: 80, Since: Now().Add(-61 * time.Second), Restarts: 1, LastExit: "signal: killed"},
		},
	}
	if i.Volatile {
		s.Storage = "memory"
	}
	return s, nil
}

// Restart implements initapi.API.
func (i *Init) Restart(_ context.Context, service string) error {
	return problem.New(problem.NoSuchService, "service", service)
}

// Reboot implements initapi.API.
func (i *Init) Reboot(context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.Reboots++
	return nil
}

// Poweroff implements initapi.API.
func (i *Init) Poweroff(context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.Poweroffs++
	return nil
}
