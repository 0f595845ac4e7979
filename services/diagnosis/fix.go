package diagnosis

import (
	"fmt"
	"strings"
)

// Grammar is how a language puts together what mends something.
type Grammar struct {
	// typed is what to do with commands, which then stand between.
	typed, then string
	// on is where to do what, and after stands between advice and what follows it.
	on, after string
	// same and likewise stand before other nodes, of commands and of advice.
	same, likewise, and string
}

// The grammars.
var (
	English = Grammar{"type '%s'", "', then '", "on %s %s", ", then ", ", and the same on ", ", likewise on ", " and "}
	German  = Grammar{"'%s' eingeben", "', dann '", "auf %s %s", ", dann ", ", ebenso auf ", ", ebenso auf ", " und "}
)

// FixIn is what mends it in the language of g, where say says the advice.
func (f Finding) FixIn(g Grammar, say func(string) string) string {
	others := func(likewise string) string {
		if len(f.Also) == 0 {
			return ""
		}
		last := len(f.Also) - 1
		if last == 0 {
			return likewise + f.Also[0]
		}
		return likewise + strings.Join(f.Also[:last], ", ") + g.and + f.Also[last]
	}
	advice := f.Advice
	if advice != "" {
		advice = say(advice)
	}
	if len(f.Commands) == 0 {
		return advice + others(g.likewise)
	}
	fix := fmt.Sprintf(g.typed, strings.Join(f.Commands, g.then))
	if f.Node != "" {
		fix = fmt.Sprintf(g.on, f.Node, fix)
	}
	switch {
	case strings.HasSuffix(f.Advice, ","):
		fix = advice + " " + fix
	case advice != "":
		fix = advice + g.after + fix
	}
	return fix + others(g.same)
}
