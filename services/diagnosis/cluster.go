package diagnosis

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/services/xmpp/xmppapi"
)

const (
	// behind is how many entries a member may lag at a quiet moment.
	behind = 1000
	// restarting is how long a member that is only restarted cannot be reached.
	restarting = 5 * time.Second
)

// together are the findings of the cluster as a whole, as this node knows it, and
// with what has come of knocking at the doors of members.
func (f *facts) together(d doors) []Finding {
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
		return []Finding{fail(what, "cluster mode is on, and this node is no member of a cluster").first(orFound).by(joinFirst)}
	}
	if cl.Outside {
		return []Finding{fail(what, "this node was taken out, and has yet to hear from a member that this is final").
			first("start one of them, or, where they are gone for good,").by("xmpp cluster remove", joinFirst)}
	}
	all := []Finding{f.membership()}
	if len(f.members()) == len(cl.Nodes) {
		all = append(all, f.quorum())
	}
	for _, n := range cl.Nodes {
		if !n.Self {
			all = append(all, f.member(n, d)...)
		}
	}
	return append(all, f.clocks()...)
}

// outside: it should be in a cluster, and is in none.
func (f *facts) outside() bool {
	return f.clusterErr == nil && f.cluster.Activity == "" && f.doc.XMPP.Cluster.Enabled && !f.cluster.Member
}

const (
	joinFirst = "xmpp cluster join <first node>"
	// orFound is for a first node.
	orFound = "where this is to be the first node, type 'xmpp disable' and 'xmpp cluster initialize', otherwise,"
)

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
	return "start " + list(gone) + " again, or mend the network"
}

// member checks another of the cluster's nodes.
func (f *facts) member(n xmppapi.Node, d doors) []Finding {
	what := "member " + host(n.Address)
	if !n.Reachable {
		return []Finding{f.gone(n, d)}
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
