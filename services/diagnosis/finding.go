package diagnosis

import (
	"fmt"
	"strings"

	"parley/services/problem"
)

// Level is how a check ended.
type Level string

// The levels.
const (
	OK   Level = "OK"
	Warn Level = "WARN"
	Fail Level = "FAIL"
)

// Finding is the end of one check.
type Finding struct {
	Level Level `json:"level"`
	// Node is the other member that it is about and where the commands are to
	// be typed, "" for this node.
	Node string `json:"node,omitempty"`
	// What was checked, and what was found of it.
	What   string `json:"what"`
	Detail string `json:"detail"`
	// Advice is what to do apart from the console (where it ends in a comma,
	// the choice between that and the commands), and Commands what to type then, in that order, at Node. A word in <> is for the operator to choose.
	Advice   string   `json:"advice,omitempty"`
	Commands []string `json:"commands,omitempty"`
	// Also are other members that have found just the same of themselves.
	Also []string `json:"also,omitempty"`
}

// Text is the finding as one line.
func (f Finding) Text() string {
	what := f.What
	if f.Node != "" {
		what = f.Node + ": " + what
	}
	text := fmt.Sprintf("%-4s  %s: %s", f.Level, what, f.Detail)
	if fix := f.Fix(); fix != "" {
		text += "; " + fix
	}
	return text
}

// Fix is what mends it, as the end of a sentence.
func (f Finding) Fix() string {
	return f.FixIn(English, func(advice string) string { return advice })
}

func ok(what, detail string, args ...any) Finding {
	return Finding{Level: OK, What: what, Detail: fmt.Sprintf(detail, args...)}
}

func warn(what, detail string, args ...any) Finding {
	return Finding{Level: Warn, What: what, Detail: fmt.Sprintf(detail, args...)}
}

func fail(what, detail string, args ...any) Finding {
	return Finding{Level: Fail, What: what, Detail: fmt.Sprintf(detail, args...)}
}

// by adds the commands that mend it.
func (f Finding) by(commands ...string) Finding {
	f.Commands = commands
	return f
}

// first adds what is to be done before the commands.
func (f Finding) first(advice string) Finding {
	f.Advice = advice
	return f
}

// of is a finding of that level about an error: a problem has its fix.
func of(level Level, what string, err error) Finding {
	detail, fix, _ := strings.Cut(problem.Text(err), "; ")
	return Finding{Level: level, What: what, Detail: detail, Advice: fix}
}
