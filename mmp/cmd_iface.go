package mmp

import (
	"fmt"
	"strconv"

	"parley/services/account"
	"parley/services/config"
	"parley/services/network/networkapi"
)

func ifaceFamily() family {
	return family{name: "iface", about: "links of the network cards", commands: []command{
		{
			usage: "iface", summary: "state of all links",
			help:    "The state of each network card's link. Cards are a to d in the order of their slots and stay so, by their MAC address.",
			example: "iface", need: account.Console, run: eachNIC(showIface),
		}, {
			usage: "iface <interface>", args: []arg{interfaceArg}, summary: "state of one link",
			help:    "MAC address, auto-negotiation, speed, duplex, MTU and whether there is a link. What a card does not tell, as those of virtual machines do not, is left out.",
			example: "iface a", need: account.Console, run: oneNIC(showIface),
		}, {
			usage: "iface <interface> mtu <bytes>", args: []arg{interfaceArg, number(576, 9216, 1500)}, summary: "set the MTU",
			help:    "The most bytes that go into one packet, 576 to 9216. Whatever lies between this machine and others must take as many.",
			example: "iface a mtu 1500", need: account.Configure, run: func(c *call) error {
				name, mtu := c.text(0), value[int](c, 1)
				return c.changeNetwork(name, func(d *config.Document) error {
					i := d.Interfaces[name]
					i.MTU = mtu
					d.Interfaces[name] = i
					return nil
				})
			},
		},
	}}
}

// eachNIC is a command that shows something of all interfaces.
func eachNIC(show func(*call, networkapi.Interface) error) func(*call) error {
	return func(c *call) error {
		nics, err := c.Network.Interfaces(c.ctx)
		if err != nil {
			return err
		}
		for i, n := range nics {
			if i > 0 {
				fmt.Fprintln(c.out)
			}
			fmt.Fprintf(c.out, "Interface %s\n", n.Name)
			if err := show(c, n); err != nil {
				return err
			}
		}
		if len(nics) == 0 {
			fmt.Fprintln(c.out, "none")
		}
		return nil
	}
}

// oneNIC is one that shows it of the interface that is its argument.
func oneNIC(show func(*call, networkapi.Interface) error) func(*call) error {
	return func(c *call) error {
		n, err := c.nic(c.text(0))
		if err != nil {
			return err
		}
		return show(c, n)
	}
}

func showIface(c *call, n networkapi.Interface) error {
	rows := []row{{"Mac address", n.MAC}, {"Link", strconv.FormatBool(n.Up)}}
	if n.Autoneg != "" {
		rows = append(rows, row{"Auto-Negotiation", n.Autoneg})
	}
	if n.Speed > 0 {
		rows = append(rows, row{"Speed", strconv.Itoa(n.Speed)})
	}
	if n.Duplex != "" {
		rows = append(rows, row{"Duplex", n.Duplex})
	}
	c.out.rows(append(rows, row{"MTU", strconv.Itoa(n.MTU)})...)
	return nil
}
