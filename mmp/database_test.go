package mmp

import (
	"strings"
	"testing"

	"parley/services/config"
	"parley/services/database/databaseapi"
)

// TestNextForDatabase: a cluster is founded again only where most of it is lost.
func TestNextForDatabase(t *testing.T) {
	node := func(last string, connected bool) databaseapi.Node {
		return databaseapi.Node{Address: "10.0.0." + last, Connected: connected, Self: last == "1"}
	}
	learner := node("4", true)
	learner.Learner = true
	const (
		electing = "enough of its nodes can be reached, and they are about to agree on a primary."
		lost     = "too few of its nodes reach each other. Start 10.0.0.2 and 10.0.0.3 again, or mend the network. If they are lost for good, type 'database cluster initialize' here."
	)
	tests := []struct {
		name  string
		nodes []databaseapi.Node
		want  string
	}{
		{"all of three", []databaseapi.Node{node("1", true), node("2", true), node("3", true)}, electing},
		{"two of three", []databaseapi.Node{node("1", true), node("2", true), node("3", false)}, electing},
		{"one of three", []databaseapi.Node{node("1", true), node("2", false), node("3", false)}, lost},
		{"one of two", []databaseapi.Node{node("1", true), node("2", false)}, "Start 10.0.0.2 again, or mend"},
		{"one of three, and one that has no vote yet", []databaseapi.Node{node("1", true), node("2", false), node("3", false), learner}, lost},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := databaseapi.Status{Mode: databaseapi.Member, Trouble: "no primary", Nodes: tt.nodes}
			if got := nextForDatabase(config.Database{}, s); !strings.Contains(got, tt.want) {
				t.Errorf("nextForDatabase = %q; want in it %q", got, tt.want)
			}
			if founds := strings.Contains(nextForDatabase(config.Database{}, s), "initialize"); founds == s.Majority() {
				t.Errorf("advised to found it again: %v, though Majority is %v", founds, s.Majority())
			}
		})
	}
}
