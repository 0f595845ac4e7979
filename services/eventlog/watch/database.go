package watch

import (
	"context"
	"fmt"
	"strings"

	"parley/services/database/databaseapi"
	"parley/services/eventlog/eventlogapi"
)

// Keys of conditions of the database; that of a node ends in its address.
const (
	keyDatabase        = "database."
	keyDatabaseService = keyDatabase + "service"
	keyDatabaseChanges = keyDatabase + "changes"
	keyDatabaseNode    = keyDatabase + "node."
)

// patienceDatabase is more than 10 s of looks: when the primary is lost, another
// node becomes it within a few.
const patienceDatabase = 5

// database is what is wrong with what the Call Bridges share, seen from this
// node.
func (w *Watcher) database(ctx context.Context, standing map[string]eventlogapi.Fault) []finding {
	if ctx.Err() != nil {
		// Others took all the time; what stood, stands.
		return keep(standing, nil, keyDatabase)
	}
	s, err := w.deps.Database.Status(ctx)
	if err != nil {
		found := []finding{unanswered(keyDatabaseService, "Database", err)}
		return append(found, keep(standing, found, keyDatabase)...)
	}
	var found []finding
	var gone []string
	for _, n := range s.Nodes {
		if !n.Connected {
			gone = append(gone, n.Address)
			found = append(found, raise(keyDatabaseNode+n.Address, eventlogapi.Warning, "Database node "+n.Address+" cannot be reached",
				fmt.Sprintf("start it again, or mend the network to it; where it is gone for good, type 'database cluster remove %s'", n.Address)))
		}
	}
	if s.Trouble == "" {
		return found
	}
	f := raise(keyDatabaseChanges, eventlogapi.Error, "Database takes no changes", noChanges(s, gone))
	f.looks = patienceDatabase
	return append(found, f)
}

// noChanges is why, and what to do, as 'database cluster status' has it.
func noChanges(s databaseapi.Status, gone []string) string {
	switch {
	case s.Mode == databaseapi.Connected:
		wrong, fix := parts(s.Trouble)
		return wrong + "; " + fix
	case s.Majority():
		return "enough of its nodes can be reached, yet none is the primary; see 'database cluster status' on each, and 'syslog tail'. Chat goes on"
	}
	return "this node reaches too few others; start " + strings.Join(gone, " and ") +
		" again, or mend the network. If they are lost for good, type 'database cluster initialize' here. Chat goes on"
}
