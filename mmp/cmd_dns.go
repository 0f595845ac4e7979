package mmp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"parley/services/account"
	"parley/services/config"
	"parley/services/network/resolver"
	"parley/services/problem"
)

func dnsFamily() family {
	need := account.Configure
	return family{name: "dns", about: "name servers, local records, look-ups", commands: []command{
		{
			usage: "dns", summary: "show forward zones and local records",
			help:    "The name servers that were set for domains, the local records, and the interfaces on which others may ask. Where no zone fits, the name servers are asked that came with a DHCP lease, or, without an appliance, those of the host.",
			example: "dns", need: account.Console, run: showDNS,
		}, {
			usage: "dns add forwardzone <domain> <server>", args: []arg{zoneArg, serverArg}, summary: "ask this server for a domain",
			help:    "Names in the domain are looked up at this server; a domain may have several, asked in turn. The domain . stands for all names that no other zone has.",
			example: "dns add forwardzone tptac9.com 10.106.81.2", need: need, run: addZone,
		}, {
			usage: "dns del forwardzone <domain> <server>", args: []arg{zoneArg, serverArg}, summary: "no longer ask it",
			help:    "Takes back 'dns add forwardzone'.",
			example: "dns del forwardzone tptac9.com 10.106.81.2", need: need, run: delZone,
		}, {
			usage: "dns add rr <record>...", args: []arg{textArg}, summary: "add a local record",
			help: "A local record in zone-file form wins over what any name server says, so that a node works without records of its own in the DNS. Types are A, AAAA, SRV and CNAME.\n" +
				"The records that XMPP is found by are _xmpp-client._tcp.<domain> with port 5222 and _xmpp-component._tcp.<domain> with port 5223.",
			example: "dns add rr _xmpp-component._tcp.tptac9.com. 86400 IN SRV 0 0 5223 cb1.tptac9.com.", need: need, run: addRecord,
		}, {
			usage: "dns del rr <owner> <type>", args: []arg{ownerArg, recordTypeArg}, summary: "delete local records",
			help:    "Deletes the local records of that name and type.",
			example: "dns del rr _xmpp-component._tcp.tptac9.com SRV", need: need, run: delRecord,
		}, {
			usage: "dns lookup <type> <name>", args: []arg{lookupArg, textArg}, summary: "look a name up, as this node does",
			help:    "Looks up A, AAAA or SRV records of a name as this node's services do: local records, then what is cached, then name servers. It says where the answer came from, and the result code of the DNS.",
			example: "dns lookup srv _xmpp-component._tcp.tptac9.com", need: account.Console, endless: true, run: lookup,
		}, {
			usage: "dns listen <interface>...", args: []arg{interfaceArg}, summary: "let others ask this node for names",
			help:    "Answers the hosts of these interfaces' networks as this node's own services: local records, then forward zones, then the servers of the lease. It is on UDP and TCP port 53; others are refused. So nodes without any name server can give clients their own records.",
			example: "dns listen a", need: need, run: listenDNS,
		}, {
			usage: "dns listen none", summary: "let nobody ask",
			help:    "Takes back 'dns listen'. This node's own look-ups go on.",
			example: "dns listen none", need: need, run: func(c *call) error {
				return c.change(func(d *config.Document) error { d.DNS.Listen = nil; return nil })
			},
		}, {
			usage: "dns flush", summary: "forget cached answers",
			help:    "Forgets all answers of name servers, so that a change in the DNS is seen at once.",
			example: "dns flush", need: need, run: func(c *call) error {
				return c.done(c.Network.FlushDNS(c.ctx))
			},
		},
	}}
}

var zoneArg = arg{
	parse: func(s string) (any, error) { return resolver.ParseZone(s) },
	complete: func(c *call, before []string) []string {
		d, err := c.config.Load()
		if err != nil || before[1] == "add" {
			return nil
		}
		var domains []string
		for _, z := range d.DNS.Zones {
			domains = append(domains, z.Domain)
		}
		return domains
	},
}

var serverArg = arg{
	parse: func(s string) (any, error) { return resolver.ParseServer(s) },
	complete: func(c *call, before []string) []string {
		d, err := c.config.Load()
		if err != nil || before[1] == "add" {
			return nil
		}
		var servers []string
		for _, z := range d.DNS.Zones {
			if z.Domain == before[3] {
				servers = append(servers, serverText(z.Server))
			}
		}
		return servers
	},
}

var ownerArg = arg{
	parse: func(s string) (any, error) { return resolver.ParseZone(s) },
	complete: func(c *call, _ []string) []string {
		d, err := c.config.Load()
		if err != nil {
			return nil
		}
		var owners []string
		for _, r := range d.DNS.Records {
			if rr, err := resolver.ParseRecord(r); err == nil {
				owners = append(owners, rr.Header().Name)
			}
		}
		return owners
	},
}

var recordTypeArg = choice("a type of local record", "A", "AAAA", "CNAME", "SRV")

var lookupArg = arg{
	parse: func(s string) (any, error) {
		if k := strings.ToLower(s); k == "a" || k == "aaaa" || k == "srv" {
			return k, nil
		}
		return nil, problem.New(problem.LookupKindBad, "kind", s)
	},
	complete: func(*call, []string) []string { return []string{"a", "aaaa", "srv"} },
}

func showDNS(c *call) error {
	d, err := c.config.Load()
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, "Forward zones:")
	for _, z := range d.DNS.Zones {
		fmt.Fprintf(c.out, "    %s %s\n", z.Domain, serverText(z.Server))
	}
	if len(d.DNS.Zones) == 0 {
		fmt.Fprintln(c.out, "    none")
	}
	fmt.Fprintln(c.out, "Name servers where no zone fits:")
	servers, failed := c.Network.NameServers(c.ctx)
	switch all := slices.ContainsFunc(d.DNS.Zones, func(z config.ForwardZone) bool { return z.Domain == "." }); {
	case all:
		fmt.Fprintln(c.out, "    none is asked: the zone . has all names")
	case failed != nil:
		fmt.Fprintln(c.out, "    not known")
	case len(servers) == 0:
		fmt.Fprintln(c.out, "    none")
	default:
		for _, s := range servers {
			fmt.Fprintf(c.out, "    %s\n", serverText(s))
		}
	}
	fmt.Fprintln(c.out, "Local records:")
	for _, r := range d.DNS.Records {
		fmt.Fprintf(c.out, "    %s\n", r)
	}
	if len(d.DNS.Records) == 0 {
		fmt.Fprintln(c.out, "    none")
	}
	fmt.Fprintln(c.out, "Listening interfaces:")
	fmt.Fprintf(c.out, "    %s\n", orNone(strings.Join(d.DNS.Listen, " ")))
	return failed
}

func listenDNS(c *call) error {
	var names []string
	for i := range c.values {
		names = append(names, c.text(i))
	}
	return c.change(func(d *config.Document) error { d.DNS.Listen = names; return nil })
}

func addZone(c *call) error {
	z := config.ForwardZone{Domain: c.text(0), Server: value[netip.AddrPort](c, 1)}
	return c.change(func(d *config.Document) error {
		if slices.Contains(d.DNS.Zones, z) {
			return problem.New(problem.ZoneTwice, "domain", z.Domain, "server", serverText(z.Server))
		}
		d.DNS.Zones = append(d.DNS.Zones, z)
		return nil
	})
}

func delZone(c *call) error {
	z := config.ForwardZone{Domain: c.text(0), Server: value[netip.AddrPort](c, 1)}
	return c.change(func(d *config.Document) error {
		i := slices.Index(d.DNS.Zones, z)
		if i < 0 {
			return problem.New(problem.ZoneUnknown, "domain", z.Domain, "server", serverText(z.Server))
		}
		d.DNS.Zones = slices.Delete(d.DNS.Zones, i, i+1)
		return nil
	})
}

// recordText is the form in which the document keeps a record: one blank
// between fields, so that the same record is the same text.
func recordText(s string) (text, owner, kind string, err error) {
	rr, err := resolver.ParseRecord(s)
	if err != nil {
		return "", "", "", err
	}
	f := strings.Fields(rr.String())
	return strings.Join(f, " "), strings.TrimSuffix(f[0], "."), f[3], nil
}

func addRecord(c *call) error {
	var words []string
	for i := range c.values {
		words = append(words, c.text(i))
	}
	text, _, _, err := recordText(strings.Join(words, " "))
	if err != nil {
		return err
	}
	return c.change(func(d *config.Document) error {
		if slices.Contains(d.DNS.Records, text) {
			return problem.New(problem.RecordTwice, "record", text)
		}
		d.DNS.Records = append(d.DNS.Records, text)
		return nil
	})
}

func delRecord(c *call) error {
	owner, kind := c.text(0), c.text(1)
	return c.change(func(d *config.Document) error {
		n := len(d.DNS.Records)
		d.DNS.Records = slices.DeleteFunc(d.DNS.Records, func(r string) bool {
			_, o, k, err := recordText(r)
			return err == nil && o == owner && k == kind
		})
		if len(d.DNS.Records) == n {
			return problem.New(problem.RecordUnknown, "record", owner+" "+kind)
		}
		return nil
	})
}

func lookup(c *call) error {
	a, err := c.Network.Lookup(c.ctx, c.text(0), c.text(1))
	if err != nil {
		return err
	}
	from := a.Origin()
	if a.Server.IsValid() {
		from = "server " + from
	}
	for _, r := range a.Records {
		fmt.Fprintln(c.out, strings.Join(strings.Fields(r), " "))
	}
	c.out.rows(row{"Records", fmt.Sprint(len(a.Records))}, row{"Result", a.Code}, row{"Answered by", from},
		row{"Time", millis(a.Took)})
	return nil
}

// serverText leaves the usual port out.
func serverText(s netip.AddrPort) string {
	if s.Port() == 53 {
		return s.Addr().String()
	}
	return s.String()
}
