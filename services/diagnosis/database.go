package diagnosis

import (
	"strings"

	"parley/services/database/databaseapi"
)

// databaseShared checks what the Call Bridges share, where this node shares it.
func (f *facts) databaseShared() []Finding {
	const what = "database"
	s := f.database
	switch {
	case f.databaseErr != nil:
		return []Finding{of(Warn, what, f.databaseErr)}
	case s.Mode == databaseapi.Alone:
		return nil
	}
	var all []Finding
	for _, n := range s.Nodes {
		if !n.Connected {
			all = append(all, warn(what, "its node %s cannot be reached", n.Address).
				first("start it again, or mend the network to it, or, where it is gone for good,").by("database cluster remove "+n.Address))
		}
	}
	if s.Trouble != "" {
		wrong, _, _ := strings.Cut(s.Trouble, "; ")
		return append(all, fail(what, "%s", wrong).first("chat goes on; where it stays so,").by("database cluster status"))
	}
	if len(all) == 0 {
		all = append(all, ok(what, "%s, changes go to %s", count(len(s.Nodes), "node"), s.InUse))
	}
	return all
}
