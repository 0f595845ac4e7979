package watch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/services/config"
	"parley/services/eventlog/eventlogapi"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

// How far clocks are apart: it counts above the first, and until it is below
// the second. Until NTP has set it, a clock is the hardware's, to the second.
const (
	clocksApart  = 2 * time.Second
	clocksAgreed = 1500 * time.Millisecond
)

// Keys of conditions of the cluster; those of a node end in its address.
const (
	keyMajority = "xmpp.cluster.majority"
	keyLeader   = "xmpp.cluster.leader"
	keyOutside  = "xmpp.cluster.outside"
	keyNode     = "xmpp.cluster.node."
	keyClock    = "xmpp.cluster.clock."
	keyDoors    = "xmpp.doors"
)

// cluster is what is wrong with the cluster, seen from this node.
func (w *Watcher) cluster(cl xmppapi.Cluster, standing map[string]eventlogapi.Fault) []finding {
	if !cl.Member {
		return nil
	}
	if cl.Outside {
		return []finding{raise(keyOutside, eventlogapi.Error, "This node was taken out of the XMPP cluster",
			"it has yet to hear from a member that this is final; start one of them, or, where they are gone for good, type 'xmpp cluster remove' here, then 'xmpp cluster join <node>'")}
	}
	found := majority(cl)
	for _, n := range cl.Nodes {
		if n.Self {
			continue
		}
		if !n.Reachable {
			f := raise(keyNode+n.Address, eventlogapi.Warning, "XMPP node "+n.Address+" cannot be reached",
				fmt.Sprintf("start it again, or mend the network to it; where it is gone for good, type 'xmpp cluster remove %s'", host(n.Address)))
			f.Since = n.Since
			found = append(found, f)
			continue
		}
		found = append(found, clock(n, standing)...)
	}
	return found
}

// leads tells of another leader than before.
func (w *Watcher) leads(cl xmppapi.Cluster) []eventlogapi.Event {
	before := w.leader
	if !cl.Member {
		w.leader = ""
		return nil
	}
	i := slices.IndexFunc(cl.Nodes, func(n xmppapi.Node) bool { return n.Leader })
	if i < 0 || cl.Nodes[i].Address == before {
		return nil
	}
	w.leader = cl.Nodes[i].Address
	if before == "" {
		return nil
	}
	return []eventlogapi.Event{{Level: eventlogapi.Info, Message: eventlogapi.LeaderChange{Node: w.leader, Before: before}.Message()}}
}

// majority is the loss of the cluster, or of its leader.
func majority(cl xmppapi.Cluster) []finding {
	if cl.Margin >= 0 && cl.Leader {
		return nil
	}
	if cl.Margin >= 0 {
		return []finding{raise(keyLeader, eventlogapi.Error, "XMPP cluster has no leader",
			"enough nodes can be reached, yet they elect none; see 'xmpp cluster status' on each, and 'syslog tail'")}
	}
	voters, there := 0, 0
	var gone []string
	for _, n := range cl.Nodes {
		if n.Learner {
			continue
		}
		voters++
		if n.Reachable || n.Self {
			there++
		} else {
			gone = append(gone, host(n.Address))
		}
	}
	return []finding{raise(keyMajority, eventlogapi.Error, "XMPP cluster has no majority",
		fmt.Sprintf("of its %d voting nodes this one can reach %d with itself, and %d are needed; start %s again or mend the network, "+
			"or, if they are lost for good, type 'xmpp disable' and 'xmpp cluster initialize' here", voters, there, voters/2+1, strings.Join(gone, " and ")))}
}

func clock(n xmppapi.Node, standing map[string]eventlogapi.Fault) []finding {
	limit := clocksApart
	if _, stands := standing[keyClock+n.Address]; stands {
		limit = clocksAgreed
	}
	if n.Clock.Abs() <= limit {
		return nil
	}
	way := "ahead of"
	if n.Clock < 0 {
		way = "behind"
	}
	return []finding{raise(keyClock+n.Address, eventlogapi.Warning, "Clocks of this node and XMPP node "+n.Address+" are apart",
		fmt.Sprintf("that one is %.1f s %s this one; see 'date' on both, and set the clock of the machine that is wrong, or of its VM host", n.Clock.Abs().Seconds(), way))}
}

// doors is that XMPP should serve and does not, unless what was found of the
// cluster says why.
func doors(x config.XMPP, s xmppapi.Status, found []finding) []finding {
	known := slices.ContainsFunc(found, func(f finding) bool {
		return f.Key == keyMajority || f.Key == keyLeader || f.Key == keyOutside
	})
	byCluster := slices.ContainsFunc([]problem.Code{problem.ClusterNoMajority, problem.ClusterOutside}, func(c problem.Code) bool {
		return s.Trouble == problem.Text(problem.New(c))
	})
	if !x.Enabled || s.Trouble == "" || known && byCluster {
		return nil
	}
	wrong, fix := parts(s.Trouble)
	return []finding{raise(keyDoors, eventlogapi.Error, "XMPP server not running: "+wrong, fix)}
}

// host is an address without its port.
func host(address string) string {
	h, _, _ := strings.Cut(address, ":")
	return h
}
