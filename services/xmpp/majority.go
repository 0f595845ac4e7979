package xmpp

import (
	"net"
	"strconv"
	"strings"

	"parley/services/problem"
	"parley/services/xmpp/store"
)

// needed refuses the removal of a voter where those that would be left have no
// majority that this node, the leader, reaches: they could not even agree on
// the removal, and clients would be served by nobody. To remove one that is not
// reached is never refused, nor is anything in a cluster that was given up: one
// of its members has founded it again, and the others are to be reset.
func (c *core) needed(id string) error {
	st := c.State()
	states := c.peers.Peers()
	var node string
	var lost []string
	voters := 0
	for _, m := range st.Members {
		switch {
		case !m.Voter:
		case m.ID == id:
			node = withoutPort(m.Addr)
		default:
			voters++
			s := states[m.ID]
			if s.StrangerCluster != "" && s.StrangerCluster != c.record.Load().ID {
				return nil
			}
			if m.ID != st.ID && !s.Reachable {
				lost = append(lost, withoutPort(m.Addr))
			}
		}
	}
	if node == "" || len(lost) == 0 || voters-len(lost) > voters/2 {
		return nil
	}
	return problem.New(problem.ClusterNeeded, "node", node, "lost", strings.Join(lost, ", "), "first", lost[0])
}

// leaderless is why nothing can be changed on a node that knows of no leader:
// too few nodes are reached, or they have yet to elect one.
func (c *core) leaderless(st store.State) error {
	states := c.peers.Peers()
	voters, up := 0, 0
	for _, m := range st.Members {
		if !m.Voter {
			continue
		}
		voters++
		if m.ID == st.ID || states[m.ID].Reachable {
			up++
		}
	}
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

func withoutPort(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}
