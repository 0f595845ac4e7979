package router

import (
	"testing"

	"parley/services/xmpp/store"
)

func TestIQ(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	mustApply(t, w.store, &store.BridgeAdd{Name: "cb2", Secret: "s"})
	w.component("cb1")
	ada := w.online("ada", "a", 0)
	bob := w.connect("bob", "b")
	const back = "id='1' to='ada@example.com/a'>"
	for _, tt := range []struct{ name, in, want string }{
		{"ping", "<iq type='get' id='1' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>",
			"<iq type='result' id='1' from='example.com' to='ada@example.com/a'/>"},
		{"ping of the own account", "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
			"<iq type='result' id='1' to='ada@example.com/a'/>"},
		{"session", "<iq type='set' id='1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
			"<iq type='result' id='1' to='ada@example.com/a'/>"},
		{"session of the server", "<iq type='set' id='1' to='example.com'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
			"<iq type='result' id='1' from='example.com' to='ada@example.com/a'/>"},
		{"second bind", "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>x</resource></bind></iq>",
			"<iq type='error' " + back + "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>x</resource></bind><error type='cancel'><not-allowed…"},
		{"version", "<iq type='get' id='1' to='example.com'><query xmlns='jabber:iq:version'/></iq>",
			"<iq type='result' id='1' from='example.com' to='ada@example.com/a'><query xmlns='jabber:iq:version'><name>Parley</name><version>1.0</version></query></iq>"},
		{"time", "<iq type='get' id='1' to='example.com'><time xmlns='urn:xmpp:time'/></iq>",
			"<iq type='result' id='1' from='example.com' to='ada@example.com/a'><time xmlns='urn:xmpp:time'><tzo>Z</tzo><utc>20…"},
		{"disco#info", "<iq type='get' id='1' to='example.com'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
			"<iq type='result' id='1' from='example.com' to='ada@example.com/a'><query xmlns='http://jabber.org/protocol/disco#info'><identity category='server' type='im' name='Parley'/><feature var='http://jabber.org/protocol/disco#info'/>…"},
		{"disco#info of a node", "<iq type='get' id='1' to='example.com'><query xmlns='http://jabber.org/protocol/disco#info' node='x'/></iq>",
			"<iq type='error' id='1' from='example.com' to='ada@example.com/a'><query xmlns='http://jabber.org/protocol/disco#info' node='x'/><error type='cancel'><item-not-found…"},
		{"disco#info of the own account", "<iq type='get' id='1' to='ada@example.com'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
			"<iq type='result' id='1' from='ada@example.com' to='ada@example.com/a'><query xmlns='http://jabber.org/protocol/disco#info'><identity category='account' type='registered'/>…"},
		{"disco#info of a stranger's account", "<iq type='get' id='1' to='bob@example.com'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
			"<iq type='error' id='1' from='bob@example.com' to='ada@example.com/a'><query xmlns='http://jabber.org/protocol/disco#info'/><error type='cancel'><service-unavailable…"},
		{"disco#items", "<iq type='get' id='1' to='example.com'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
			"<iq type='result' id='1' from='example.com' to='ada@example.com/a'><query xmlns='http://jabber.org/protocol/disco#items'><item jid='cb1.example.com'/></query></iq>"},
		{"own vCard", "<iq type='get' id='1'><vCard xmlns='vcard-temp'/></iq>",
			"<iq type='error' " + back + "<vCard xmlns='vcard-temp'/><error type='cancel'><item-not-found…"},
		{"another's vCard", "<iq type='get' id='1' to='bob@example.com'><vCard xmlns='vcard-temp'/></iq>",
			"<iq type='error' id='1' from='bob@example.com' to='ada@example.com/a'><vCard xmlns='vcard-temp'/><error type='cancel'><service-unavailable…"},
		{"another's roster", "<iq type='get' id='1' to='bob@example.com'><query xmlns='jabber:iq:roster'/></iq>",
			"<iq type='error' id='1' from='bob@example.com' to='ada@example.com/a'><query xmlns='jabber:iq:roster'/><error type='auth'><forbidden…"},
		{"what nobody knows", "<iq type='get' id='1'><query xmlns='some:thing'/></iq>",
			"<iq type='error' " + back + "<query xmlns='some:thing'/><error type='cancel'><service-unavailable…"},
		{"absent resource", "<iq type='get' id='1' to='bob@example.com/x'><query xmlns='some:thing'/></iq>",
			"<iq type='error' id='1' from='bob@example.com/x' to='ada@example.com/a'><query xmlns='some:thing'/><error type='cancel'><service-unavailable…"},
		{"absent component", "<iq type='get' id='1' to='cb2.example.com'><query xmlns='some:thing'/></iq>",
			"<iq type='error' id='1' from='cb2.example.com' to='ada@example.com/a'><query xmlns='some:thing'/><error type='wait'><recipient-unavailable…"},
		{"no id", "<iq type='get'><query xmlns='some:thing'/></iq>",
			"<iq type='error' to='ada@example.com/a'><query xmlns='some:thing'/><error type='modify'><bad-request…"},
		{"no child", "<iq type='get' id='1'/>", "<iq type='error' " + back + "<error type='modify'><bad-request…"},
		{"two children", "<iq type='get' id='1'><a xmlns='x'/><b xmlns='x'/></iq>", "<iq type='error' " + back + "<a xmlns='x'/><error type='modify'><bad-request…"},
		{"no type", "<iq id='1'><a xmlns='x'/></iq>", "<iq type='error' " + back + "<a xmlns='x'/><error type='modify'><bad-request…"},
		{"what is no stanza", "<other xmlns='jabber:client' id='1'/>", "<other type='error' " + back + "<error type='cancel'><feature-not-implemented…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ada.send(tt.in)
			ada.expect(tt.want)
			if ada.confirms() != ada.seq {
				t.Errorf("confirmed %d; want %d", ada.confirms(), ada.seq)
			}
		})
	}
	t.Run("never answered", func(t *testing.T) {
		for _, in := range []string{
			"<iq type='result' id='1'/>", "<iq type='error' id='1' to='example.com'/>", "<iq type='result' id='1' to='bob@example.com'/>",
			"<iq type='result' id='1' to='bob@example.com/x'/>", "<iq type='error' id='1' to='cb2.example.com'/>", "<iq type='result'/>",
		} {
			ada.send(in)
		}
		ada.expect()
	})
	t.Run("routed", func(t *testing.T) {
		ada.send("<iq type='get' id='7' to='bob@example.com/b'><query xmlns='some:thing'/></iq>")
		bob.expect("<iq type='get' id='7' to='bob@example.com/b' from='ada@example.com/a'><query xmlns='some:thing'/></iq>")
		bob.send("<iq type='result' id='7' to='ada@example.com/a'/>")
		ada.expect("<iq type='result' id='7' to='ada@example.com/a' from='bob@example.com/b'/>")
	})
}

func TestRosterIQ(t *testing.T) {
	w := newWorld(t, "ada")
	ada, other := w.online("ada", "a", 0), w.connect("ada", "b")
	const get = "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>"
	set := func(items string) string {
		return "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>" + items + "</query></iq>"
	}
	const done = "<iq type='result' id='s' to='ada@example.com/a'/>"
	ada.send(get)
	ada.expect("<iq type='result' id='g' to='ada@example.com/a'><query xmlns='jabber:iq:roster' ver='0'/></iq>")
	ada.send(set("<item jid='bob@example.com/x' name='Bob'><group>A</group><group>B</group></item>"))
	ada.expect("<iq type='set' id='push1' to='ada@example.com/a'><query xmlns='jabber:iq:roster' ver='1'><item jid='bob@example.com' name='Bob' subscription='none'><group>A</group><group>B</group></item></query></iq>", done)
	ada.send(set("<item jid='cleo@elsewhere.org'/>"))
	ada.expect("<iq type='set' id='push2' …", done)
	// Who has not asked for the roster gets no pushes.
	other.expect()
	other.send("<iq type='get' id='g' to='ada@example.com'><query xmlns='jabber:iq:roster' ver='1'/></iq>")
	other.expect("<iq type='result' id='g' from='ada@example.com' to='ada@example.com/b'><query xmlns='jabber:iq:roster' ver='2'>" +
		"<item jid='bob@example.com' name='Bob' subscription='none'><group>A</group><group>B</group></item><item jid='cleo@elsewhere.org' subscription='none'/></query></iq>")
	other.send("<iq type='get' id='g'><query xmlns='jabber:iq:roster' ver='2'/></iq>")
	other.expect("<iq type='result' id='g' to='ada@example.com/b'/>")
	ada.send(set("<item jid='bob@example.com' subscription='remove'/>"))
	ada.expect("<iq type='set' id='push3' to='ada@example.com/a'><query xmlns='jabber:iq:roster' ver='3'><item jid='bob@example.com' subscription='remove'/></query></iq>", done)
	other.expect("<iq type='set' id='push4' to='ada@example.com/b'><query …")

	for _, tt := range []struct{ name, items, want string }{
		{"no item", "", "<bad-request"},
		{"two items", "<item jid='x@y'/><item jid='y@y'/>", "<bad-request"},
		{"malformed", "<item jid='@'/>", "<jid-malformed"},
		{"no jid", "<item/>", "<jid-malformed"},
		{"oneself", "<item jid='ada@example.com'/>", "<not-allowed"},
		{"empty group", "<item jid='x@y'><group/></item>", "<not-acceptable"},
		{"group twice", "<item jid='x@y'><group>a</group><group>a</group></item>", "<bad-request"},
		{"removal of what is not there", "<item jid='x@y' subscription='remove'/>", "<item-not-found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ada.send(set(tt.items))
			got := ada.take()
			if len(got) != 1 || !containsAll(got[0], "<iq type='error' id='s'", tt.want) {
				t.Errorf("reply %v; want %s", got, tt.want)
			}
		})
	}
}
