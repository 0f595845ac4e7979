package router

import (
	"strings"
	"testing"

	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// FuzzStanzas sends what the stream lets in: whatever it is, it is confirmed,
// and an error or an IQ result is never answered by the server itself.
func FuzzStanzas(f *testing.F) {
	for _, s := range []string{
		"<message xmlns='jabber:client' to='bob@example.com'><body>hi</body></message>",
		"<message xmlns='jabber:client' type='error' to='bob@example.com/b'/>",
		"<presence xmlns='jabber:client'><priority>5</priority></presence>",
		"<presence xmlns='jabber:client' type='subscribe' to='bob@example.com'/>",
		"<presence xmlns='jabber:client' type='probe' to='bob@example.com'/>",
		"<presence xmlns='jabber:client' type='unavailable' to='x@cb1.example.com'/>",
		"<iq xmlns='jabber:client' type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
		"<iq xmlns='jabber:client' type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='a@b'><group>g</group></item></query></iq>",
		"<iq xmlns='jabber:client' type='get' id='1' to='example.com'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
		"<iq xmlns='jabber:client' type='result' id='1' to='ada@example.com/x'/>",
	} {
		f.Add(s)
	}
	w := newWorld(f, "ada", "bob")
	ada, bob, cb := w.online("ada", "a", 0), w.online("bob", "b", 0), w.component("cb1")
	f.Fuzz(func(t *testing.T, s string) {
		w.t = t
		e, err := stream.Parse([]byte(s))
		if err != nil {
			return
		}
		silent := e.Attr("type") == "error" || e.Name.Local == "iq" && e.Attr("type") == "result"
		for _, p := range []*peer{ada, cb} {
			p.seq++
			w.r.Send(p.ref, p.seq, clone(e))
			replies := p.take()
			bob.take()
			if p.end() != "" {
				// Only a component can say who it is, wrongly.
				cb = w.component("cb1")
				continue
			}
			if got := p.confirms(); got != p.seq {
				t.Fatalf("%s is not confirmed", s)
			}
			for _, r := range replies {
				if silent && strings.Contains(r, "type='error'") && strings.Contains(r, " from='example.com'") {
					t.Errorf("%s was answered with %s", s, r)
				}
			}
		}
	})
}

// clone copies the whole tree.
func clone(e *stanza.Element) *stanza.Element {
	c := e.Clone()
	for i := range c.Nodes {
		if inner := c.Nodes[i].Element; inner != nil {
			c.Nodes[i].Element = clone(inner)
		}
	}
	return c
}
