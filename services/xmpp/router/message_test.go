package router

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestDeliveryRules is RFC 6121 §8.5.4, Table 1. Where the RFC has the server
// either be silent or answer with an error, it answers; groupchat to a bare JID
// must be answered.
func TestDeliveryRules(t *testing.T) {
	const (
		deliver = "D" // to the addressed resource
		offline = "O" // kept
		top     = "M" // to the most available resources
		all     = "A" // to all of non-negative priority
		refuse  = "E" // service-unavailable
		silent  = "S"
	)
	none := map[string]int{}
	negative := map[string]int{"neg": -1}
	one := map[string]int{"one": 0}
	many := map[string]int{"neg": -1, "low": 0, "high": 5, "high2": 5}
	st := newWorld(t, "ada", "bob").store
	for _, tt := range []struct {
		name      string
		resources map[string]int
		account   string
		to        string
		// normal, chat, groupchat, headline, error
		want [5]string
	}{
		{"no account, bare", none, "eve", "", [5]string{refuse, refuse, refuse, silent, silent}},
		{"no account, full", none, "eve", "/x", [5]string{refuse, refuse, refuse, silent, silent}},
		{"no resources, bare", none, "bob", "", [5]string{offline, offline, refuse, silent, silent}},
		{"no resources, full", none, "bob", "/x", [5]string{refuse, offline, refuse, silent, silent}},
		{"negative only, bare", negative, "bob", "", [5]string{offline, offline, refuse, silent, silent}},
		{"negative only, full match", negative, "bob", "/neg", [5]string{deliver, deliver, deliver, deliver, deliver}},
		{"negative only, full no match", negative, "bob", "/x", [5]string{refuse, offline, refuse, silent, silent}},
		{"one, bare", one, "bob", "", [5]string{top, top, refuse, all, silent}},
		{"one, full match", one, "bob", "/one", [5]string{deliver, deliver, deliver, deliver, deliver}},
		{"one, full no match", one, "bob", "/x", [5]string{refuse, top, refuse, silent, silent}},
		{"many, bare", many, "bob", "", [5]string{top, top, refuse, all, silent}},
		{"many, full match", many, "bob", "/low", [5]string{deliver, deliver, deliver, deliver, deliver}},
		{"many, full match of negative", many, "bob", "/neg", [5]string{deliver, deliver, deliver, deliver, deliver}},
		{"many, full no match", many, "bob", "/x", [5]string{refuse, top, refuse, silent, silent}},
	} {
		for i, kind := range []string{"normal", "chat", "groupchat", "headline", "error"} {
			t.Run(tt.name+", "+kind, func(t *testing.T) {
				w := worldOver(t, st, st)
				ada := w.online("ada", "a", 0)
				peers := map[string]*peer{}
				for resource, priority := range tt.resources {
					peers[resource] = w.online("bob", resource, priority)
				}
				for _, p := range peers {
					p.take()
				}
				ada.send(fmt.Sprintf("<message type='%s' to='%s@example.com%s' id='1'><body>hi</body></message>", kind, tt.account, tt.to))
				reply := strings.Join(ada.take(), "")
				var at []string
				for resource, p := range peers {
					if got := p.take(); len(got) > 0 {
						at = append(at, resource)
						if want := fmt.Sprintf("<message type='%s' to='bob@example.com%s' id='1' from='ada@example.com/a'><body>hi</body></message>", kind, tt.to); got[0] != want || len(got) > 1 {
							t.Errorf("%s got %v; want %s", resource, got, want)
						}
					}
				}
				slices.Sort(at)
				var want []string
				for resource, priority := range tt.resources {
					switch tt.want[i] {
					case deliver:
						if "/"+resource == tt.to {
							want = append(want, resource)
						}
					case top:
						if priority == slices.Max([]int{tt.resources["one"], tt.resources["high"]}) && priority >= 0 {
							want = append(want, resource)
						}
					case all:
						if priority >= 0 {
							want = append(want, resource)
						}
					}
				}
				slices.Sort(want)
				if !slices.Equal(at, want) {
					t.Errorf("delivered to %v; want %v", at, want)
				}
				if refused := strings.Contains(reply, "<service-unavailable"); refused != (tt.want[i] == refuse) || !refused && reply != "" {
					t.Errorf("reply %q; want an error %v", reply, tt.want[i] == refuse)
				}
				if tt.want[i] == offline {
					w.pending("bob", 1)
					w.online("bob", "later", 9)
				}
				w.pending("bob", 0)
				if ada.confirms() != ada.seq {
					t.Errorf("confirmed %d; want %d", ada.confirms(), ada.seq)
				}
			})
		}
	}
}

func TestWhatIsKept(t *testing.T) {
	for _, tt := range []struct {
		name, children string
		kept, refused  bool
	}{
		{"body", "<body>hi</body>", true, false},
		{"receipt", "<received xmlns='urn:xmpp:receipts' id='1'/>", true, false},
		{"nothing", "", true, false},
		{"body and chat state", "<body>hi</body><active xmlns='http://jabber.org/protocol/chatstates'/>", true, false},
		{"chat state", "<composing xmlns='http://jabber.org/protocol/chatstates'/>", false, false},
		{"chat state with thread and hint", "<thread>t</thread><paused xmlns='http://jabber.org/protocol/chatstates'/><no-copy xmlns='urn:xmpp:hints'/>", false, false},
		{"no-store", "<body>hi</body><no-store xmlns='urn:xmpp:hints'/>", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, "ada", "bob")
			ada := w.connect("ada", "a")
			ada.send("<message type='chat' to='bob@example.com'>" + tt.children + "</message>")
			reply := strings.Join(ada.take(), "")
			if refused := strings.Contains(reply, "<service-unavailable"); refused != tt.refused {
				t.Errorf("reply %q; want an error %v", reply, tt.refused)
			}
			w.pending("bob", map[bool]int{true: 1}[tt.kept])
			bob := w.online("bob", "b", 0)
			bob.take()
			ada.send("<message type='chat' to='bob@example.com'>" + tt.children + "</message>")
			if got := bob.take(); len(got) != 1 {
				t.Errorf("available, got %v; want one message", got)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	w := newWorld(t, "ada")
	ada := w.online("ada", "a", 0)
	for _, tt := range []struct{ name, in, want string }{
		{"malformed to", "<message to='@' id='1'><body/></message>",
			"<message type='error' id='1' from='@' to='ada@example.com/a'><error type='modify'><jid-malformed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"},
		{"other domain", "<message to='x@elsewhere.org' id='2'><body/></message>",
			"<message type='error' id='2' from='x@elsewhere.org' to='ada@example.com/a'><error type='cancel'><remote-server-not-found…"},
		{"other domain below ours", "<iq to='a.b.example.com' id='3' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
			"<iq type='error' id='3' from='a.b.example.com' to='ada@example.com/a'><ping xmlns='urn:xmpp:ping'/><error type='cancel'><remote-server-not-found…"},
		{"no to", "<message id='4'><body>me</body></message>",
			"<message id='4' from='ada@example.com/a' to='ada@example.com'><body>me</body></message>"},
		{"false from", "<message to='ada@example.com/a' from='bob@example.com' id='5'><body/></message>",
			"<message to='ada@example.com/a' from='ada@example.com/a' id='5'><body/></message>"},
		{"the server", "<message to='example.com' id='6'><body/></message>",
			"<message type='error' id='6' from='example.com' to='ada@example.com/a'><error type='cancel'><service-unavailable…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ada.send(tt.in)
			ada.expect(tt.want)
		})
	}
}
