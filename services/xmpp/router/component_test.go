package router

import "testing"

func TestComponent(t *testing.T) {
	w := newWorld(t, "ada")
	ada := w.online("ada", "a", 0)
	cb := w.component("cb1")
	if cb.jid.String() != "cb1.example.com" {
		t.Errorf("component's JID = %s", cb.jid)
	}
	ada.send("<message to='x@cb1.example.com/y' id='1'><body/></message>")
	ada.send("<iq type='get' id='2' to='cb1.example.com'><query xmlns='some:thing'/></iq>")
	cb.expect("<message to='x@cb1.example.com/y' id='1' from='ada@example.com/a'><body/></message>",
		"<iq type='get' id='2' to='cb1.example.com' from='ada@example.com/a'><query xmlns='some:thing'/></iq>")
	cb.send("<iq type='result' id='2' from='cb1.example.com' to='ada@example.com/a'/>")
	cb.send("<message from='y@cb1.example.com/z' to='ada@example.com'><body>hi</body></message>")
	cb.send("<presence from='y@cb1.example.com' to='ada@example.com'/>")
	cb.send("<message to='nobody@example.com' id='3'><body/></message>")
	ada.expect("<iq type='result' id='2' from='cb1.example.com' to='ada@example.com/a'/>",
		"<message from='y@cb1.example.com/z' to='ada@example.com'><body>hi</body></message>",
		"<presence from='y@cb1.example.com' to='ada@example.com'/>")
	cb.expect("<message type='error' id='3' from='nobody@example.com' to='cb1.example.com'><error type='cancel'><service-unavailable…")
	cb.send("<iq type='get' id='4' from='cb1.example.com' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
	cb.expect("<iq type='result' id='4' from='example.com' to='cb1.example.com'/>")
	w.pending("ada", 0)
	cb.send("<message from='cb1.example.com' id='5'><body/></message>")
	cb.expect("<message type='error' id='5' to='cb1.example.com'><error type='modify'><bad-request…")

	t.Run("subscription", func(t *testing.T) {
		ada.send("<presence type='subscribe' to='room@cb1.example.com'/>")
		cb.expect("<presence type='subscribe' to='room@cb1.example.com' from='ada@example.com'/>")
		cb.send("<presence type='subscribed' from='room@cb1.example.com' to='ada@example.com'/>")
		cb.send("<presence from='room@cb1.example.com' to='ada@example.com'/>")
		ada.expect("<presence type='subscribed' from='room@cb1.example.com' to='ada@example.com'/>",
			"<presence from='room@cb1.example.com' to='ada@example.com'/>")
		again := w.connect("ada", "b")
		again.send("<presence/>")
		again.take()
		cb.expect("<presence type='probe' from='ada@example.com/b' to='room@cb1.example.com'/>")
		ada.take()
	})
	t.Run("replaced by a newer one", func(t *testing.T) {
		newer := w.component("cb1")
		if got := cb.end(); got != "conflict" {
			t.Errorf("older connection ended with %q; want conflict", got)
		}
		ada.send("<message to='cb1.example.com' id='5'/>")
		newer.expect("<message to='cb1.example.com' id='5' from='ada@example.com/a'/>")
		// The older edge closes late.
		cb.close()
		ada.send("<message to='cb1.example.com' id='6'/>")
		newer.expect("<message to='cb1.example.com' id='6' from='ada@example.com/a'/>")
		cb = newer
	})
	t.Run("a sender that is not its own", func(t *testing.T) {
		for _, from := range []string{"ada@example.com", "example.com", "cb2.example.com", "@"} {
			cb := w.component("cb1")
			cb.send("<message from='" + from + "' to='ada@example.com'/>")
			if got := cb.end(); got != "invalid-from" {
				t.Errorf("from %s: ended with %q; want invalid-from", from, got)
			}
		}
		ada.expect()
	})
	t.Run("not connected", func(t *testing.T) {
		ada.send("<message to='x@cb1.example.com' id='7'/>")
		ada.expect("<message type='error' id='7' from='x@cb1.example.com' to='ada@example.com/a'><error type='wait'><recipient-unavailable…")
		ada.send("<message to='x@cb7.example.com' id='8'/>")
		ada.expect("<message type='error' id='8' from='x@cb7.example.com' to='ada@example.com/a'><error type='cancel'><remote-server-not-found…")
	})
}
