package diagnosis

import (
	"strings"

	"parley/services/config"
)

// here are the findings of what concerns this node alone, in the order in which
// they are to be mended.
func (f *facts) here() []Finding {
	all := append([]Finding{f.domain()}, f.listen()...)
	all = append(all, f.certificate()...)
	if f.doc.XMPP.Cluster.Enabled {
		all = append(all, f.trustBundle()...)
	}
	all = append(append(all, f.xmpp()), f.ownBridge()...)
	all = append(all, f.ldap()...)
	return append(all, f.space())
}

// What others' findings are compared with.
const (
	whatXMPP   = "XMPP"
	whatDomain = "domain"
)

func (f *facts) xmpp() Finding {
	const what = whatXMPP
	switch {
	case f.statusErr != nil:
		return of(Fail, what, f.statusErr)
	case !f.doc.XMPP.Enabled:
		return fail(what, "it is disabled").by("xmpp enable")
	case f.outside():
		return fail(what, "not running: this node is in no cluster").first(orFound).by(joinFirst)
	case f.status.Trouble != "" && f.cluster.Outside:
		return fail(what, "not running: this node was taken out of its cluster").by("xmpp cluster status")
	case f.status.Trouble != "" && f.cluster.Member && f.cluster.Margin < 0:
		return fail(what, "not running: most of the cluster's nodes cannot be reached").first(f.startAgain()).by("xmpp cluster status")
	case f.status.Trouble != "":
		detail, fix, _ := strings.Cut(f.status.Trouble, "; ")
		return fail(what, "not running: %s", detail).first(fix)
	case !f.status.Running:
		return warn(what, "it is starting").by("xmpp status")
	}
	return ok(what, "enabled and running, client sessions: %d", f.status.Sessions)
}

func (f *facts) domain() Finding {
	if f.doc.XMPP.Domain == "" {
		return fail(whatDomain, "none is set").by("xmpp domain <name>")
	}
	return ok(whatDomain, "%s", f.doc.XMPP.Domain)
}

// listen checks the interfaces that XMPP is to listen on.
func (f *facts) listen() []Finding {
	const what = "listening interface"
	if len(f.doc.XMPP.Listen) == 0 {
		return []Finding{fail(what, "none is set").by("xmpp listen a")}
	}
	if f.nicsErr != nil {
		return []Finding{of(Warn, what, f.nicsErr)}
	}
	var all []Finding
	for _, name := range f.doc.XMPP.Listen {
		all = append(all, f.iface(name))
	}
	return all
}

func (f *facts) iface(name string) Finding {
	what := "interface " + name
	v4 := f.doc.Interfaces[name].IPv4
	for _, n := range f.nics {
		switch {
		case n.Name != name:
		case !n.Up:
			return fail(what, "its link is down").first("plug its cable in, or connect the virtual one").by("iface " + name)
		case f.address(name).IsValid():
			return ok(what, "up, %v", n.Addresses[0])
		case !v4.Enabled:
			return fail(what, "it is disabled").by("ipv4 " + name + " enable")
		case v4.DHCP:
			return fail(what, "it has no address: no DHCP server has answered").
				first("mend the DHCP server, or, to set an address,").by("ipv4 " + name + " add <address>/<prefix> <gateway>")
		default:
			return fail(what, "it has no address").by("ipv4 "+name+" dhcp", "ipv4 "+name+" enable")
		}
	}
	f2 := fail(what, "it has no network card")
	if len(f.nics) > 0 {
		return f2.by("xmpp listen " + f.nics[0].Name)
	}
	return f2.first("add a card to the machine")
}

// certsCommand is the 'xmpp certs' that gives the service these files.
func certsCommand(key string, x config.XMPP) string {
	command := "xmpp certs " + key + " " + x.Certificate
	if x.Bundle != "" {
		command += " " + x.Bundle
	}
	return command
}
