package mmp

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/services/config"
	"parley/services/xmpp/xmppapi"
)

// clusterStatus begins with the original's lines, to the letter; what it never
// told follows.
func clusterStatus(c *call) error {
	x, cl, err := c.cluster()
	if err != nil {
		return err
	}
	files := func() {
		for _, r := range []row{{"Key file", x.Key}, {"Certificate file", x.Certificate}, {"Trust bundle", x.Cluster.Trust}} {
			fmt.Fprintf(c.out, "%-18s : %s\n", r.label, orNone(r.value))
		}
	}
	if !cl.Member {
		fmt.Fprintln(c.out, "State: not a member of a cluster")
		files()
		fmt.Fprintf(c.out, "\n%s\n", nextForCluster(x, cl.Activity))
		return nil
	}
	// The local node stands last: nothing else tells which it is.
	nodes := slices.Clone(cl.Nodes)
	slices.SortStableFunc(nodes, func(a, b xmppapi.Node) int { return cmp.Compare(selfRank(a), selfRank(b)) })
	fmt.Fprintf(c.out, "State: %s\nList of peers\n", cl.State)
	for _, n := range nodes {
		mark := ""
		if n.Leader {
			mark = " (Leader)"
		}
		fmt.Fprintf(c.out, "%s%s\n", n.Address, mark)
	}
	fmt.Fprintf(c.out, "Last state change: %s\n", dateTime(cl.StateChange))
	files()
	fmt.Fprintln(c.out)
	c.nodeTable(nodes, strings.ToLower(cl.State))
	fmt.Fprintln(c.out)
	for _, line := range outlook(cl) {
		fmt.Fprintln(c.out, line)
	}
	return nil
}

func selfRank(n xmppapi.Node) int {
	if n.Self {
		return 1
	}
	return 0
}

// nodeTable has a line for each member; state is this node's.
func (c *call) nodeTable(nodes []xmppapi.Node, state string) {
	lines := [][]string{{"Node", "Log index", "Lag", "Version", "Condition"}}
	for _, n := range nodes {
		name := n.Address
		if n.Self {
			name += " (me)"
		}
		index, lag := fmt.Sprint(n.LastIndex), fmt.Sprint(n.Lag)
		if !n.Reachable && !n.Self && n.LastIndex == 0 {
			index, lag = "-", "-"
		}
		lines = append(lines, []string{name, index, lag, cmp.Or(n.Version, "-"), c.condition(n, state)})
	}
	wide := make([]int, len(lines[0])-1)
	for _, l := range lines {
		for i := range wide {
			wide[i] = max(wide[i], len(l[i]))
		}
	}
	for _, l := range lines {
		for i, w := range wide {
			fmt.Fprintf(c.out, "%-*s  ", w, l[i])
		}
		fmt.Fprintln(c.out, l[len(wide)])
	}
}

// condition is how a member is, in words.
func (c *call) condition(n xmppapi.Node, state string) string {
	var words []string
	since := ""
	if !n.Since.IsZero() {
		since = " for " + duration(c.Now().Sub(n.Since))
	}
	switch {
	case n.Self:
		words = append(words, state)
	case n.Reachable:
		words = append(words, "reachable"+since)
	default:
		words = append(words, "unreachable"+since)
	}
	if n.Leader && !n.Self {
		words = append(words, "leader")
	}
	if n.Learner {
		words = append(words, "learner (catching up, no vote yet)")
	}
	switch off := n.Clock.Round(100 * time.Millisecond); {
	case off > time.Second:
		words = append(words, fmt.Sprintf("clock %.1f s ahead", off.Seconds()))
	case off < -time.Second:
		words = append(words, fmt.Sprintf("clock %.1f s behind", -off.Seconds()))
	}
	return strings.Join(words, ", ")
}

// outlook says what the cluster stands, and what to do about it.
func outlook(cl xmppapi.Cluster) []string {
	voters, there := 0, 0
	var gone []string
	self := "<this node>"
	for _, n := range cl.Nodes {
		if n.Self {
			self = strings.TrimSuffix(n.Address, ":"+nodePort)
		}
		if !n.Reachable && !n.Self {
			gone = append(gone, strings.TrimSuffix(n.Address, ":"+nodePort))
		}
		if n.Learner {
			continue
		}
		voters++
		if n.Reachable || n.Self {
			there++
		}
	}
	majority := voters/2 + 1
	var lines []string
	switch {
	case cl.Outside:
		return append(lines, "WARNING: this node was taken out of its cluster: the members above lack it. It stands alone as soon as it hears from one of them that this is final.",
			"Start "+strings.Join(gone, " or ")+", or, where they are gone for good, type 'xmpp cluster remove' here, then 'xmpp cluster join <node>'.")
	case cl.Margin < 0:
		lines = append(lines, fmt.Sprintf("WARNING: the cluster is down: of its %s this node can reach %d with itself, and %d are needed. The above is what this node alone knows.",
			count(voters, "voting node"), there, majority))
		if len(gone) > 0 {
			lines = append(lines, "Start "+strings.Join(gone, " and ")+" again, or mend the network. If they are lost for good, type 'xmpp disable' and 'xmpp cluster initialize' here.")
		}
		return lines
	case !cl.Leader:
		return append(lines, "WARNING: there is no leader at the moment; the nodes elect one, which takes a second or so. The above is what this node alone knows.")
	case voters == 1:
		lines = append(lines, "WARNING: this cluster has one voting node only, so it stands no failure. Have two more join it: type 'xmpp cluster join "+self+"' there.")
	case voters == 2:
		lines = append(lines, "WARNING: two nodes are worse than one: each of them is needed, which doubles the risk. Have a third join: type 'xmpp cluster join "+self+"' there.")
	case cl.Margin == 0:
		lines = append(lines, "WARNING: the cluster stands no more failure; the next one stops it.")
	case cl.Margin == 1:
		lines = append(lines, "The cluster stands the failure of 1 more node.")
	default:
		lines = append(lines, fmt.Sprintf("The cluster stands the failure of %d more nodes.", cl.Margin))
	}
	if len(gone) > 0 {
		lines = append(lines, "Start "+strings.Join(gone, " and ")+" again, or, where it is gone for good, type 'xmpp cluster remove "+gone[0]+"'.")
	}
	if voters > 3 && voters%2 == 0 {
		lines = append(lines, fmt.Sprintf("%d nodes stand no more failures than %d; an odd number is better.", voters, voters-1))
	}
	return lines
}

// nextForCluster says which command comes next on a node that is no member.
func nextForCluster(x config.XMPP, activity string) string {
	if activity != "" {
		return "This node is joining a cluster: " + activity
	}
	next := "This node is in no cluster yet. "
	_, command := missingForCluster(x)
	switch {
	case command != "":
	case !x.Cluster.Enabled && x.Enabled:
		command = "xmpp disable"
	case !x.Cluster.Enabled:
		command = "xmpp cluster enable"
	case x.Enabled:
		return next + "Next type 'xmpp cluster join <first node>', or, if this is the first node, 'xmpp disable' and 'xmpp cluster initialize'."
	default:
		return next + "If this is the first node, next type 'xmpp cluster initialize'; otherwise 'xmpp enable', then 'xmpp cluster join <first node>'."
	}
	return next + "Next type '" + command + "'."
}
