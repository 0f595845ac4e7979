package dhcp

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Lease is what a server granted.
type Lease struct {
	Server  netip.Addr
	Address netip.Prefix
	// Gateway may be invalid, and outside Address: some clouds do so.
	Gateway netip.Addr
	// Routes are those beside the default one (RFC 3442).
	Routes []Route
	DNS    []netip.Addr
	// MTU is 0 where the server names none.
	MTU int
	// Renew (T1), Rebind (T2) and Expires are zero for a lease without end.
	Renew, Rebind, Expires time.Time
}

// Route leads to Destination by Gateway; an unspecified Gateway means that
// Destination is on the link.
type Route struct {
	Destination netip.Prefix
	Gateway     netip.Addr
}

var (
	errNoAddress = errors.New("offer has no usable address")
	errNoServer  = errors.New("offer names no server")
	errNoTime    = errors.New("offer has no lease time")
)

func (l *Lease) forever() bool { return l.Expires.IsZero() }

// retry is when to try again after a failure at now, in renewing until T2
// or in rebinding until the end: halfway there, but not within a minute unless the time is up
// (RFC 2131 §4.4.5). An attempt that lasted beyond end is followed at
// once by what comes then.
func retry(now, end time.Time) time.Time {
	next := now.Add(max(end.Sub(now)/2, leastRetry))
	if next.After(end) {
		return end
	}
	return next
}

// leaseOf reads a DHCPACK to a request sent at sent, which is what the times
// count from (§4.4.1). old is the lease extended: some servers leave out of
// a renewal what has not changed.
func leaseOf(m *dhcpv4.DHCPv4, sent time.Time, old Lease) (Lease, error) {
	addr := addrOf(m.YourIPAddr)
	if !addr.Is4() || !usable(addr) {
		return Lease{}, fmt.Errorf("%w: %v", errNoAddress, m.YourIPAddr)
	}
	l := Lease{Server: addrOf(m.ServerIdentifier()), Gateway: old.Gateway, Routes: old.Routes, DNS: old.DNS, MTU: old.MTU}
	if !l.Server.IsValid() {
		l.Server = old.Server
	}
	if !l.Server.IsValid() {
		return Lease{}, errNoServer
	}
	mask := m.SubnetMask()
	if mask == nil && old.Address.Addr() == addr {
		mask = net.CIDRMask(old.Address.Bits(), 32)
	}
	if mask == nil {
		mask = m.YourIPAddr.DefaultMask()
	}
	bits, size := mask.Size()
	if size != 32 || bits == 0 {
		return Lease{}, fmt.Errorf("%w: mask %v", errNoAddress, mask)
	}
	l.Address = netip.PrefixFrom(addr, bits)
	// With classless routes the router option is not looked at (RFC 3442).
	if routes := m.ClasslessStaticRoute(); len(routes) > 0 {
		l.Routes, l.Gateway = nil, netip.Addr{}
		for _, r := range routes {
			if r == nil || r.Dest == nil {
				continue
			}
			ones, _ := r.Dest.Mask.Size()
			route := Route{netip.PrefixFrom(addrOf(r.Dest.IP), ones).Masked(), addrOf(r.Router)}
			switch {
			case !route.Destination.IsValid() || !route.Gateway.IsValid():
			case ones == 0:
				l.Gateway = route.Gateway
			default:
				l.Routes = append(l.Routes, route)
			}
		}
	} else if routers := m.Router(); len(routers) > 0 {
		l.Gateway = addrOf(routers[0])
	}
	if !usable(l.Gateway) || l.Gateway == addr {
		l.Gateway = netip.Addr{}
	}
	if servers := m.DNS(); len(servers) > 0 {
		l.DNS = nil
		for _, s := range servers {
			if a := addrOf(s); usable(a) {
				l.DNS = append(l.DNS, a)
			}
		}
	}
	if raw := m.Options.Get(dhcpv4.OptionInterfaceMTU); len(raw) == 2 {
		// 68 is the least that RFC 791 allows; below 576 it is a slip or
		// an attack.
		if mtu := int(raw[0])<<8 | int(raw[1]); mtu >= 576 {
			l.MTU = mtu
		}
	}
	return l, l.setTimes(m, sent)
}

func (l *Lease) setTimes(m *dhcpv4.DHCPv4, sent time.Time) error {
	d := m.IPAddressLeaseTime(0)
	if d <= 0 {
		return errNoTime
	}
	if d >= math.MaxUint32*time.Second {
		return nil
	}
	t1, t2 := m.IPAddressRenewalTime(d/2), m.IPAddressRebindingTime(d/8*7)
	if t1 <= 0 || t1 > t2 || t2 > d {
		t1, t2 = d/2, d/8*7
	}
	l.Renew, l.Rebind, l.Expires = sent.Add(t1), sent.Add(t2), sent.Add(d)
	return nil
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// usable says whether a is one host's.
func usable(a netip.Addr) bool {
	return a.Is4() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
