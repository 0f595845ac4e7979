package network

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"parley/services/config"
	"parley/services/network/resolver"
	"parley/services/problem"
)

const (
	// leastMTU is what every IPv4 host must take whole (RFC 791 §3.1).
	leastMTU = 576
	mostMTU  = 9216
	// maxHostname is the kernel's HOST_NAME_MAX.
	maxHostname = 64
)

// Check says what is wrong with the network part of d, on a machine where the
// interfaces of present have a NIC: nil, or a problem. It looks at nothing but
// its arguments.
func Check(d config.Document, present []string) error {
	if !isHostname(d.Hostname) {
		return problem.New(problem.HostnameBad, "hostname", d.Hostname)
	}
	names := slices.Sorted(maps.Keys(d.Interfaces))
	for _, name := range names {
		if err := checkInterface(name, d.Interfaces[name], present); err != nil {
			return err
		}
	}
	for i, name := range names {
		for _, other := range names[:i] {
			p, q := static(d.Interfaces[name]), static(d.Interfaces[other])
			if p.IsValid() && q.IsValid() && p.Overlaps(q) {
				return sameSubnet(name, other, p)
			}
		}
	}
	return checkDNS(d.DNS, present)
}

// checkDNS says what is wrong with d where the interfaces of present have a NIC.
func checkDNS(d config.DNS, present []string) error {
	for i, name := range d.Listen {
		switch {
		case !slices.Contains(Names, name):
			return problem.New(problem.InterfaceUnknown, "interface", name)
		case !slices.Contains(present, name):
			return absent(name, present)
		case slices.Contains(d.Listen[:i], name):
			return problem.New(problem.ArgumentTwice, "value", name)
		}
	}
	return resolver.Check(d)
}

func checkInterface(name string, i config.Interface, present []string) error {
	if !slices.Contains(Names, name) {
		return problem.New(problem.InterfaceUnknown, "interface", name)
	}
	if (i.IPv4.Enabled || i.MTU != 0) && !slices.Contains(present, name) {
		return absent(name, present)
	}
	if i.MTU != 0 && (i.MTU < leastMTU || i.MTU > mostMTU) {
		return problem.New(problem.MTUBad, "interface", name, "mtu", strconv.Itoa(i.MTU))
	}
	v4 := i.IPv4
	if v4.DHCP || v4.Address == (netip.Prefix{}) {
		return nil
	}
	if reason := badAddress(v4.Address); reason != "" {
		return problem.New(problem.AddressBad, "interface", name, "address", v4.Address.String(), "reason", reason)
	}
	if v4.Gateway == (netip.Addr{}) {
		return nil
	}
	if reason := badGateway(v4.Gateway, v4.Address); reason != "" {
		return problem.New(problem.GatewayBad, "interface", name, "gateway", v4.Gateway.String(), "reason", reason)
	}
	return nil
}

// static is the address that i has by configuration; invalid if none.
func static(i config.Interface) netip.Prefix {
	if !i.IPv4.Enabled || i.IPv4.DHCP {
		return netip.Prefix{}
	}
	return i.IPv4.Address
}

func sameSubnet(name, other string, p netip.Prefix) error {
	return problem.New(problem.SubnetTwice, "interface", name, "other", other, "subnet", p.Masked().String())
}

func absent(name string, present []string) error {
	have := strings.Join(present, ", ")
	if have == "" {
		have = "none"
	}
	return problem.New(problem.InterfaceAbsent, "interface", name, "present", have)
}

// badAddress says why p cannot be the address of an interface; "" if it can.
func badAddress(p netip.Prefix) string {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return "it is not an address with a prefix length"
	case !a.Is4():
		return "it is not IPv4"
	case p.Bits() == 0:
		return "a prefix length of 0 is the whole Internet"
	case a.IsLoopback():
		return "it is a loopback address"
	case a.IsMulticast():
		return "it is a multicast address"
	case a.As4()[0] == 0 || a.As4()[0] >= 240:
		return "it is a reserved address"
	}
	return badHost(a, p)
}

// badHost says why a is no host of p's subnet. Subnets of one and two
// addresses have neither network nor broadcast address (RFC 3021).
func badHost(a netip.Addr, p netip.Prefix) string {
	if p.Bits() >= 31 {
		return ""
	}
	switch a {
	case p.Masked().Addr():
		return fmt.Sprintf("it is the network address of %v", p.Masked())
	case broadcast(p):
		return fmt.Sprintf("it is the broadcast address of %v", p.Masked())
	}
	return ""
}

func badGateway(g netip.Addr, p netip.Prefix) string {
	switch {
	case !p.Contains(g):
		return fmt.Sprintf("it is not in the subnet %v", p.Masked())
	case g == p.Addr():
		return "it is the address of the interface itself"
	}
	return badHost(g, p)
}

// broadcast is the last address of p, which is IPv4.
func broadcast(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// isHostname follows RFC 1123 §2.1.
func isHostname(s string) bool {
	if len(s) > maxHostname {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
			default:
				return false
			}
		}
	}
	return true
}
