package authenticator

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley/services/config"
	"parley/services/xmpp/stanza"
)

func newKey(t testing.TB) Key {
	t.Helper()
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestCheck(t *testing.T) {
	key, other := newKey(t), newKey(t)
	for _, password := range []string{"x", "Wonder-land1", "Paß wörd", strings.Repeat("x", block), strings.Repeat("y", 4096)} {
		e, err := Check(key.Public(), "alice", config.Secret(password))
		if err != nil {
			t.Fatal(err)
		}
		user, got, ok := Question(e, key)
		if !ok || user != "alice" || got.Reveal() != password {
			t.Errorf("Question = %q, %q, %v; want alice and what was sealed", user, got.Reveal(), ok)
		}
		if text := string(e.Append(nil, stanza.NSClient)); strings.Contains(text, password) && len(password) > 1 {
			t.Errorf("the password stands in %s", text)
		}
		if _, _, ok := Question(e, other); ok {
			t.Error("another key opens it")
		}
		e.SetAttr("user", "mallory")
		if _, _, ok := Question(e, key); ok {
			t.Error("it opens for another user")
		}
	}
	short, _ := Check(key.Public(), "alice", "x")
	long, _ := Check(key.Public(), "alice", "a rather long password")
	if len(short.Text()) != len(long.Text()) {
		t.Errorf("sealed passwords have %d and %d octets; want the length hidden", len(short.Text()), len(long.Text()))
	}
	for _, bad := range []string{"", "AAAA", "no base64", key.Public() + "AA"} {
		if _, err := Check(bad, "alice", "x"); err == nil || CheckKey(bad) == nil {
			t.Errorf("key %q is taken", bad)
		}
	}
}

func TestAnswers(t *testing.T) {
	iq := func(kind string, children ...*stanza.Element) *stanza.Element {
		return stanza.New(stanza.NSClient, "iq", "type", kind, "id", "1").Add(children...)
	}
	for _, tt := range []struct {
		name           string
		iq             *stanza.Element
		right, decided bool
		offers         int
	}{
		{"right", iq("result", Verdict(true)), true, true, 0},
		{"wrong", iq("result", Verdict(false)), false, true, 0},
		{"error", iq("error", Verdict(true)), false, false, 0},
		{"empty", iq("result"), false, false, 0},
		{"something else", iq("result", stanza.New("x", "right")), false, false, 0},
		{"offers", iq("result", Offers(3)), false, false, 3},
		{"no number", iq("result", stanza.New(NS, "offers", "count", "-1")), false, false, 0},
	} {
		if right, decided := ReadVerdict(tt.iq); right != tt.right || decided != tt.decided {
			t.Errorf("%s: ReadVerdict = %v, %v; want %v, %v", tt.name, right, decided, tt.right, tt.decided)
		}
		if n := ReadOffers(tt.iq); n != tt.offers {
			t.Errorf("%s: ReadOffers = %d; want %d", tt.name, n, tt.offers)
		}
	}
}

func TestPeople(t *testing.T) {
	var names []string
	for i := range 10_000 {
		names = append(names, fmt.Sprintf("user-%d'<&", i))
	}
	slices.Sort(names)
	var got []string
	es := People("here", names)
	for i, e := range es {
		if n := len(e.Append(nil, stanza.NSClient)); n > 3*maxPeople {
			t.Errorf("an element of %d octets", n)
		}
		l := ReadPeople(e)
		got = append(got, l.Names...)
		// The parts leave no name out, and none is in two of them.
		after, upto := "", ""
		if i > 0 {
			after = ReadPeople(es[i-1]).Upto
		}
		if i < len(es)-1 {
			upto = l.Names[len(l.Names)-1]
		}
		if l.After != after || l.Upto != upto || l.Source != "here" {
			t.Errorf("part %d is of %q after %q up to %q; want here, %q, %q", i, l.Source, l.After, l.Upto, after, upto)
		}
	}
	if len(es) < 3 {
		t.Errorf("%d parts; want some", len(es))
	}
	if !slices.Equal(got, names) {
		t.Errorf("%d names come back; want %d, the same", len(got), len(names))
	}
	if es := People("here", nil); len(es) != 0 {
		t.Errorf("People of nobody = %v; want none", es)
	}
}

// FuzzQuestion opens what the network may bring.
func FuzzQuestion(f *testing.F) {
	key := newKey(f)
	e, err := Check(key.Public(), "alice", "Wonder-land1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("alice", e.Text(), key.Public())
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, user, sealed, public string) {
		q := stanza.New(NS, "check", "user", user).AddText(sealed)
		if _, got, ok := Question(q, key); ok && (user != "alice" || got != "Wonder-land1") {
			t.Fatalf("Question(%q, %q) = %q; want what was sealed", user, sealed, got.Reveal())
		}
		if CheckKey(public) == nil {
			if _, err := Check(public, user, "x"); err != nil {
				t.Fatalf("Check with the key %q = %v", public, err)
			}
		}
	})
}
