package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/problem"
)

// state is a subscription state by its name in RFC 6121 Appendix A.1.
func state(name string) Entry {
	e := Entry{Contact: "c@x", Listed: true}
	e.To = name == "To" || name == "To + Pending In" || name == "Both"
	e.From = name == "From" || name == "From + Pending Out" || name == "Both"
	e.Ask = name == "None + Pending Out" || name == "None + Pending Out+In" || name == "From + Pending Out"
	if name == "None + Pending In" || name == "None + Pending Out+In" || name == "To + Pending In" {
		e.Request = []byte("<presence/>")
	}
	return e
}

func nameOf(e Entry) string {
	s := map[string]string{"none": "None", "to": "To", "from": "From", "both": "Both"}[e.Subscription()]
	switch {
	case e.Ask && e.Request != nil:
		return s + " + Pending Out+In"
	case e.Ask:
		return s + " + Pending Out"
	case e.Request != nil:
		return s + " + Pending In"
	}
	return s
}

var states = []string{
	"None", "None + Pending Out", "None + Pending In", "None + Pending Out+In",
	"To", "To + Pending In", "From", "From + Pending Out", "Both",
}

// step is a row of the tables: whether the stanza goes on, and the new state;
// "" is no change.
type step struct {
	on    bool
	state string
}

func checkTables(t *testing.T, tables map[string][]step, do func(*Entry, string) bool) {
	for kind, rows := range tables {
		for i, row := range rows {
			t.Run(fmt.Sprintf("%s in %s", kind, states[i]), func(t *testing.T) {
				want := row.state
				if want == "" {
					want = states[i]
				}
				e := state(states[i])
				if on := do(&e, kind); on != row.on || nameOf(e) != want {
					t.Errorf("goes on %v, state %q; want %v, %q", on, nameOf(e), row.on, want)
				}
			})
		}
	}
}

// The rows are in the order of states.
func TestOutboundStates(t *testing.T) {
	checkTables(t, map[string][]step{
		// RFC 6121 Appendix A.2.1 to A.2.4; pre-approval is not offered.
		"subscribe": {
			{true, "None + Pending Out"}, {true, ""}, {true, "None + Pending Out+In"}, {true, ""},
			{true, ""}, {true, ""}, {true, "From + Pending Out"}, {true, ""}, {true, ""},
		},
		"unsubscribe": {
			{true, ""}, {true, "None"}, {true, ""}, {true, "None + Pending In"},
			{true, "None"}, {true, "None + Pending In"}, {true, ""}, {true, "From"}, {true, "From"},
		},
		"subscribed": {
			{false, ""}, {false, ""}, {true, "From"}, {true, "From + Pending Out"},
			{false, ""}, {true, "Both"}, {false, ""}, {false, ""}, {false, ""},
		},
		"unsubscribed": {
			{false, ""}, {false, ""}, {true, "None"}, {true, "None + Pending Out"},
			{false, ""}, {true, "To"}, {true, "None"}, {true, "None + Pending Out"}, {true, "To"},
		},
	}, outbound)
}

func TestInboundStates(t *testing.T) {
	checkTables(t, map[string][]step{
		// RFC 6121 Appendix A.3.1 to A.3.4.
		"subscribe": {
			{true, "None + Pending In"}, {true, "None + Pending Out+In"}, {false, ""}, {false, ""},
			{true, "To + Pending In"}, {false, ""}, {false, ""}, {false, ""}, {false, ""},
		},
		"unsubscribe": {
			{false, ""}, {false, ""}, {true, "None"}, {true, "None + Pending Out"},
			{false, ""}, {true, "To"}, {true, "None"}, {true, "None + Pending Out"}, {true, "To"},
		},
		"subscribed": {
			{false, ""}, {true, "To"}, {false, ""}, {true, "To + Pending In"},
			{false, ""}, {false, ""}, {false, ""}, {true, "Both"}, {false, ""},
		},
		"unsubscribed": {
			{false, ""}, {true, "None"}, {false, ""}, {true, "None + Pending In"},
			{true, "None"}, {true, "None + Pending In"}, {false, ""}, {true, "From"}, {true, "From"},
		},
	}, func(e *Entry, kind string) bool { return inbound(e, kind, []byte("<presence/>")) })
}

// brief is an effect in a line.
func brief(effects []Effect) (lines []string) {
	for _, e := range effects {
		switch e.Kind {
		case Push:
			ask := ""
			if e.Entry.Ask {
				ask = " ask"
			}
			lines = append(lines, fmt.Sprintf("push %s: %s %s%s", e.Account, e.Entry.Contact, e.Entry.Subscription(), ask))
		case Send:
			lines = append(lines, fmt.Sprintf("%s %s>%s", e.Type, e.From, e.To))
		case Available:
			lines = append(lines, fmt.Sprintf("available %s>%s", e.From, e.To))
		case Unavailable:
			lines = append(lines, fmt.Sprintf("unavailable %s>%s", e.From, e.To))
		}
	}
	return lines
}

func TestSubscriptionEffects(t *testing.T) {
	type act struct {
		op   Op
		want []string
	}
	sub := func(from, to, kind string) Op {
		return &Subscription{Domain: "x", From: from, To: to, Type: kind, Stanza: []byte("<presence/>")}
	}
	remove := func(account, contact string) Op {
		return &RosterRemove{Account: account, Domain: "x", Contact: contact}
	}
	allow := []act{
		{sub("ada@x", "bob@x", "subscribe"), []string{"push ada: bob@x none ask", "subscribe ada@x>bob@x"}},
		{sub("bob@x", "ada@x", "subscribed"), []string{
			"push bob: ada@x from", "subscribed bob@x>ada@x", "push ada: bob@x to", "available bob@x>ada@x"}},
	}
	mutual := append(slices.Clone(allow),
		act{sub("bob@x", "ada@x", "subscribe"), []string{"push bob: ada@x from ask", "subscribe bob@x>ada@x"}},
		act{sub("ada@x", "bob@x", "subscribed"), []string{
			"push ada: bob@x both", "subscribed ada@x>bob@x", "push bob: ada@x both", "available ada@x>bob@x"}})
	for _, tt := range []struct {
		name string
		acts []act
	}{
		{"request and approval", allow},
		{"request twice", []act{
			{sub("ada@x", "bob@x", "subscribe"), []string{"push ada: bob@x none ask", "subscribe ada@x>bob@x"}},
			{sub("ada@x", "bob@x", "subscribe"), nil},
		}},
		{"request when allowed already", append(slices.Clone(allow),
			act{sub("ada@x", "bob@x", "subscribe"), nil})},
		{"request and denial", []act{
			{sub("ada@x", "bob@x", "subscribe"), []string{"push ada: bob@x none ask", "subscribe ada@x>bob@x"}},
			{sub("bob@x", "ada@x", "unsubscribed"), []string{"unsubscribed bob@x>ada@x", "push ada: bob@x none"}},
		}},
		{"approval that nobody asked for", []act{{sub("ada@x", "bob@x", "subscribed"), nil}}},
		{"mutual", mutual},
		{"contact cancels", append(slices.Clone(mutual), act{sub("bob@x", "ada@x", "unsubscribed"), []string{
			"push bob: ada@x to", "unsubscribed bob@x>ada@x", "push ada: bob@x from", "unavailable bob@x>ada@x"}})},
		{"user unsubscribes", append(slices.Clone(mutual), act{sub("ada@x", "bob@x", "unsubscribe"), []string{
			"push ada: bob@x from", "unsubscribe ada@x>bob@x", "push bob: ada@x to", "unavailable bob@x>ada@x"}})},
		{"roster item removed", append(slices.Clone(mutual), act{remove("ada", "bob@x"), []string{
			"push ada: bob@x remove",
			"unsubscribe ada@x>bob@x", "push bob: ada@x to", "unavailable bob@x>ada@x",
			"unsubscribed ada@x>bob@x", "push bob: ada@x none", "unavailable ada@x>bob@x"}})},
		{"account deleted", append(slices.Clone(mutual), act{&AccountDel{Name: "ada", Domain: "x"}, []string{
			"unsubscribe ada@x>bob@x", "push bob: ada@x to", "unavailable bob@x>ada@x",
			"unsubscribed ada@x>bob@x", "push bob: ada@x none", "unavailable ada@x>bob@x"}})},
		{"account deleted with requests waiting", []act{
			{sub("ada@x", "bob@x", "subscribe"), []string{"push ada: bob@x none ask", "subscribe ada@x>bob@x"}},
			{sub("cleo@x", "ada@x", "subscribe"), []string{"push cleo: ada@x none ask", "subscribe cleo@x>ada@x"}},
			{&AccountDel{Name: "ada", Domain: "x"}, []string{
				"unsubscribe ada@x>bob@x", "unsubscribed ada@x>cleo@x", "push cleo: ada@x none"}},
		}},
		{"of nobody", []act{{sub("ada@x", "eve@x", "subscribe"), []string{"push ada: eve@x none ask"}}}},
		{"of a component's contact", []act{
			{sub("ada@x", "room@cb.x", "subscribe"), []string{"push ada: room@cb.x none ask", "subscribe ada@x>room@cb.x"}},
			{sub("room@cb.x", "ada@x", "subscribed"), []string{"subscribed room@cb.x>ada@x", "push ada: room@cb.x to"}},
			{sub("room@cb.x", "ada@x", "subscribe"), []string{"subscribe room@cb.x>ada@x"}},
			{sub("ada@x", "room@cb.x", "subscribed"), []string{
				"push ada: room@cb.x both", "subscribed ada@x>room@cb.x", "available ada@x>room@cb.x"}},
			{sub("room@cb.x", "ada@x", "unsubscribe"), []string{
				"unsubscribe room@cb.x>ada@x", "push ada: room@cb.x to", "unavailable ada@x>room@cb.x"}},
			{remove("ada", "room@cb.x"), []string{"push ada: room@cb.x remove", "unsubscribe ada@x>room@cb.x"}},
		}},
		{"the other side out of step", append(slices.Clone(allow),
			// Bob still allows what Ada's roster has lost.
			act{remove("ada", "bob@x"), []string{"push ada: bob@x remove", "unsubscribe ada@x>bob@x", "push bob: ada@x none", "unavailable bob@x>ada@x"}})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := start(t, Config{Dir: t.TempDir(), NoSync: true})
			for _, name := range []string{"ada", "bob", "cleo"} {
				apply(t, s, &AccountAdd{Name: name})
			}
			for i, a := range tt.acts {
				res := apply(t, s, a.op)
				if diff := cmp.Diff(a.want, brief(res.Effects)); diff != "" {
					t.Fatalf("effects of step %d, %+v:\n%s", i+1, a.op, diff)
				}
			}
		})
	}
}

func TestAlreadyAllowedIsAnswered(t *testing.T) {
	s, _ := start(t, Config{Dir: t.TempDir(), NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada"})
	sub := func(from, to, kind string) *Subscription {
		return &Subscription{Domain: "x", From: from, To: to, Type: kind}
	}
	apply(t, s, sub("room@cb.x", "ada@x", "subscribe"))
	apply(t, s, sub("ada@x", "room@cb.x", "subscribed"))
	res := apply(t, s, sub("room@cb.x", "ada@x", "subscribe"))
	want := []string{"subscribed ada@x>room@cb.x", "available ada@x>room@cb.x"}
	if diff := cmp.Diff(want, brief(res.Effects)); diff != "" {
		t.Errorf("effects of a second request:\n%s", diff)
	}
}

func TestRoster(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, Config{Dir: dir, NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada"})
	apply(t, s, &AccountAdd{Name: "bob"})
	apply(t, s, &Subscription{Domain: "x", From: "bob@x", To: "ada@x", Type: "subscribe", Stanza: []byte("<presence n='1'/>")})
	es, ver, err := s.Roster("ada")
	if err != nil || len(es) != 1 || es[0].Shown() || string(es[0].Request) != "<presence n='1'/>" || ver != 0 {
		t.Errorf("roster with a mere request = %+v, version %d, %v", es, ver, err)
	}
	if err := refused(t, s, &RosterRemove{Account: "ada", Domain: "x", Contact: "bob@x"}); err != ErrNoEntry {
		t.Errorf("removal of a mere request = %v; want %v", err, ErrNoEntry)
	}
	apply(t, s, &RosterSet{Account: "ada", Contact: "bob@x", Name: "Bob", Groups: []string{"A", "B"}})
	apply(t, s, &RosterSet{Account: "ada", Contact: "cleo@x"})
	if got := problem.CodeOf(refused(t, s, &RosterSet{Account: "eve", Contact: "bob@x"})); got != problem.UserUnknown {
		t.Errorf("roster set of nobody = %q", got)
	}
	want := []Entry{
		{Contact: "bob@x", Name: "Bob", Groups: []string{"A", "B"}, Listed: true, Request: []byte("<presence n='1'/>")},
		{Contact: "cleo@x", Listed: true},
	}
	check := func(s *Store) {
		t.Helper()
		es, ver, err := s.Roster("ada")
		if diff := cmp.Diff(want, es); diff != "" || err != nil || ver != 2 {
			t.Errorf("roster, version %d, %v:\n%s", ver, err, diff)
		}
	}
	check(s)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: dir, NoSync: true})
	check(s)
}
