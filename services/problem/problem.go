// Package problem holds the errors that a person can mend: a code that
// programs pass on, and for each code one English text that names what is
// wrong and then, after a semicolon, the fix, and the same in German. Services
// return codes; only the console and Webadmin turn them into text. Errors that nobody at a console
// can mend are ordinary Go errors and do not belong here.
package problem

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Code names a kind of problem; it is stable and may be matched on.
type Code string

// Problem is one such error with the values that its text needs.
type Problem struct {
	Code   Code              `json:"code"`
	Values map[string]string `json:"values,omitempty"`
}

// New makes a problem; kv are the names and values that its text refers to.
// It is a fault in the caller to give a name without a value.
func New(code Code, kv ...string) *Problem {
	p := &Problem{Code: code}
	if len(kv) > 0 {
		p.Values = make(map[string]string, len(kv)/2)
	}
	for i := 0; i < len(kv); i += 2 {
		p.Values[kv[i]] = kv[i+1]
	}
	return p
}

// Error is Text: who reads a log is to mend things by it, too.
func (p *Problem) Error() string { return Text(p) }

// bare is a problem that has no text here: one of a node of another version.
func (p *Problem) bare() string {
	var b strings.Builder
	b.WriteString(string(p.Code))
	for _, k := range slices.Sorted(maps.Keys(p.Values)) {
		fmt.Fprintf(&b, " %s=%q", k, p.Values[k])
	}
	return b.String()
}

// Is makes errors.Is match by code alone.
func (p *Problem) Is(target error) bool {
	t, ok := target.(*Problem)
	return ok && t.Code == p.Code
}

// CodeOf returns the code of the problem in err, or "" where there is none.
func CodeOf(err error) Code {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Code
	}
	return ""
}

// texts has a row for each code, from the family files of this package. A
// {name} stands for a value.
var texts = join(general, xmpp, cluster, callbridge, directory, network, pki, files, accounts, console, system, eventlog, diagnosis, webadmin, database)

// Text is what a person reads of err: one line, what is wrong and the fix.
func Text(err error) string {
	p, ok := errors.AsType[*Problem](err)
	if !ok {
		return oneLine(err.Error())
	}
	text, ok := texts[p.Code]
	if !ok {
		return oneLine(p.bare())
	}
	for k, v := range p.Values {
		text = strings.ReplaceAll(text, "{"+k+"}", v)
	}
	return oneLine(text)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func join(families ...map[Code]string) map[Code]string {
	all := map[Code]string{}
	for _, f := range families {
		for c, t := range f {
			if _, twice := all[c]; twice {
				panic("problem: two texts for " + string(c))
			}
			all[c] = t
		}
	}
	return all
}
