package router

import (
	"strings"
	"testing"
)

// befriend makes two available sessions' accounts subscribe to each other.
func befriend(a, b *peer) {
	a.send("<presence type='subscribe' to='" + b.jid.Bare().String() + "'/>")
	b.send("<presence type='subscribed' to='" + a.jid.Bare().String() + "'/>")
	b.send("<presence type='subscribe' to='" + a.jid.Bare().String() + "'/>")
	a.send("<presence type='subscribed' to='" + b.jid.Bare().String() + "'/>")
	a.take()
	b.take()
}

func TestSubscriptionHandshake(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	ada := w.online("ada", "a", 0)
	ada.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
	ada.expect("<iq type='result' id='r' to='ada@example.com/a'><query xmlns='jabber:iq:roster' ver='0'/></iq>")

	// Bob is away; the request waits with all that it holds.
	ada.send("<presence type='subscribe' to='bob@example.com/x' id='s1'><status>it's me</status></presence>")
	ada.expect("<iq type='set' id='push1' to='ada@example.com/a'><query xmlns='jabber:iq:roster' ver='1'><item jid='bob@example.com' subscription='none' ask='subscribe'/></query></iq>")
	request := "<presence type='subscribe' to='bob@example.com' id='s1' from='ada@example.com'><status>it's me</status></presence>"
	for range 2 {
		// It comes again at each login until it is answered.
		bob := w.connect("bob", "b")
		bob.send("<presence/>")
		bob.expect("<presence from='bob@example.com/b' to='bob@example.com/b'/>", request)
		bob.send("<presence type='unavailable'/>")
		bob.take()
		bob.close()
	}
	bob := w.online("bob", "b", 0)
	bob.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
	bob.expect("<iq type='result' id='r' to='bob@example.com/b'><query xmlns='jabber:iq:roster' ver='0'/></iq>")
	bob.send("<presence type='subscribed' to='ada@example.com'/>")
	bob.expect("<iq type='set' id='push2' to='bob@example.com/b'><query xmlns='jabber:iq:roster' ver='1'><item jid='ada@example.com' subscription='from'/></query></iq>")
	ada.expect(
		"<presence type='subscribed' to='ada@example.com' from='bob@example.com'/>",
		"<iq type='set' id='push3' to='ada@example.com/a'><query xmlns='jabber:iq:roster' ver='2'><item jid='bob@example.com' subscription='to'/></query></iq>",
		"<presence from='bob@example.com/b' to='ada@example.com'><priority>0</priority></presence>",
	)
	// Ada's own presence is not for Bob yet.
	ada.send("<presence><show>away</show></presence>")
	bob.expect()
	ada.take()
	bob.send("<presence><show>dnd</show></presence>")
	ada.expect("<presence from='bob@example.com/b' to='ada@example.com'><show>dnd</show></presence>")
	bob.take()

	ada.send("<presence type='unsubscribe' to='bob@example.com'/>")
	ada.expect(
		"<iq type='set' id='push4' to='ada@example.com/a'><query xmlns='jabber:iq:roster' ver='3'><item jid='bob@example.com' subscription='none'/></query></iq>",
		"<presence type='unavailable' from='bob@example.com/b' to='ada@example.com'/>",
	)
	bob.expect(
		"<presence type='unsubscribe' to='bob@example.com' from='ada@example.com'/>",
		"<iq type='set' id='push5' to='bob@example.com/b'><query xmlns='jabber:iq:roster' ver='2'><item jid='ada@example.com' subscription='none'/></query></iq>",
	)
}

func TestSubscriptionRefused(t *testing.T) {
	w := newWorld(t, "ada")
	ada := w.online("ada", "a", 0)
	ada.send("<presence type='subscribe' to='ada@example.com'/>")
	ada.send("<presence type='subscribe' to='example.com'/>")
	ada.send("<presence type='subscribe' to='nobody@example.com'/>")
	ada.expect()
	ada.send("<presence type='subscribe' to='x@elsewhere.org' id='1'/>")
	ada.expect("<presence type='error' id='1' from='x@elsewhere.org' to='ada@example.com/a'><error type='cancel'><remote-server-not-found…")
	ada.send("<presence type='subscribe' id='2'/>")
	ada.expect("<presence type='error' id='2' to='ada@example.com/a'><error type='modify'><bad-request…")
	if ada.confirms() != ada.seq {
		t.Errorf("confirmed %d; want %d", ada.confirms(), ada.seq)
	}
}

func TestPresenceOfContacts(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	ada, bob := w.online("ada", "a", 0), w.online("bob", "b", 0)
	befriend(ada, bob)

	// A second resource of Bob's sees Ada, and the first one.
	second := w.connect("bob", "c")
	second.send("<presence><show>chat</show></presence>")
	second.expect(
		"<presence from='bob@example.com/b' to='bob@example.com/c'><priority>0</priority></presence>",
		"<presence from='bob@example.com/c' to='bob@example.com/c'><show>chat</show></presence>",
		"<presence from='ada@example.com/a' to='bob@example.com/c'><priority>0</priority></presence>",
	)
	ada.expect("<presence from='bob@example.com/c' to='ada@example.com'><show>chat</show></presence>")
	bob.expect("<presence from='bob@example.com/c' to='bob@example.com/b'><show>chat</show></presence>")

	// Leaving without a word is unavailable presence.
	second.close()
	ada.expect("<presence type='unavailable' from='bob@example.com/c' to='ada@example.com'/>")
	bob.expect("<presence type='unavailable' from='bob@example.com/c' to='bob@example.com/b'/>")

	bob.send("<presence type='unavailable'><status>bye</status></presence>")
	want := "<presence type='unavailable' from='bob@example.com/b' to='ada@example.com'><status>bye</status></presence>"
	ada.expect(want)
	bob.expect(strings.Replace(want, "to='ada@example.com'", "to='bob@example.com/b'", 1))
	// It is said once.
	bob.send("<presence type='unavailable'/>")
	bob.close()
	ada.expect()
}

func TestDirectedPresence(t *testing.T) {
	w := newWorld(t, "ada", "bob", "cleo")
	ada, bob, cleo := w.online("ada", "a", 0), w.online("bob", "b", 0), w.online("cleo", "c", 0)
	cb := w.component("cb1")
	ada.send("<presence to='bob@example.com/b'/>")
	ada.send("<presence to='cleo@example.com'/>")
	ada.send("<presence to='room@cb1.example.com/nick'/>")
	bob.expect("<presence to='bob@example.com/b' from='ada@example.com/a'/>")
	cleo.expect("<presence to='cleo@example.com' from='ada@example.com/a'/>")
	cb.expect("<presence to='room@cb1.example.com/nick' from='ada@example.com/a'/>")
	ada.send("<presence type='unavailable' to='cleo@example.com'/>")
	cleo.expect("<presence type='unavailable' to='cleo@example.com' from='ada@example.com/a'/>")
	ada.send("<presence to='x@elsewhere.org' id='1'/>")
	ada.expect("<presence type='error' id='1' …")
	ada.close()
	bob.expect("<presence type='unavailable' from='ada@example.com/a' to='bob@example.com/b'/>")
	cb.expect("<presence type='unavailable' from='ada@example.com/a' to='room@cb1.example.com/nick'/>")
	cleo.expect()
}

func TestPresenceErrors(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	ada := w.online("ada", "a", 0)
	for _, in := range []string{
		"<presence id='1'><priority>128</priority></presence>",
		"<presence id='1'><priority>high</priority></presence>",
		"<presence id='1' type='here'/>",
	} {
		ada.send(in)
		ada.expect("<presence type='error' id='1' to='ada@example.com/a'><error type='modify'><bad-request…")
	}
	ada.send("<presence type='probe'/>")
	ada.send("<presence type='error' to='bob@example.com/b'/>")
	ada.expect()
}

func TestProbe(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	ada, bob := w.online("ada", "a", 0), w.online("bob", "b", 0)
	ada.send("<presence type='probe' to='bob@example.com'/>")
	ada.expect("<presence type='unsubscribed' from='bob@example.com' to='ada@example.com'/>")
	ada.send("<presence type='probe' to='nobody@example.com'/>")
	ada.expect()
	befriend(ada, bob)
	ada.send("<presence type='probe' to='bob@example.com'/>")
	ada.expect("<presence from='bob@example.com/b' to='ada@example.com/a'><priority>0</priority></presence>")
}
