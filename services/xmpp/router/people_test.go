package router

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/authenticator"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// lists has a Call Bridge tell who exists by a source, and returns the answers.
func (p *peer) lists(source string, names ...string) (answers []string) {
	p.w.t.Helper()
	for _, e := range authenticator.People(source, names) {
		answers = append(answers, p.says(string(e.Append(nil, stanza.NSClient))))
	}
	return answers
}

// people are the accounts that are kept elsewhere; those of who is gone end in "!".
func (w *world) people() (names []string) {
	w.t.Helper()
	as, err := w.store.Accounts()
	if err != nil {
		w.t.Fatal(err)
	}
	gone := 0
	for _, a := range as {
		switch {
		case a.Gone:
			gone++
			names = append(names, a.Name+"!")
		case a.Elsewhere:
			names = append(names, a.Name)
		}
	}
	if all := w.store.Elsewhere(); all != len(names) || w.store.Gone() != gone {
		w.t.Errorf("Elsewhere(), Gone() = %d, %d; want %d, %d", all, w.store.Gone(), len(names), gone)
	}
	return names
}

// TestPeople has Call Bridges list who exists, one after the other.
func TestPeople(t *testing.T) {
	w := newWorld(t, "ada")
	bridges := map[string]*peer{}
	for _, name := range []string{"cb1", "cb2", "cb3"} {
		bridges[name] = w.component(name)
	}
	do := func(op store.Op) func() { return func() { mustApply(t, w.store, op) } }
	for _, tt := range []struct {
		name string
		// first is done before bridge lists names by source.
		first  func()
		bridge string
		source string
		names  string
		want   string
	}{
		{"new ones, one of them with an account", nil, "cb1", "s", "ada bob cyd", "bob cyd"},
		{"again, and one more", nil, "cb1", "s", "bob cyd dan", "bob cyd dan"},
		{"names that no account can have", nil, "cb1", "s", "BOB a/b bob cyd dan x@y", "bob cyd dan"},
		{"one has left", nil, "cb1", "s", "bob cyd", "bob cyd dan!"},
		{"and is back", nil, "cb1", "s", "bob cyd dan", "bob cyd dan"},
		{"a list that does not say of what it is", nil, "cb1", "", "dan", "bob cyd dan"},
		{"nobody at all", nil, "cb1", "s", "", "bob cyd dan"},
		{"by a second of the same source", nil, "cb2", "s", "bob cyd dan", "bob cyd dan"},
		{"who sees another part", nil, "cb3", "t", "eve", "bob cyd dan eve"},
		{"again the first, who does not see that part", nil, "cb1", "s", "bob cyd dan", "bob cyd dan eve"},
		{"and the other, who sees the first's in part", nil, "cb3", "t", "dan eve", "bob cyd dan eve"},
		{"one has left whom one source has", nil, "cb2", "s", "cyd dan", "bob! cyd dan eve"},
		{"one has left one of two sources", nil, "cb1", "s", "cyd", "bob! cyd dan eve"},
		{"and the other one", nil, "cb3", "t", "eve", "bob! cyd dan! eve"},
		{"whose bridge is not registered any more", do(&store.BridgeDel{Name: "cb3"}), "cb1", "s", "cyd", "bob! cyd dan! eve!"},
		{"with other settings", nil, "cb1", "u", "cyd eve", "bob! cyd dan! eve"},
		{"again the second, as it was set before", nil, "cb2", "s", "cyd", "bob! cyd dan! eve"},
		{"one who got a password here", do(&store.AccountSet{Name: "bob", Verifiers: []byte("own")}), "cb1", "u", "cyd eve", "cyd dan! eve"},
		{"one who was deleted", do(&store.AccountDel{Name: "dan", Domain: domain}), "cb1", "u", "cyd eve", "cyd eve"},
		{"one of whom nobody has said who lists them", do(&store.AccountAdd{Name: "fay", Verifiers: []byte(store.Elsewhere)}), "cb1", "u", "cyd eve", "cyd eve fay"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.first != nil {
				tt.first()
			}
			// Told again, it changes nothing.
			for range 2 {
				for _, got := range bridges[tt.bridge].lists(tt.source, strings.Fields(tt.names)...) {
					if !strings.HasPrefix(got, "<iq type='result'") {
						t.Errorf("answer = %s; want a result", got)
					}
				}
				if diff := cmp.Diff(strings.Fields(tt.want), w.people()); diff != "" {
					t.Errorf("accounts kept elsewhere (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestPeopleInParts: each part of a long list speaks for its own names alone.
func TestPeopleInParts(t *testing.T) {
	w := newWorld(t)
	cb1 := w.component("cb1")
	var names []string
	for i := range 6000 {
		names = append(names, fmt.Sprintf("user%05d", i))
	}
	if n := len(cb1.lists("s", names...)); n < 2 {
		t.Fatalf("a list of %d parts; want two at least", n)
	}
	if n := w.store.Elsewhere(); n != len(names) {
		t.Fatalf("%d accounts; want %d", n, len(names))
	}
	// The first, the last, and one where a part may end have left.
	names = append(names[1:3000:3000], names[3001:5999]...)
	parts := authenticator.People("s", names)
	for i, e := range parts {
		if got := cb1.says(string(e.Append(nil, stanza.NSClient))); !strings.HasPrefix(got, "<iq type='result'") {
			t.Errorf("answer = %s; want a result", got)
		}
		if last := i == len(parts)-1; last != (w.store.Gone() == 3) {
			t.Errorf("%d are gone after part %d of %d; want all three after the last", w.store.Gone(), i+1, len(parts))
		}
	}
}

// TestPeopleGone: who has left is sent away and kept out, and nothing is lost.
func TestPeopleGone(t *testing.T) {
	w := newWorld(t, "ada")
	cb1 := w.component("cb1")
	cb1.lists("s", "bob", "cyd")
	for _, who := range []string{"ada", "bob"} {
		mustApply(t, w.store, &store.RosterSet{Account: who, Contact: map[string]string{"ada": "bob", "bob": "ada"}[who] + "@" + domain})
	}
	ada, cyd := w.online("ada", "a", 0), w.online("cyd", "c", 0)
	one, two := w.online("bob", "1", 0), w.online("bob", "2", 0)
	cb1.lists("s", "cyd")
	for _, p := range []*peer{one, two} {
		if got := p.end(); got != "not-authorized" {
			t.Errorf("session of who has left ends with %q; want not-authorized", got)
		}
	}
	for _, p := range []*peer{ada, cyd, cb1} {
		if got := p.end(); got != "" {
			t.Errorf("session of %s ends with %q; want it kept", p.jid, got)
		}
	}
	bob := func() (*peer, error) { return w.openAs(link.Client, "bob@"+domain, "1") }
	if _, err := bob(); refusal(err) != stanza.NotAuthorized {
		t.Errorf("who has left binds: %v; want not-authorized", err)
	}
	ada.send("<message type='chat' to='bob@example.com'><body>are you there</body></message>")
	w.pending("bob", 1)
	if es, _, err := w.store.Roster("bob"); len(es) != 1 || err != nil {
		t.Errorf("roster of who has left = %v, %v; want it kept", es, err)
	}
	cb1.lists("s", "bob", "cyd")
	back, err := bob()
	if err != nil {
		t.Fatalf("who is back binds: %v", err)
	}
	back.send("<presence/>")
	if got := strings.Join(back.take(), ""); !strings.Contains(got, "are you there") {
		t.Errorf("who is back gets %s; want what waited", got)
	}
}

// TestPeopleGoneNewLeader: a leader that is lost after it has noted who has
// left, and before it has ended the sessions, leaves that to the next one.
func TestPeopleGoneNewLeader(t *testing.T) {
	w := newWorld(t)
	cb1 := w.component("cb1")
	cb1.lists("s", "bob", "cyd")
	rs, err := w.store.Apply(context.Background(), &store.AccountsListed{Bridge: "cb1", Source: "s", Missed: []string{"bob"}})
	if err != nil || rs[0].Err != nil {
		t.Fatal(rs, err)
	}
	for _, tt := range []struct{ who, want string }{{"bob", "not-authorized"}, {"cyd", ""}} {
		if got := w.attach(attached(tt.who+"@"+domain+"/r", memo{})).end(); got != tt.want {
			t.Errorf("session of %s that the next leader is told of ends with %q; want %q", tt.who, got, tt.want)
		}
	}
}
