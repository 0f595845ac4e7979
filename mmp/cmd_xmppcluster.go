package mmp

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"parley/services/account"
	"parley/services/config"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

func clusterCommands() []command {
	need := account.Configure
	return []command{
		{
			usage: "xmpp cluster trust <bundle>", args: []arg{certificateArg}, summary: "set what nodes trust each other by",
			help: "A file of certificates, the same on all nodes. Another node is trusted when its own certificate is in it, or when an authority in it has signed that certificate and it names the XMPP domain. With one certificate per node put all of them into one file; with one shared certificate give that.\n" +
				"The file must cover this node's own certificate, and nothing in it may have expired. It may be replaced while the cluster runs: put old and new certificates into the file, give it to all nodes, then replace certificates one node at a time.",
			example: "xmpp cluster trust xmpp-cluster-bundle.crt", need: need, run: setTrust,
		}, {
			usage: "xmpp cluster trust none", summary: "trust no other node",
			help:    "Takes back 'xmpp cluster trust'. Cluster mode must be off. The file stays.",
			example: "xmpp cluster trust none", need: need, run: clearTrust,
		}, {
			usage: "xmpp cluster enable", summary: "switch cluster mode on",
			help:    "Lets this node be part of a cluster. XMPP must be disabled; domain, interfaces, certificates and trust bundle must have been set. Then the first node runs 'xmpp cluster initialize' and 'xmpp enable', every other one 'xmpp enable' and 'xmpp cluster join <first node>'.",
			example: "xmpp cluster enable", need: need, run: clusterEnable,
		}, {
			usage: "xmpp cluster disable", summary: "switch cluster mode off",
			help:    "The node is on its own then. XMPP must be disabled, and a member leaves first, by 'xmpp cluster remove'.",
			example: "xmpp cluster disable", need: need, run: clusterDisable,
		}, {
			usage: "xmpp cluster initialize", summary: "found a cluster, on its first node",
			help: "Makes this node a cluster of one, with the Call Bridges, accounts and messages that it has. Cluster mode must be on and XMPP disabled. It is for the first node alone; the others join it.\n" +
				"On a member whose cluster has lost its majority for good, it asks for a capital Y and makes this node the only member, with all that it has; the other nodes must then be reset before they join again.",
			example: "xmpp cluster initialize", need: need, run: clusterInitialize,
		}, {
			usage: "xmpp cluster join <node>", args: []arg{nodeArg}, summary: "join the cluster of another node",
			help: "Joins the cluster of the node with that address or name, which has to be a member. Cluster mode must be on and XMPP enabled. Call Bridges, accounts and messages are then the cluster's; a Call Bridge that has another secret here is named, and chat accounts of this node are dropped only after a capital Y.\n" +
				"It says what it waits for. Ctrl-C gives up, and nothing has changed.",
			example: "xmpp cluster join 10.106.81.30", need: need, run: clusterJoin,
		}, {
			usage: "xmpp cluster remove [<node>]", args: []arg{memberArg}, summary: "leave the cluster, or take a node out of it",
			help: "Without an argument, asks for a capital Y and takes this node out of its cluster; it keeps a copy of Call Bridges, accounts and messages. Do this before 'xmpp reset'.\n" +
				"With the address or name of another member, takes that one out: it is gone for good, or was reset while it could not tell the others. For one that can be reached it asks for a capital Y, too.\n" +
				"Both are refused where too few of the nodes that would be left can be reached, as these would serve nobody: take out those that are lost first.",
			example: "xmpp cluster remove 10.106.81.32", need: need, run: clusterRemove,
		}, {
			usage: "xmpp cluster status", summary: "members, leader, and what the cluster stands",
			help: "This node's state, all members with this node last, and the files in use. Below, for each member: the last entry of its log, how many entries it is behind the leader, its version, whether and since when it can be reached, and by how much its clock differs if that is over a second; then how many more nodes may fail.\n" +
				"Without a majority it shows what this node alone knows.",
			example: "xmpp cluster status", need: account.Console, run: clusterStatus,
		},
	}
}

// nodePort is the one port that nodes reach each other by.
const nodePort = "5222"

// nodeArg is the address or name of a node; the port may be there. Its value
// is without the port.
var nodeArg = nodeAt(nodePort)

// nodeAt is a node whose port, where it is given, must be that.
func nodeAt(nodePort string) arg {
	return arg{parse: func(s string) (any, error) {
		bad := problem.New(problem.ArgumentBad, "value", s, "what", "the address or name of a node (its port is always "+nodePort+")", "like", "10.106.81.30")
		if a, ok := address6(s, nodePort); ok {
			if a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
				return nil, bad
			}
			return a.String(), nil
		}
		host, port, some := strings.Cut(s, ":")
		if some && port != nodePort {
			return nil, bad
		}
		if a, err := netip.ParseAddr(host); err == nil && a.IsUnspecified() {
			return nil, bad
		}
		name := strings.TrimSuffix(host, ".")
		if name == "" || len(name) > 253 {
			return nil, bad
		}
		labels := strings.Split(name, ".")
		for _, l := range labels {
			if l == "" || len(l) > 63 || strings.HasPrefix(l, "-") || strings.HasSuffix(l, "-") || strings.Trim(strings.ToLower(l), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
				return nil, bad
			}
		}
		// No name in the DNS ends in a number: that was to be an address.
		if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
			if a, err := netip.ParseAddr(name); err != nil || !a.Is4() {
				return nil, bad
			}
		}
		return name, nil
	}}
}

// address6 reads an IPv6 address, alone, in brackets, or with this port.
func address6(s, port string) (netip.Addr, bool) {
	if host, ok := strings.CutSuffix(s, "]:"+port); ok {
		s = host + "]"
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if s, ok = strings.CutSuffix(inner, "]"); !ok {
			return netip.Addr{}, false
		}
	}
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Is6()
}

// memberArg completes the other members.
var memberArg = arg{parse: nodeArg.parse, complete: func(c *call, _ []string) []string {
	cl, err := c.XMPP.Cluster(c.ctx)
	if err != nil {
		return nil
	}
	return otherMembers(cl)
}}

// address is a node's as the cluster has it, if host is no name.
func address(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(host, nodePort)
	}
	return host
}

func setTrust(c *call) error {
	return c.changeXMPP(func(d *config.Document) error {
		d.XMPP.Cluster.Trust = c.text(0)
		return c.checkTrust(d.XMPP)
	})
}

func clearTrust(c *call) error {
	if err := c.mayUncluster("xmpp cluster trust none"); err != nil {
		return err
	}
	return c.changeXMPP(func(d *config.Document) error {
		if d.XMPP.Cluster.Enabled {
			return problem.New(problem.ClusterModeOn, "command", "xmpp cluster trust none")
		}
		d.XMPP.Cluster.Trust = ""
		return nil
	})
}

// clusterEnable names the first command that is missing; the order is the
// article's.
func clusterEnable(c *call) error {
	return c.changeXMPP(func(d *config.Document) error {
		x := &d.XMPP
		if x.Cluster.Enabled {
			return nil
		}
		if missing, command := missingForCluster(*x); command != "" {
			return problem.New(problem.ClusterUnready, "missing", missing, "command", command)
		}
		if x.Enabled {
			return problem.New(problem.ClusterXMPPEnabled, "command", "xmpp cluster enable")
		}
		x.Cluster.Enabled = true
		if err := c.checkCerts(d); err != nil {
			return err
		}
		return c.checkTrust(*x)
	})
}

// missingForCluster is what cluster mode needs and x has not, with the command
// that sets it, or "".
func missingForCluster(x config.XMPP) (missing, command string) {
	switch {
	case x.Domain == "":
		return "domain", "xmpp domain <name>"
	case len(x.Listen) == 0:
		return "interface to listen on", "xmpp listen <interface>"
	case x.Key == "":
		return "certificate", "xmpp certs <key> <certificate> <bundle>"
	case x.Cluster.Trust == "":
		return "trust bundle", "xmpp cluster trust <bundle>"
	}
	return "", ""
}

func clusterDisable(c *call) error {
	const command = "xmpp cluster disable"
	if err := c.mayUncluster(command); err != nil {
		return err
	}
	return c.changeXMPP(func(d *config.Document) error {
		if !d.XMPP.Cluster.Enabled {
			return nil
		}
		if d.XMPP.Enabled {
			return problem.New(problem.ClusterXMPPEnabled, "command", command)
		}
		d.XMPP.Cluster.Enabled = false
		return nil
	})
}

// mayUncluster refuses a command that a member must not run.
func (c *call) mayUncluster(command string) error {
	cl, err := c.XMPP.Cluster(c.ctx)
	if err != nil {
		return err
	}
	if cl.Member {
		return problem.New(problem.ClusterOn, "command", command)
	}
	return nil
}

func clusterInitialize(c *call) error {
	const command = "xmpp cluster initialize"
	x, cl, err := c.cluster()
	if err != nil {
		return err
	}
	switch {
	case cl.Member && cl.Margin >= 0:
		return problem.New(problem.ClusterMember)
	case !x.Cluster.Enabled:
		return clusterOff(x)
	case x.Enabled:
		return problem.New(problem.ClusterXMPPEnabled, "command", command)
	}
	if cl.Member {
		others := otherMembers(cl)
		err := c.confirm("This makes this node the only member of its cluster, with what it has. The others (" + orNone(strings.Join(others, ", ")) +
			") must be reset and join again; what only they have is lost.")
		if err != nil {
			return err
		}
	}
	return c.done(c.XMPP.ClusterInitialize(c.ctx, cl.Member))
}

// cluster is what is configured and what the service knows.
func (c *call) cluster() (config.XMPP, xmppapi.Cluster, error) {
	d, err := c.config.Load()
	if err != nil {
		return config.XMPP{}, xmppapi.Cluster{}, err
	}
	cl, err := c.XMPP.Cluster(c.ctx)
	return d.XMPP, cl, err
}

// clusterOff names the first of the commands that switch cluster mode on.
func clusterOff(x config.XMPP) error {
	if missing, command := missingForCluster(x); command != "" {
		return problem.New(problem.ClusterUnready, "missing", missing, "command", command)
	}
	return problem.New(problem.ClusterOff)
}

// otherMembers lists the addresses of the other members.
func otherMembers(cl xmppapi.Cluster) []string {
	var others []string
	for _, n := range cl.Nodes {
		if !n.Self {
			others = append(others, strings.TrimSuffix(n.Address, ":"+nodePort))
		}
	}
	return others
}

func clusterRemove(c *call) error {
	cl, err := c.XMPP.Cluster(c.ctx)
	if err != nil {
		return err
	}
	if !cl.Member {
		return problem.New(problem.ClusterNotMember)
	}
	if node := c.text(0); node != "" && !c.isSelf(cl, node) {
		err := c.XMPP.ClusterRemove(c.ctx, address(node), false)
		if p, ok := errors.AsType[*problem.Problem](err); ok && p.Code == problem.ClusterLiving {
			err = c.confirm("This takes " + p.Values["node"] + ", which can be reached, out of the cluster. It keeps a copy of Call Bridges, accounts and messages, and is on its own then; who is connected there loses the connection.")
			if err == nil {
				err = c.XMPP.ClusterRemove(c.ctx, address(node), true)
			}
		}
		return c.done(err)
	}
	consequence := "This takes this node out of its cluster. It keeps a copy of Call Bridges, accounts and messages, and is on its own then."
	if len(otherMembers(cl)) == 0 {
		consequence = "This node is the only member of its cluster, which ends by this. It keeps Call Bridges, accounts and messages, and is on its own then."
	}
	if err := c.confirm(consequence); err != nil {
		return err
	}
	return c.done(c.XMPP.ClusterLeave(c.ctx))
}

// isSelf says whether node, an address or name, is this node. The service
// knows it, too, but would not ask before it leaves.
func (c *call) isSelf(cl xmppapi.Cluster, node string) bool {
	at := slices.IndexFunc(cl.Nodes, func(n xmppapi.Node) bool { return n.Self })
	if at < 0 {
		return false
	}
	own := strings.TrimSuffix(cl.Nodes[at].Address, ":"+nodePort)
	if _, err := netip.ParseAddr(node); err == nil {
		return node == own
	}
	if d, err := c.config.Load(); err == nil {
		short, _, _ := strings.Cut(d.Hostname, ".")
		if strings.EqualFold(node, d.Hostname) || strings.EqualFold(node, short) || strings.EqualFold(node, short+"."+d.XMPP.Domain) {
			return true
		}
	}
	// A name that cannot be looked up is the service's to refuse.
	answer, err := c.Network.Lookup(c.ctx, "a", node)
	return err == nil && slices.ContainsFunc(answer.Records, func(r string) bool { return strings.HasSuffix(r, " "+own) || strings.HasSuffix(r, "\t"+own) })
}
