package diagnosis

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/services/xmpp/xmppapi"
)

const (
	// behind is how many entries a member may lag at a quiet moment.
	behind = 1000
	// apart is when clocks are worth a warning, and tooFar when a node that
	// far away may not join.
	apart  = 2 * time.Second
	tooFar = 30 * time.Second
	// restarting is how long a member that is only restarted cannot be reached.
	restarting = 5 * time.Second
)

// together are the findings of the cluster as a whole, as this node knows it.
func (f *facts) together() []Finding {
	const what = "cluster"
	x, cl := f.doc.XMPP, f.cluster
	switch {
	case f.clusterErr != nil:
		return []Finding{of(Fail, what, f.clusterErr)}
	case cl.Activity != "":
		return []Finding{warn(what, "this node is busy with it: %s", cl.Activity).by("xmpp cluster status")}
	case !x.Cluster.Enabled && !cl.Member:
		return []Finding{ok(what, "cluster mode is off; this node is on its own")}
	case f.outside():
		return []Finding{fail(what, "cluster mode is on, and this node is no member of a cluster").by(joinFirst)}
	}
	all := []Finding{f.membership()}
	if len(f.members()) == len(cl.Nodes) {
		all = append(all, f.quorum())
	}
	for _, n := range cl.Nodes {
		if !n.Self {
			all = append(all, f.member(n)...)
		}
	}
	return all
}

// outside: it should be in a cluster, and is in none.
func (f *facts) outside() bool {
	return f.clusterErr == nil && f.cluster.Activity == "" && f.doc.XMPP.Cluster.Enabled && !f.cluster.Member
}

const joinFirst = "xmpp cluster join <first node>"

// membership looks for addresses that stand twice, and for a leader; without a
// majority there can be none.
func (f *facts) membership() Finding {
	const what = "members"
	var addresses []string
	for _, n := range f.cluster.Nodes {
		if slices.Contains(addresses, n.Address) {
			return fail(what, "%s stands twice, so the majority is counted wrong", n.Address).by("xmpp cluster remove " + host(n.Address))
		}
		addresses = append(addresses, n.Address)
	}
	if !f.cluster.Leader && f.cluster.Margin >= 0 {
		return fail(what, "no leader is known").by("xmpp cluster status")
	}
	slices.Sort(addresses)
	return ok(what, "%s", strings.Join(addresses, ", "))
}

// quorum says how many more nodes may fail.
func (f *facts) quorum() Finding {
	const what = "majority"
	voters := 0
	for _, n := range f.cluster.Nodes {
		if !n.Learner {
			voters++
		}
	}
	join := "xmpp cluster join " + orElse(f.own(), "<first node>")
	switch margin := f.cluster.Margin; {
	case margin < 0:
		return fail(what, "%d of %d voting nodes would be needed and fewer can be reached", voters/2+1, voters).
			first(f.startAgain()).by("xmpp cluster status")
	case voters < 3:
		return warn(what, "of %s none may fail; three nodes stand the failure of one", count(voters, "voting node")).
			first("on one more node,").by(join)
	case margin == 0:
		return warn(what, "no more node may fail").
			first(f.startAgain()).by("xmpp cluster status")
	case voters%2 == 0:
		return warn(what, "%d voting nodes stand no more failures than %d", voters, voters-1).first("on one more node,").by(join)
	default:
		return ok(what, "%s may fail", count(margin, "more node"))
	}
}

// startAgain is what brings the members back that are missed.
func (f *facts) startAgain() string {
	var gone []string
	for _, n := range f.cluster.Nodes {
		if !n.Reachable {
			gone = append(gone, host(n.Address))
		}
	}
	return "start " + strings.Join(gone, " and ") + " again, or mend the network"
}

// member checks another of the cluster's nodes.
func (f *facts) member(n xmppapi.Node) []Finding {
	what := "member " + host(n.Address)
	if !n.Reachable {
		gone := fail(what, "it cannot be reached since %s", date(n.Since))
		if f.cluster.Margin < 0 {
			// Nobody can be taken out either.
			return []Finding{gone.first("start it again, or mend the network").by("ping " + host(n.Address))}
		}
		if f.now.Sub(n.Since) < restarting {
			return []Finding{gone.first("where it was restarted, wait for it").by("xmpp cluster status")}
		}
		return []Finding{gone.
			first("start it again, or mend the network, or, where it is gone for good,").by("xmpp cluster remove " + host(n.Address))}
	}
	var all []Finding
	if n.Learner {
		all = append(all, warn(what, "it has not caught up yet, and has no vote").by("xmpp cluster status"))
	}
	if n.Lag > behind {
		all = append(all, warn(what, "it is %d entries behind the leader", n.Lag).by("xmpp cluster status"))
	}
	if own := f.version(); n.Version != "" && own != "" && n.Version != own {
		all = append(all, warn(what, "it runs version %s, this node %s", n.Version, own).first("upgrade the older one").by("version"))
	}
	if off := n.Clock.Abs(); off > apart {
		way := "ahead of"
		if n.Clock < 0 {
			way = "behind"
		}
		level := Warn
		if off > tooFar {
			level = Fail
		}
		all = append(all, Finding{Level: level, What: what, Detail: fmt.Sprintf("its clock is %v %s this node's", off.Round(100*time.Millisecond), way),
			Advice: "set the wrong one, in the machine's set-up or on its host", Commands: []string{"date"}})
	}
	if len(all) == 0 {
		all = append(all, ok(what, "reachable, %s behind the leader", count(int(n.Lag), "entry")))
	}
	return all
}

// version is this node's.
func (f *facts) version() string {
	for _, n := range f.cluster.Nodes {
		if n.Self {
			return n.Version
		}
	}
	return ""
}

// doors says which members' ports cannot be connected to from this node.
func (f *facts) doors() []Finding {
	var all []Finding
	tried := 0
	for _, n := range f.cluster.Nodes {
		addr := host(n.Address)
		for _, port := range []int{clientPort, componentPort} {
			err, known := f.ports[net.JoinHostPort(addr, strconv.Itoa(port))]
			if n.Self && !f.doc.XMPP.Enabled {
				// That is told already.
				continue
			}
			if known {
				tried++
			}
			if err == nil {
				continue
			}
			what := fmt.Sprintf("%s %d", whatPort, port)
			var finding Finding
			if strings.Contains(err.Error(), "refused") {
				finding = fail(what, closed).by("xmpp enable")
			} else {
				finding = fail(what, "from %s: %s", f.own(), dialReason(err)).first("open it in the firewalls on the way")
			}
			if !n.Self {
				finding.Node = addr
			}
			all = append(all, finding)
		}
	}
	if len(all) == 0 && tried > 0 {
		all = append(all, ok("ports", "%d and %d of %s open", clientPort, componentPort, count(tried/2, "member")))
	}
	return all
}

// whatPort begins what is checked of a port.
const whatPort = "TCP port"

// closed: the host answers, and nobody listens.
const closed = "closed"

// dialReason is the end of what a dialer says.
func dialReason(err error) string {
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return "no reply"
	}
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}

// count is "1 node", "2 nodes".
func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(what, "y"))
	}
	return fmt.Sprintf("%d %ss", n, what)
}
