package xmpp

import (
	"strconv"

	"parley/services/problem"
	"parley/services/xmpp/membership"
	"parley/services/xmpp/store"
)

// needed refuses to take out a node that the others cannot do without. Nothing
// is refused in a cluster that was given up: one of its members has founded it
// again, and the others are to be reset.
func (c *core) needed(id string) error {
	st := c.State()
	states := c.peers.Peers()
	for _, m := range st.Members {
		if theirs := states[m.ID].StrangerCluster; m.Voter && m.ID != id && theirs != "" && theirs != c.record.Load().ID {
			return nil
		}
	}
	return membership.Needed(problem.ClusterNeeded, st, states, id)
}

// leaderless is why nothing can be changed on a node that knows of no leader:
// too few nodes are reached, or they have yet to elect one.
func (c *core) leaderless(st store.State) error {
	voters, up := membership.Voters(st, c.peers.Peers())
	if up <= voters/2 {
		return problem.New(problem.ClusterNoMajority)
	}
	return problem.New(problem.ClusterElecting, "up", strconv.Itoa(up), "nodes", strconv.Itoa(voters))
}

// leaderMissing says whether err may pass by an election.
func leaderMissing(err error) bool {
	switch problem.CodeOf(err) {
	case problem.NoLeader, problem.ClusterNoMajority, problem.ClusterElecting:
		return true
	}
	return false
}
