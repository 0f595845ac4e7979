package watch

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/database/databaseapi"
)

func TestDatabase(t *testing.T) {
	const noPrimary = "the database takes no changes at the moment, since it has no primary; try again in a few seconds"
	node := func(address string, connected bool) databaseapi.Node {
		return databaseapi.Node{Address: address, Connected: connected}
	}
	down := "database.node.10.0.0.3  Warning  Database node 10.0.0.3 cannot be reached  > start it again, or mend the network to it; where it is gone for good, type 'database cluster remove 10.0.0.3'"
	for _, tt := range []struct {
		name   string
		status databaseapi.Status
		err    error
		// soon is there after two looks, late when it lasts.
		soon, late []string
	}{
		{name: "alone", status: databaseapi.Status{Mode: databaseapi.Alone}},
		{name: "well", status: databaseapi.Status{Mode: databaseapi.Member, Nodes: []databaseapi.Node{node("10.0.0.1", true), node("10.0.0.2", true)}}},
		{
			name: "a node is down", status: databaseapi.Status{Mode: databaseapi.Member, Nodes: []databaseapi.Node{node("10.0.0.1", true), node("10.0.0.2", true), node("10.0.0.3", false)}},
			soon: []string{down}, late: []string{down},
		},
		{
			name: "no primary", status: databaseapi.Status{Mode: databaseapi.Member, Trouble: noPrimary, Nodes: []databaseapi.Node{node("10.0.0.1", true), node("10.0.0.2", true)}},
			late: []string{"database.changes  Error  Database takes no changes  > enough of its nodes can be reached, yet none is the primary; see 'database cluster status' on each, and 'syslog tail'. Chat goes on"},
		},
		{
			name: "no primary while one of three is down", status: databaseapi.Status{Mode: databaseapi.Member, Trouble: noPrimary, Nodes: []databaseapi.Node{node("10.0.0.1", true), node("10.0.0.2", true), node("10.0.0.3", false)}},
			soon: []string{down},
			late: []string{down, "database.changes  Error  Database takes no changes  > enough of its nodes can be reached, yet none is the primary; see 'database cluster status' on each, and 'syslog tail'. Chat goes on"},
		},
		{
			name: "no majority", status: databaseapi.Status{Mode: databaseapi.Member, Trouble: noPrimary, Nodes: []databaseapi.Node{node("10.0.0.1", true), node("10.0.0.3", false)}},
			soon: []string{down},
			late: []string{down, "database.changes  Error  Database takes no changes  > this node reaches too few others; start 10.0.0.3 again, or mend the network. If they are lost for good, type 'database cluster initialize' here. Chat goes on"},
		},
		{
			name: "connected, and nobody answers", status: databaseapi.Status{Mode: databaseapi.Connected, Trouble: noPrimary},
			late: []string{"database.changes  Error  Database takes no changes  > " + noPrimary},
		},
		{
			name: "the service does not answer", err: errors.New("broken"),
			late: []string{"database.service  Error  Database service does not answer  > broken; see 'syslog tail'"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := healthy(t)
			n.database, n.databaseErr = tt.status, tt.err
			w := n.watcher()
			if diff := cmp.Diff(tt.soon, lines(looks(t, w, patience))); diff != "" {
				t.Errorf("after %d looks (-want +got):\n%s", patience, diff)
			}
			got := looks(t, w, patienceService-patience)
			if diff := cmp.Diff(tt.late, lines(got)); diff != "" {
				t.Errorf("after %d looks (-want +got):\n%s", patienceService, diff)
			}
			// Not asked for want of time: what stood, stands.
			late, cancel := context.WithCancel(t.Context())
			cancel()
			if again := w.Look(late, standing(got)).Conditions; len(again) != len(got) {
				t.Errorf("without time %v; want what stood", lines(again))
			}
			n.database, n.databaseErr = databaseapi.Status{Mode: databaseapi.Alone}, nil
			if over := w.Look(t.Context(), standing(got)).Conditions; len(over) != 0 {
				t.Errorf("when it is over: %v; want none", lines(over))
			}
		})
	}
}
