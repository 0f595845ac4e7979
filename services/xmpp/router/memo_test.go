package router

import (
	"bytes"
	"testing"

	"parley/services/xmpp/authenticator"
	"parley/services/xmpp/jid"
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
