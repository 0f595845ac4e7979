package diagnosis

import (
	"fmt"
	"slices"
	"time"
)

const (
	// apart is when clocks are worth a warning, and tooFar when a node that
	// far away may not join.
	apart  = 2 * time.Second
	tooFar = 30 * time.Second
)

// whatClock is what is checked of one.
const whatClock = "clock"

// clock is a node's, and how far it is ahead of this node's.
type clock struct {
	address string
	ahead   time.Duration
	self    bool
}

// clocks finds those that are wrong: the ones apart from what most members agree
// on. Where most do not, it is for the operator to know which they are.
func (f *facts) clocks() []Finding {
	var all []clock
	for _, n := range f.cluster.Nodes {
		if n.Self || n.Reachable {
			all = append(all, clock{host(n.Address), n.Clock, n.Self})
		}
	}
	right := agreeing(all)
	if 2*len(right) <= len(all) {
		right = []clock{{self: true}}
	}
	var found []Finding
	for _, c := range all {
		off := c.ahead - right[0].ahead
		if off.Abs() <= apart {
			continue
		}
		finding := warn(whatClock, "%s %s", away(off), whose(right))
		if off.Abs() > tooFar {
			finding.Level = Fail
		}
		if !c.self {
			finding.Node = c.address
		}
		advice := "set it, in the machine's set-up or on its host"
		if len(right) == 1 {
			advice = "set the wrong one of the two, in the machine's set-up or on its host"
		}
		found = append(found, finding.first(advice).by("date"))
	}
	if len(found) == 0 && len(all) > 1 {
		found = append(found, ok("clocks", "those of %s are less than %v apart", count(len(all), "member"), apart))
	}
	return found
}

// agreeing are the most clocks that are not apart, this node's among them if it
// can be.
func agreeing(all []clock) (most []clock) {
	for _, c := range all {
		near := slices.DeleteFunc(slices.Clone(all), func(o clock) bool { return (o.ahead - c.ahead).Abs() > apart })
		if len(near) > len(most) || len(near) == len(most) && c.self {
			most = near
		}
	}
	return most
}

// away is an offset in words.
func away(off time.Duration) string {
	way := "ahead of"
	if off < 0 {
		way = "behind"
	}
	exact := 100 * time.Millisecond
	if off.Abs() > 10*time.Second {
		exact = time.Second
	}
	return fmt.Sprintf("%v %s", off.Abs().Round(exact), way)
}

// whose are the nodes of clocks, this one first.
func whose(all []clock) string {
	var nodes []string
	for _, c := range all {
		if c.self {
			nodes = slices.Insert(nodes, 0, "this node")
		} else {
			nodes = append(nodes, c.address)
		}
	}
	if len(nodes) == 1 {
		return "that of " + nodes[0]
	}
	return "those of " + list(nodes)
}
