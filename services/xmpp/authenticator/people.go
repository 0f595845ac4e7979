package authenticator

import "parley/services/xmpp/stanza"

// Listing is part of a component's list of who exists.
type Listing struct {
	// Source says what was asked, and how: components of one source would list
	// the same.
	Source string
	// After and Upto bound the part in the order of octets: of the names after
	// After up to and with Upto, "" being the end, just Names exist. Without a
	// Source it is not known of the others whether they do.
	After, Upto string
	Names       []string
}

// maxPeople bounds the octets of names in one <people/>.
const maxPeople = 64 << 10

// People are elements of those who exist, whose names are in order, as many as
// they need. There are none of nobody: that more often comes of a mistake in a
// filter than of everybody's leaving, and nobody is to be shut out by it.
func People(source string, names []string) (es []*stanza.Element) {
	size := maxPeople
	for i, name := range names {
		if size+len(name) > maxPeople {
			next := stanza.New(NS, "people", "source", source)
			if i > 0 {
				es[len(es)-1].SetAttr("upto", names[i-1])
				next.SetAttr("after", names[i-1])
			}
			es, size = append(es, next), 0
		}
		// The element around it counts too.
		size += len(name) + len("<person name=''/>")
		es[len(es)-1].Add(stanza.New(NS, "person", "name", name))
	}
	return es
}

// ReadPeople reads one such element.
func ReadPeople(e *stanza.Element) Listing {
	l := Listing{Source: e.Attr("source"), After: e.Attr("after"), Upto: e.Attr("upto")}
	for _, p := range e.Children() {
		if p.Is(NS, "person") {
			l.Names = append(l.Names, p.Attr("name"))
		}
	}
	return l
}
