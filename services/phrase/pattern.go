package phrase

import "strings"

// pattern is a sentence with values.
type pattern struct {
	english string
	// literals stand around the values, one more than there are names.
	literals, names []string
	// fixed is how many bytes literals are.
	fixed int
	// other is the translation: texts and, between them, values.
	otherLiterals, otherNames []string
}

func newPattern(english, other string) pattern {
	p := pattern{english: english}
	p.literals, p.names = take(english)
	p.otherLiterals, p.otherNames = take(other)
	for _, l := range p.literals {
		p.fixed += len(l)
	}
	return p
}

// take takes a sentence apart.
func take(text string) (literals, names []string) {
	for {
		before, rest, ok := strings.Cut(text, "{")
		name, after, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			return append(literals, text), names
		}
		literals, names, text = append(literals, before), append(names, name), after
	}
}

// match finds the values that text has where p has names. Each is as short as
// can be, but the last. With long, they may be more than one sentence.
func (p *pattern) match(text string, long bool) (map[string]string, bool) {
	rest, ok := strings.CutPrefix(text, p.literals[0])
	if !ok {
		return nil, false
	}
	values := make(map[string]string, len(p.names))
	for i, name := range p.names {
		var value string
		if next := p.literals[i+1]; i == len(p.names)-1 {
			if value, ok = strings.CutSuffix(rest, next); !ok {
				return nil, false
			}
		} else if value, rest, ok = strings.Cut(rest, next); !ok {
			return nil, false
		}
		if before, twice := values[name]; twice && before != value || !fits(name, value) || !long && strings.Contains(value, between) {
			return nil, false
		}
		values[name] = value
	}
	return values, true
}

// fits says whether a value may be that of the name: see New.
func fits(name, value string) bool {
	switch kind, _, _ := strings.Cut(name, "-"); kind {
	case "n":
		return value != "" && strings.Trim(value, "0123456789") == ""
	case "w":
		return value != "" && !strings.Contains(value, " ")
	}
	return value != ""
}

// fill is the translation with values, those that are sentences by say.
func (p *pattern) fill(values map[string]string, say func(string) string) string {
	var out strings.Builder
	for i, name := range p.otherNames {
		out.WriteString(p.otherLiterals[i])
		if sentence, ok := strings.CutSuffix(name, "!"); ok {
			out.WriteString(say(values[sentence]))
		} else {
			out.WriteString(values[name])
		}
	}
	out.WriteString(p.otherLiterals[len(p.otherNames)])
	return out.String()
}

// Names are the values that a sentence names, in their order, without marks.
func Names(text string) []string {
	_, names := take(text)
	for i, n := range names {
		names[i] = strings.TrimSuffix(n, "!")
	}
	return names
}
