package mmp

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"parley/services/account"
	"parley/services/config"
	"parley/services/network/networkapi"
	"parley/services/problem"
)

func ipv4Family() family {
	need := account.Configure
	return family{name: "ipv4", about: "addresses, gateways and DHCP of the interfaces", commands: []command{
		{
			usage: "ipv4", summary: "configuration and state of all interfaces",
			help:    "For each interface that this machine has, what is configured, and then what is observed: the addresses and routes that the interface really has, and the DHCP lease.",
			example: "ipv4", need: account.Console, run: eachNIC(showIPv4),
		}, {
			usage: "ipv4 <interface>", args: []arg{interfaceArg}, summary: "configuration and state of one interface",
			help:    "What is configured, and then what is observed: the addresses and routes that the interface really has, and the DHCP lease.",
			example: "ipv4 a", need: account.Console, run: oneNIC(showIPv4),
		}, {
			usage: "ipv4 <interface> add <address/prefix> <gateway>", args: []arg{interfaceArg, prefixArg, gatewayArg},
			summary: "give a static address",
			help:    "Gives the interface a static address and a gateway in the same subnet, and ends DHCP there. No two interfaces may be in one subnet. A session over the old address ends.",
			example: "ipv4 a add 10.106.81.30/24 10.106.81.1", need: need, run: addIPv4,
		}, {
			usage: "ipv4 <interface> del", args: []arg{interfaceArg}, summary: "remove the static address",
			help:    "Removes the static address and gateway. Until 'ipv4 <interface> add' or 'ipv4 <interface> dhcp' the interface has none.",
			example: "ipv4 b del", need: need, run: delIPv4,
		}, {
			usage: "ipv4 <interface> dhcp", args: []arg{interfaceArg}, summary: "take the address by DHCP",
			help:    "Address, gateway and name servers come from a DHCP server, and are renewed in time. A static address is kept for 'ipv4 <interface> add'.",
			example: "ipv4 a dhcp", need: need, run: func(c *call) error {
				return c.changeIPv4(func(v4 *config.IPv4) error { v4.DHCP, v4.Enabled = true, true; return nil })
			},
		}, {
			usage: "ipv4 <interface> enable", args: []arg{interfaceArg}, summary: "bring the interface up",
			help:    "Brings the interface up with the address that is configured.",
			example: "ipv4 b enable", need: need, run: func(c *call) error {
				return c.changeIPv4(func(v4 *config.IPv4) error {
					if !v4.DHCP && !v4.Address.IsValid() {
						return problem.New(problem.NoAddress, "interface", c.text(0))
					}
					v4.Enabled = true
					return nil
				})
			},
		}, {
			usage: "ipv4 <interface> disable", args: []arg{interfaceArg}, summary: "take the interface down",
			help:    "Takes the interface's addresses and routes away; what is configured is kept. A session over the interface ends: have another way in, such as the console.",
			example: "ipv4 b disable", need: need, run: func(c *call) error {
				return c.changeIPv4(func(v4 *config.IPv4) error { v4.Enabled = false; return nil })
			},
		}, {
			usage: "ipv4 <interface> default", args: []arg{interfaceArg}, summary: "make its gateway the default route",
			help:    "What has no route of its own goes to this interface's gateway. Where no interface was made the default, a is.",
			example: "ipv4 a default", need: need, run: defaultIPv4,
		},
	}}
}

// showIPv4 has the layout of the original: names in alphabetical order.
func showIPv4(c *call, n networkapi.Interface) error {
	d, err := c.config.Load()
	if err != nil {
		return err
	}
	v4 := d.Interfaces[n.Name].IPv4
	address, prefix := "none", "none"
	if v4.Address.IsValid() {
		address, prefix = v4.Address.Addr().String(), strconv.Itoa(v4.Address.Bits())
	}
	fmt.Fprintln(c.out, "IPv4 configuration:")
	for _, r := range []row{
		{"address", address}, {"default", strconv.FormatBool(isDefault(d, n.Name))}, {"dhcp", strconv.FormatBool(v4.DHCP)},
		{"enabled", strconv.FormatBool(v4.Enabled)}, {"gateway", addrText(v4.Gateway)}, {"macaddress", orNone(n.MAC)},
		{"prefixlen", prefix},
	} {
		fmt.Fprintf(c.out, "    %-15s %s\n", r.label, r.value)
	}
	if len(n.Addresses) == 0 && len(n.Routes) == 0 && n.Lease == nil {
		fmt.Fprintln(c.out, "No observed values for interface")
		return nil
	}
	fmt.Fprintln(c.out, "IPv4 observed values\nAddresses:")
	for _, a := range n.Addresses {
		fmt.Fprintln(c.out, a)
	}
	fmt.Fprintln(c.out, "Routes:")
	fmt.Fprintf(c.out, "    %-15s %-18s %-15s %s\n", "source", "destination", "gateway", "global")
	for _, r := range n.Routes {
		fmt.Fprintf(c.out, "    %-15s %-18s %-15s %t\n", zeroAddr(r.Source), r.Destination, zeroAddr(r.Gateway), r.Global)
	}
	if n.Lease != nil {
		showLease(c, n.Lease)
	}
	return nil
}

func showLease(c *call, l *networkapi.Lease) {
	servers := ""
	for i, a := range l.DNS {
		if i > 0 {
			servers += " "
		}
		servers += a.String()
	}
	fmt.Fprintln(c.out, "DHCP lease:")
	for _, r := range []row{
		{"address", l.Address.String()}, {"gateway", addrText(l.Gateway)}, {"server", addrText(l.Server)},
		{"dns", orNone(servers)}, {"renews", dateTime(l.Renew)}, {"expires", dateTime(l.Expires)},
	} {
		fmt.Fprintf(c.out, "    %-15s %s\n", r.label, r.value)
	}
}

func addIPv4(c *call) error {
	prefix, gateway := value[netip.Prefix](c, 1), value[netip.Addr](c, 2)
	return c.changeIPv4(func(v4 *config.IPv4) error {
		v4.Address, v4.Gateway, v4.DHCP, v4.Enabled = prefix, gateway, false, true
		return nil
	})
}

func delIPv4(c *call) error {
	name := c.text(0)
	return c.changeIPv4(func(v4 *config.IPv4) error {
		if !v4.Address.IsValid() {
			return problem.New(problem.NoAddress, "interface", name)
		}
		v4.Address, v4.Gateway = netip.Prefix{}, netip.Addr{}
		return nil
	})
}

func defaultIPv4(c *call) error {
	name := c.text(0)
	return c.changeNetwork(name, func(d *config.Document) error {
		for n, i := range d.Interfaces {
			i.IPv4.Default = n == name
			d.Interfaces[n] = i
		}
		return nil
	})
}

// isDefault says whose gateway is the default route.
func isDefault(d config.Document, name string) bool {
	for _, i := range d.Interfaces {
		if i.IPv4.Default {
			return d.Interfaces[name].IPv4.Default
		}
	}
	return name == "a"
}

func (c *call) changeIPv4(change func(*config.IPv4) error) error {
	name := c.text(0)
	return c.changeNetwork(name, func(d *config.Document) error {
		i := d.Interfaces[name]
		if err := change(&i.IPv4); err != nil {
			return err
		}
		d.Interfaces[name] = i
		return nil
	})
}

// changeNetwork changes the configuration of an interface that this machine
// has, and has the network service take it.
func (c *call) changeNetwork(name string, change func(*config.Document) error) error {
	if _, err := c.nic(name); err != nil {
		return err
	}
	return c.change(func(d *config.Document) error {
		if d.Interfaces == nil {
			d.Interfaces = map[string]config.Interface{}
		}
		if _, ok := d.Interfaces[name]; !ok {
			d.Interfaces[name] = config.Interface{}
		}
		return change(d)
	})
}

// change changes the network's configuration; if the service refuses, nothing
// has changed.
func (c *call) change(change func(*config.Document) error) error {
	err := c.config.Transact(change, func() error { return c.Network.Reload(c.ctx) })
	return c.done(err)
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return "none"
	}
	return a.String()
}

func zeroAddr(a netip.Addr) string {
	if !a.IsValid() {
		return "0.0.0.0"
	}
	return a.String()
}

// dateTime has the form of the original's 'Last state change'.
func dateTime(t time.Time) string {
	if t.IsZero() {
		return "none"
	}
	return t.UTC().Format("2006-Jan-02 15:04:05")
}
