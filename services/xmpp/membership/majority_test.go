package membership

import (
	"strings"
	"testing"

	"parley/services/problem"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// group is a state and what node a, the leader, knows of the others: a word a
// member, "b" a voter, "b-" one that is not reached, "+b" one without a vote.
func group(words string) (store.State, map[string]peer.State) {
	st := store.State{ID: "a", LeaderID: "a", Ready: true}
	states := map[string]peer.State{}
	for _, w := range strings.Fields(words) {
		id := strings.Trim(w, "+-")
		st.Members = append(st.Members, store.Member{ID: id, Addr: id + ":5222", Voter: w[0] != '+'})
		if id != st.ID {
			states[id] = peer.State{Reachable: !strings.HasSuffix(w, "-")}
		}
	}
	return st, states
}

func TestNeeded(t *testing.T) {
	for _, tt := range []struct {
		name, members, id string
		// lost is who stands in the way, "" where nobody does.
		lost string
	}{
		{"all reached", "a b c", "b", ""},
		{"the leader itself, all reached", "a b c", "a", ""},
		{"alone", "a", "a", ""},
		{"one of two", "a b", "b", ""},
		{"the lost one of two", "a b-", "b", ""},
		{"the leader, its only other lost", "a b-", "a", "b"},
		{"a living one, one of three lost", "a b c-", "b", "c"},
		{"the leader, one of three lost", "a b c-", "a", "c"},
		{"the lost one of three", "a b c-", "c", ""},
		{"a living one of five, one lost", "a b c d e-", "b", ""},
		{"a living one of five, two lost", "a b c d- e-", "b", "d, e"},
		{"a lost one of five, two lost", "a b c d- e-", "d", ""},
		{"one without a vote", "a b- +c", "c", ""},
		{"a lost one without a vote does not count", "a b c +d-", "b", ""},
		{"nobody's", "a b c-", "x", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st, states := group(tt.members)
			var want error
			if tt.lost != "" {
				first, _, _ := strings.Cut(tt.lost, ",")
				want = problem.New(problem.DatabaseNeeded, "node", tt.id, "lost", tt.lost, "first", first)
			}
			got := Needed(problem.DatabaseNeeded, st, states, tt.id)
			if (got == nil) != (want == nil) || got != nil && got.Error() != want.Error() {
				t.Errorf("Needed(%q, %s) = %v; want %v", tt.members, tt.id, got, want)
			}
		})
	}
}

func TestVoters(t *testing.T) {
	for _, tt := range []struct {
		name, members string
		all, reached  int
	}{
		{"alone", "a", 1, 1},
		{"none lost", "a b c", 3, 3},
		{"lost and without a vote", "a b- c +d +e-", 3, 2},
		{"no vote itself", "+a b c-", 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if all, reached := Voters(group(tt.members)); all != tt.all || reached != tt.reached {
				t.Errorf("Voters(%q) = %d, %d; want %d, %d", tt.members, all, reached, tt.all, tt.reached)
			}
		})
	}
	// A member of whom nothing is known yet is not reached.
	st, _ := group("a b")
	if all, reached := Voters(st, nil); all != 2 || reached != 1 {
		t.Errorf("Voters of a node that knows nothing = %d, %d; want 2, 1", all, reached)
	}
}
