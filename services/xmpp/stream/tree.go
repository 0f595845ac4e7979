package stream

import (
	"strings"
	"sync"

	"parley/services/xmpp/stanza"
)

// span is a string: bytes [off, end) of the stanza, or s where end is 0. No
// span of a stanza begins at 0, where its "<" is.
type span struct {
	off, end int
	s        string
}

func (p span) is(b []byte, s string) bool {
	if p.end == 0 {
		return p.s == s
	}
	return string(b[p.off:p.end]) == s
}

func (p span) equal(b []byte, q span) bool {
	if q.end == 0 {
		return p.is(b, q.s)
	}
	if p.end == 0 {
		return q.is(b, p.s)
	}
	return string(b[p.off:p.end]) == string(b[q.off:q.end])
}

// in is the string, where stanza is the whole of b.
func (p span) in(stanza string) string {
	if p.end == 0 {
		return p.s
	}
	return stanza[p.off:p.end]
}

// binding is a namespace declaration that is in force; the default namespace
// has an empty prefix.
type binding struct{ prefix, uri span }

// event is an element's start, or text.
type event struct {
	isText bool
	// continues says that the text belongs to the event before.
	continues bool
	// space and local are the element's name; local is the text.
	space, local span
	// name and nameEnd are the offsets of the name as written.
	name, nameEnd int
	// attrs is the number of attributes, nodes of children.
	attrs, nodes int
	// ns is the number of bindings in force before the element.
	ns int
	// next is the event after the element's last, filled in at its end.
	next int
}

type attr struct {
	space, local, value span
	prefix              span
}

// tree collects a stanza as a flat list while its bytes come in, so that the
// elements can then be made in a handful of allocations, and none before the
// stanza is whole.
type tree struct {
	events []event
	attrs  []attr
	// open are the elements not yet closed, as indices of events.
	open []int
	ns   []binding
	// elements and nodes count all.
	elements, nodes int
	// inText says that the last token was text.
	inText bool
	// component says that stanza.NSComponent is to become NSClient.
	component bool
}

var trees = sync.Pool{New: func() any { return new(tree) }}

// keep bounds what a pooled tree holds on to.
const keep = 256

func (t *tree) free() {
	if cap(t.events) > keep || cap(t.attrs) > keep || cap(t.ns) > keep {
		return
	}
	clear(t.events)
	clear(t.attrs)
	clear(t.ns)
	*t = tree{events: t.events[:0], attrs: t.attrs[:0], open: t.open[:0], ns: t.ns[:0]}
	trees.Put(t)
}

// node counts a child of the innermost open element.
func (t *tree) node() {
	if len(t.open) > 0 {
		t.events[t.open[len(t.open)-1]].nodes++
		t.nodes++
	}
}

// close ends the innermost open element, and says whether it was the stanza.
func (t *tree) close() bool {
	t.inText = false
	e := &t.events[t.open[len(t.open)-1]]
	e.next = len(t.events)
	t.ns = t.ns[:e.ns]
	t.open = t.open[:len(t.open)-1]
	return len(t.open) == 0
}

// addText appends text to the innermost open element; what stands side by side
// becomes one node.
func (t *tree) addText(p span) {
	if !t.inText {
		t.node()
	}
	t.events = append(t.events, event{isText: true, continues: t.inText, local: p})
	t.inText = true
}

// build makes the elements of the stanza b.
func (t *tree) build(b []byte) *stanza.Element {
	var (
		text     = string(b)
		elements = make([]stanza.Element, t.elements)
		attrs    []stanza.Attr
		nodes    []stanza.Node
	)
	if len(t.attrs) > 0 {
		attrs = make([]stanza.Attr, len(t.attrs))
		for i := range t.attrs {
			a := &t.attrs[i]
			attrs[i] = stanza.Attr{Name: stanza.Name{Space: a.space.in(text), Local: a.local.in(text)}, Value: a.value.in(text)}
		}
	}
	if t.nodes > 0 {
		nodes = make([]stanza.Node, t.nodes)
	}
	nElements := 0
	// open are the ancestors of the event at hand; each takes its share of
	// nodes when it starts, and its children one by one. Shares have no spare
	// capacity, so an append to one cannot run into the next.
	open := t.open[:0]
	for i := range t.events {
		ev := &t.events[i]
		if ev.continues {
			continue
		}
		for len(open) > 0 && t.events[open[len(open)-1]].next <= i {
			open = open[:len(open)-1]
		}
		var child stanza.Node
		if ev.isText {
			child.Text = t.run(i, text)
		} else {
			e := &elements[nElements]
			e.Name = stanza.Name{Space: ev.space.in(text), Local: ev.local.in(text)}
			if n := ev.attrs; n > 0 {
				e.Attrs, attrs = attrs[:n:n], attrs[n:]
			}
			if n := ev.nodes; n > 0 {
				e.Nodes, nodes = nodes[:0:n], nodes[n:]
			}
			child.Element = e
			// From here on the event is known by its element.
			ev.name = nElements
			nElements++
		}
		if len(open) > 0 {
			p := &elements[t.events[open[len(open)-1]].name]
			p.Nodes = append(p.Nodes, child)
		}
		if !ev.isText {
			open = append(open, i)
		}
	}
	t.open = open[:0]
	return &elements[0]
}

// run is the text that begins with event i.
func (t *tree) run(i int, text string) string {
	first := t.events[i].local.in(text)
	if i+1 == len(t.events) || !t.events[i+1].continues {
		return first
	}
	parts := []string{first}
	for i++; i < len(t.events) && t.events[i].continues; i++ {
		parts = append(parts, t.events[i].local.in(text))
	}
	return strings.Join(parts, "")
}

// usualNS are the declarations that nearly all clients' headers make, shared.
var usualNS = []binding{{uri: span{s: stanza.NSClient}}, {prefix: span{s: "stream"}, uri: span{s: stanza.NSStreams}}}

// headerNS returns the bindings in force in a form that needs no buffer.
func (t *tree) headerNS(b []byte) []binding {
	usual := len(t.ns) == len(usualNS)
	ns := make([]binding, len(t.ns))
	for i, x := range t.ns {
		ns[i] = binding{span{s: strings.Clone(x.prefix.in(string(b)))}, span{s: strings.Clone(x.uri.in(string(b)))}}
		usual = usual && (ns[i] == usualNS[0] || ns[i] == usualNS[1])
	}
	if usual && ns[0] != ns[1] {
		return usualNS
	}
	return ns
}
