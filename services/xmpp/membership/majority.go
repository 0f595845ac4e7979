package membership

import (
	"strings"

	"parley/services/problem"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// Voters counts the members with a vote, and how many of them are reached, this
// node being one.
func Voters(st store.State, states map[string]peer.State) (all, reached int) {
	for _, m := range st.Members {
		if !m.Voter {
			continue
		}
		all++
		if m.ID == st.ID || states[m.ID].Reachable {
			reached++
		}
	}
	return all, reached
}

// Needed refuses, by code, the removal of a voter where those that would be left
// have no majority that this node, the leader, reaches: they could not even agree
// on the removal, and would serve nobody. To remove one that is not reached is
// never refused.
func Needed(code problem.Code, st store.State, states map[string]peer.State, id string) error {
	var node string
	var lost []string
	left := 0
	for _, m := range st.Members {
		switch {
		case !m.Voter:
		case m.ID == id:
			node = Host(m.Addr)
		default:
			left++
			if m.ID != st.ID && !states[m.ID].Reachable {
				lost = append(lost, Host(m.Addr))
			}
		}
	}
	if node == "" || len(lost) == 0 || left-len(lost) > left/2 {
		return nil
	}
	return problem.New(code, "node", node, "lost", strings.Join(lost, ", "), "first", lost[0])
}
