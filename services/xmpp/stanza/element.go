// Package stanza is XML elements as XMPP uses them: trees, their
// serialisation, and the error stanzas of RFC 6120 §8.3. Parsing bytes is
// package stream's; what a stanza means is the router's.
package stanza

import "strings"

// Namespaces that more than one package needs.
const (
	NSClient     = "jabber:client"
	NSComponent  = "jabber:component:accept"
	NSStreams    = "http://etherx.jabber.org/streams"
	NSStanzas    = "urn:ietf:params:xml:ns:xmpp-stanzas"
	NSXML        = "http://www.w3.org/XML/1998/namespace"
	NSRoster     = "jabber:iq:roster"
	NSDiscoInfo  = "http://jabber.org/protocol/disco#info"
	NSDiscoItems = "http://jabber.org/protocol/disco#items"
	NSPing       = "urn:xmpp:ping"
	NSVersion    = "jabber:iq:version"
	NSDelay      = "urn:xmpp:delay"
	NSSM         = "urn:xmpp:sm:3"
)

// Name is an expanded XML name.
type Name struct{ Space, Local string }

// Attr is an attribute; nearly all have no namespace.
type Attr struct {
	Name  Name
	Value string
}

// Node is a child: an element, or text where Element is nil.
type Node struct {
	Element *Element
	Text    string
}

// Element is one XML element. Stanzas of clients and components alike are kept
// with NSClient as their namespace; a component's stream writes them with its
// own. A tree that was handed over belongs to the receiver.
type Element struct {
	Name  Name
	Attrs []Attr
	Nodes []Node
}

// New makes an element; kv are names and values of attributes.
func New(space, local string, kv ...string) *Element {
	e := &Element{Name: Name{space, local}}
	for i := 0; i+1 < len(kv); i += 2 {
		e.SetAttr(kv[i], kv[i+1])
	}
	return e
}

// Is says whether e has that name; nil has none.
func (e *Element) Is(space, local string) bool {
	return e != nil && e.Name.Local == local && e.Name.Space == space
}

// Attr returns the attribute without namespace of that name, or "".
func (e *Element) Attr(local string) string {
	for i := range e.Attrs {
		if a := &e.Attrs[i]; a.Name.Local == local && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

// SetAttr sets an attribute without namespace; "" removes it.
func (e *Element) SetAttr(local, value string) {
	for i := range e.Attrs {
		if a := &e.Attrs[i]; a.Name.Local == local && a.Name.Space == "" {
			if value == "" {
				e.Attrs = append(e.Attrs[:i:i], e.Attrs[i+1:]...)
			} else {
				a.Value = value
			}
			return
		}
	}
	if value != "" {
		e.Attrs = append(e.Attrs, Attr{Name{Local: local}, value})
	}
}

// Add appends child elements and returns e; nil children are left out.
func (e *Element) Add(children ...*Element) *Element {
	for _, c := range children {
		if c != nil {
			e.Nodes = append(e.Nodes, Node{Element: c})
		}
	}
	return e
}

// AddText appends text and returns e.
func (e *Element) AddText(s string) *Element {
	e.Nodes = append(e.Nodes, Node{Text: s})
	return e
}

// Child returns the first child element of that name, or nil.
func (e *Element) Child(space, local string) *Element {
	for i := range e.Nodes {
		if c := e.Nodes[i].Element; c.Is(space, local) {
			return c
		}
	}
	return nil
}

// Children returns the child elements, in order.
func (e *Element) Children() []*Element {
	var cs []*Element
	for i := range e.Nodes {
		if c := e.Nodes[i].Element; c != nil {
			cs = append(cs, c)
		}
	}
	return cs
}

// First returns the first child element, or nil.
func (e *Element) First() *Element {
	for i := range e.Nodes {
		if c := e.Nodes[i].Element; c != nil {
			return c
		}
	}
	return nil
}

// Text returns the element's own text.
func (e *Element) Text() string {
	if len(e.Nodes) == 1 {
		return e.Nodes[0].Text
	}
	var b strings.Builder
	for i := range e.Nodes {
		b.WriteString(e.Nodes[i].Text)
	}
	return b.String()
}

// Clone returns a copy whose attributes and list of children may be changed;
// the children themselves are shared and must not be.
func (e *Element) Clone() *Element {
	return &Element{
		Name:  e.Name,
		Attrs: append([]Attr(nil), e.Attrs...),
		Nodes: append([]Node(nil), e.Nodes...),
	}
}
