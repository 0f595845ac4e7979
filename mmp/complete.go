package mmp

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// complete says how the line up to the cursor may go on, for the user of k.
func (c *Console) complete(k *call, line string) completion {
	l := lex(line)
	var before []string
	for _, w := range l.words {
		before = append(before, w.text)
	}
	start, typed := len(line), ""
	if n := len(l.words); n > 0 && (l.words[n-1].end == len(line)) {
		typed, start = before[n-1], l.words[n-1].start
		before = before[:n-1]
	}
	out := completion{start: utf8.RuneCountInString(line[:start])}
	if l.open == '\\' {
		return out
	}
	k.Console = c
	for _, s := range c.grammar.next(k, before, typed) {
		text := quote(s)
		if l.open == '"' || strings.HasPrefix(line[start:], `"`) {
			text = `"` + strings.Trim(text, `"`) + `"`
		}
		out.candidates = append(out.candidates, candidate{text, strings.HasSuffix(s, ":")})
	}
	return out
}

// next lists what may stand after the words before and starts with typed, in
// order.
func (g *grammar) next(k *call, before []string, typed string) []string {
	n := g.root
	for _, w := range before {
		switch {
		case n.next[w] != nil:
			n = n.next[w]
		case n.arg != nil:
			n = n.then
		default:
			return nil
		}
	}
	var all []string
	for _, w := range n.words {
		if slices.ContainsFunc(n.next[w].below(), func(c *command) bool { return k.user.Role.Can(c.need) }) {
			all = append(all, w)
		}
	}
	if n.arg != nil && n.arg.complete != nil {
		all = append(all, n.arg.complete(k, before)...)
	}
	all = slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, typed) })
	slices.Sort(all)
	return slices.Compact(all)
}
