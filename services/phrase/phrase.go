// Package phrase says in another language what services say in English. A
// service's sentence is the key: it comes over sockets, from other nodes and out
// of files as a line of text, so it is recognized as one and not passed on as a
// code. What a book does not know stays as it is. Which sentences there are, and
// who is shown them, is for those who have tables.
package phrase

import (
	"slices"
	"strings"
)

// Book is the sentences of one language. It does not change, and may be used by
// any number of goroutines.
type Book struct {
	exact map[string]string
	// patterns have values; the one that fixes most of a text goes first.
	patterns []pattern
}

// New makes a book of tables, from English sentences to others. In both a {name}
// stands for a value: {n} and {n-name} for a number, {w} and {w-name} for one
// word, others for any text. A value that is a sentence itself, or a list of
// them, is written {name!} in the translation, and is said there too.
func New(tables ...map[string]string) *Book {
	b := &Book{exact: map[string]string{}}
	for _, t := range tables {
		for english, other := range t {
			p := newPattern(english, other)
			if len(p.names) == 0 {
				b.exact[english] = other
				continue
			}
			b.patterns = append(b.patterns, p)
		}
	}
	slices.SortFunc(b.patterns, func(p, q pattern) int {
		if d := q.fixed - p.fixed; d != 0 {
			return d
		}
		return strings.Compare(p.english, q.english)
	})
	return b
}

// between stands between sentences, of which at most maxParts are put together.
const (
	between  = "; "
	maxParts = 8
)

// Say returns the text in the book's language, and whether the book knows it;
// text itself otherwise. Sentences that are put together by "; ", and parts of
// one by ", ", are known where each of them is, and "name: sentence" where the
// sentence is.
func (b *Book) Say(text string) (string, bool) {
	if said, ok := b.sentences(strings.SplitN(text, between, maxParts)); ok {
		return said, true
	}
	if said, ok := b.one(text, true); ok {
		return said, true
	}
	return text, false
}

// sentences says parts, all or none.
func (b *Book) sentences(parts []string) (string, bool) {
	var all []string
	for len(parts) > 0 {
		said, n := b.first(parts)
		if n == 0 {
			return "", false
		}
		all, parts = append(all, said), parts[n:]
	}
	return strings.Join(all, between), true
}

// first says the first sentence, of n parts, 0 where it is not known. A sentence
// that has between in it is several of them, so as many as can be are taken for
// one.
func (b *Book) first(parts []string) (said string, n int) {
	for n := len(parts); n > 0; n-- {
		if said, ok := b.one(strings.Join(parts[:n], between), false); ok {
			return said, n
		}
	}
	if said, ok := b.each(parts[0]); ok {
		return said, 1
	}
	return "", 0
}

// one says what is one sentence. Its values may be sentences put together where
// long is true.
func (b *Book) one(text string, long bool) (string, bool) {
	if said, ok := b.exact[text]; ok {
		return said, true
	}
	for _, p := range b.patterns {
		if values, ok := p.match(text, long); ok {
			return p.fill(values, b.value), true
		}
	}
	head, rest, ok := strings.Cut(text, ": ")
	if !ok || strings.Contains(head, " ") {
		return "", false
	}
	said, ok := b.one(rest, long)
	return head + ": " + said, ok
}

// each says the parts of a sentence, all or none.
func (b *Book) each(text string) (string, bool) {
	parts := strings.Split(text, ", ")
	for i, part := range parts {
		said, ok := b.one(part, false)
		if !ok {
			return "", false
		}
		parts[i] = said
	}
	return strings.Join(parts, ", "), true
}

// value says a value, which may also be a list of names, or "one, then another".
func (b *Book) value(text string) string {
	if said, ok := b.Say(text); ok {
		return said
	}
	if said, ok := b.list(text); ok {
		return said
	}
	if then, ok := b.exact[", then "]; ok {
		text = strings.ReplaceAll(text, ", then ", then)
	}
	return text
}

// list says "a, b and c", where each is a name or a sentence.
func (b *Book) list(text string) (string, bool) {
	at := strings.LastIndex(text, " and ")
	if at < 0 {
		return "", false
	}
	all := append(strings.Split(text[:at], ", "), text[at+len(" and "):])
	for i, name := range all {
		said, ok := b.one(name, false)
		switch {
		case ok:
			all[i] = said
		case strings.Contains(name, " "):
			return "", false
		}
	}
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " " + b.exact["and"] + " " + all[last], true
}
