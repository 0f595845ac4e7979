package router

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"

	"parley/services/xmpp/authenticator"
	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

func someMemos(t testing.TB) []memo {
	directed := map[jid.JID]struct{}{}
	for _, s := range []string{"bob@example.com", "room@cb1.example.com/nick", "cb1.example.com"} {
		j, err := jid.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		directed[j] = struct{}{}
	}
	return []memo{
		{},
		{lease: lease{1, 2}, interested: true},
		here("ada@example.com/a"),
		{lease: lease{1, 2}, offer: someKey(t), directed: directed},
		{lease: lease{1 << 63, 1 << 40}, presence: stanza.New(stanza.NSClient, "presence", "from", "a@b/c").Add(
			stanza.New(stanza.NSClient, "show").AddText("away"), stanza.New(stanza.NSClient, "priority").AddText("-3"), stanza.New("x", "y", "z", "'")), directed: directed},
	}
}

func someKey(t testing.TB) string {
	k, err := authenticator.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func TestMemoRoundTrip(t *testing.T) {
	for _, m := range someMemos(t) {
		b := m.encode()
		got, err := decodeMemo(b)
		if err != nil || got.lease != m.lease || got.interested != m.interested || got.offer != m.offer || len(got.directed) != len(m.directed) || !bytes.Equal(got.encode(), b) {
			t.Errorf("decodeMemo(%q) = %+v, %v; want %+v", b, got, err, m)
		}
	}
	future := memo{}.encode()
	future[0]++
	if _, err := decodeMemo(future); err == nil {
		t.Error("a memo of another version is read")
	}
}

// FuzzMemo decodes what a relay may hand over: what is taken is what it says,
// and can be handed on.
func FuzzMemo(f *testing.F) {
	for _, m := range someMemos(f) {
		f.Add(m.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMemo(b)
		if err != nil {
			if m.presence != nil || len(m.directed) > 0 || m.interested || m.offer != "" {
				t.Fatalf("decodeMemo(%q) = %+v, %v", b, m, err)
			}
			return
		}
		again, err := decodeMemo(m.encode())
		if err != nil || !bytes.Equal(again.encode(), m.encode()) {
			t.Fatalf("decodeMemo of its own encoding = %+v, %v; want %+v", again, err, m)
		}
	})
}

// A relay that comes back with an older memo, as the link broke before the
// newer came, does not undo what its session has said since.
func TestOlderMemo(t *testing.T) {
	inMemory(t, newMemory("ada", "bob"), func(t *testing.T, w *world) {
		w.r.Settled()
		s := attached("ada@example.com/a", memo{})
		w.attach(s).send("<presence/>")
		bob := w.attach(attached("bob@example.com/b", memo{}))
		back := w.attach(s)
		back.send("<presence/>")
		bob.send("<message to='ada@example.com' id='1'/>")
		if got := ids(back.now()); !slices.Equal(got, []string{"1"}) || back.over() != "" {
			t.Errorf("ada got %v, ended %q; want 1", got, back.ended)
		}
	})
}

// Whoever attaches the session to another leader after a Confirm has what the
// stanza changed.
func TestMemoComesBeforeConfirm(t *testing.T) {
	m := newMemory("ada", "bob")
	inMemory(t, m, func(t *testing.T, w *world) {
		w.r.Settled()
		e := &recorder{}
		ref := newRef()
		j, _ := jid.New("ada", domain, "")
		if _, err := w.r.Open(t.Context(), link.Open{Ref: ref, JID: j, Resource: "a"}, e); err != nil {
			t.Fatal(err)
		}
		for i, tt := range []struct {
			xml  string
			want func(memo) bool
		}{
			{"<presence><priority>3</priority></presence>", func(m memo) bool { return m.presence != nil }},
			{"<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", func(m memo) bool { return m.interested }},
			{"<presence to='bob@example.com/x'/>", func(m memo) bool { return len(m.directed) == 1 }},
			{"<presence type='unavailable' to='bob@example.com/x'/>", func(m memo) bool { return len(m.directed) == 0 }},
			{"<presence type='unavailable'/>", func(m memo) bool { return m.presence == nil && m.interested }},
		} {
			w.r.Send(ref, uint64(i+1), parse(t, tt.xml))
			synctest.Wait()
			if n := len(e.calls); n < 2 || e.calls[n-1] != "confirm" || e.calls[n-2] != "memo" {
				t.Errorf("%s: calls %v; want memo and confirm last", tt.xml, e.calls)
			}
			if m, err := decodeMemo(e.memo); err != nil || !tt.want(m) {
				t.Errorf("%s: memo %+v, %v", tt.xml, m, err)
			}
			e.calls = nil
		}
	})
}

// recorder is an edge that notes the calls.
type recorder struct {
	calls []string
	memo  []byte
}

func (e *recorder) Deliver(link.Ref, link.Delivery) { e.calls = append(e.calls, "deliver") }

func (e *recorder) Confirm(link.Ref, uint64) { e.calls = append(e.calls, "confirm") }

func (e *recorder) End(link.Ref, string) { e.calls = append(e.calls, "end") }

func (e *recorder) Memo(_ link.Ref, memo []byte) {
	e.calls, e.memo = append(e.calls, "memo"), memo
}
