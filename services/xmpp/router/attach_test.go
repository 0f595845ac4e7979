package router

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// newAda is an available session of ada's, resumable, of before.
func newAda() link.Session {
	s := attached("ada@example.com/a", here("ada@example.com/a"))
	s.Enabled, s.Enable = true, link.Enable{Keep: time.Minute}
	return s
}

func TestAttachObjections(t *testing.T) {
	with := func(s link.Session, f func(*link.Session)) link.Session {
		f(&s)
		return s
	}
	ada, other := newAda(), newAda()
	detached := func(s *link.Session) { s.Detached = true }
	epoch := func(n uint32) func(*link.Session) { return func(s *link.Session) { s.Ref.Epoch = n } }
	cb, cb2 := attached("cb1.example.com", memo{}), attached("cb1.example.com", memo{})
	for _, tt := range []struct {
		name string
		in   []link.Session
		want []string
	}{
		{"no such account", []link.Session{attached("eve@example.com/x", memo{})}, []string{"not-authorized"}},
		{"no resource", []link.Session{attached("ada@example.com", memo{})}, []string{"not-authorized"}},
		{"other domain", []link.Session{attached("ada@elsewhere.org/x", memo{})}, []string{"not-authorized"}},
		{"no such Call Bridge", []link.Session{attached("cb2.example.com", memo{})}, []string{"not-authorized"}},
		{"queue beyond its end", []link.Session{with(ada, func(s *link.Session) { s.Queue = []link.Delivery{{N: 1}} })}, []string{"internal-server-error"}},
		{"queue out of order", []link.Session{with(ada, func(s *link.Session) { s.Last, s.Queue = 2, []link.Delivery{{N: 2}, {N: 1}} })}, []string{"internal-server-error"}},
		{"alone", []link.Session{ada}, []string{""}},
		{"lower epoch comes later", []link.Session{with(ada, epoch(2)), with(ada, epoch(1))}, []string{"", "conflict"}},
		{"higher epoch comes later", []link.Session{with(ada, epoch(1)), with(ada, epoch(2))}, []string{"conflict", ""}},
		{"mirror and node", []link.Session{with(ada, detached), ada}, []string{"conflict", ""}},
		{"node and mirror", []link.Session{ada, with(ada, detached)}, []string{"", "conflict"}},
		{"same resource, both live", []link.Session{ada, other}, []string{"conflict", ""}},
		{"same resource, the later detached", []link.Session{ada, with(other, detached)}, []string{"", "conflict"}},
		{"same resource, the earlier detached", []link.Session{with(ada, detached), other}, []string{"conflict", ""}},
		{"same resource, both detached", []link.Session{with(ada, detached), with(other, detached)}, []string{"conflict", ""}},
		{"Call Bridge twice", []link.Session{cb, cb2}, []string{"conflict", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory("ada")
			m.bridges["cb1"] = true
			inMemory(t, m, func(t *testing.T, w *world) {
				var peers []*peer
				for _, s := range tt.in {
					peers = append(peers, w.attach(s))
				}
				got := []string{}
				for _, p := range peers {
					got = append(got, p.over())
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("ended with (-want +got):\n%s", diff)
				}
			})
		})
	}
	t.Run("ended while its relay was cut off", func(t *testing.T) {
		inMemory(t, newMemory("ada"), func(t *testing.T, w *world) {
			w.r.Settled()
			p := w.attach(ada)
			w.r.Lost(p, nil)
			if err := w.r.EndAccount(t.Context(), "ada"); err != nil {
				t.Fatal(err)
			}
			if got := w.attach(ada).over(); got != "not-authorized" {
				t.Errorf("attached again it ended with %q; want not-authorized", got)
			}
		})
	})
	t.Run("what is opened is newer", func(t *testing.T) {
		inMemory(t, newMemory("ada"), func(t *testing.T, w *world) {
			p := w.connect("ada", "a")
			late := w.attach(newAda())
			if p.over() != "" || late.over() != "conflict" {
				t.Errorf("ended with %q, attached later %q; want conflict", p.over(), late.over())
			}
		})
	})
}

// Nobody hears of an attachment, and what the session had said still holds.
func TestAttachIsSilent(t *testing.T) {
	m := newMemory("ada", "bob", "cleo")
	m.befriend("ada", "bob")
	inMemory(t, m, func(t *testing.T, w *world) {
		bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
		cleo := w.attach(attached("cleo@example.com/c", here("cleo@example.com/c")))
		mm := here("ada@example.com/a")
		mm.presence.Add(stanza.New(stanza.NSClient, "priority").AddText("7"))
		mm.interested = true
		mm.directed = map[jid.JID]struct{}{cleo.jid: {}}
		ada := w.attach(attached("ada@example.com/a", mm))
		low := w.attach(attached("ada@example.com/low", here("ada@example.com/low")))
		w.r.Settled()
		for _, p := range []*peer{ada, low, bob, cleo} {
			if got := p.now(); len(got) > 0 {
				t.Errorf("%s got %v", p.jid, got)
			}
		}
		bob.send("<message to='ada@example.com' id='1'/>")
		if got, lower := ids(ada.now()), low.now(); !slices.Equal(got, []string{"1"}) || len(lower) > 0 {
			t.Errorf("ada got %v, and of lower priority %v", got, lower)
		}
		bob.send("<presence type='probe' to='ada@example.com/a'/>")
		if got := bob.now(); !slices.Equal(got, []string{"<presence from='ada@example.com/a' to='bob@example.com/b'><priority>7</priority></presence>"}) {
			t.Errorf("probe got %v", got)
		}
		ada.close()
		const gone = "<presence type='unavailable' from='ada@example.com/a' to='"
		if got := bob.now(); !slices.Equal(got, []string{gone + "bob@example.com'/>"}) {
			t.Errorf("bob got %v", got)
		}
		if got := cleo.now(); !slices.Equal(got, []string{gone + "cleo@example.com/c'/>"}) {
			t.Errorf("cleo, to whom presence was directed, got %v", got)
		}
	})
}

// What a session is attached with is in its hands, whether the store still has
// it or not; the rest comes from the inbox, behind it.
func TestAttachedItems(t *testing.T) {
	m := newMemory("ada")
	gone := m.put("ada", "gone")
	m.apply(&store.Delivered{Account: "ada", Items: []link.Item{gone}})
	had, queued := m.put("ada", "had"), m.put("ada", "queued")
	m.put("ada", "waits")
	inMemory(t, m, func(t *testing.T, w *world) {
		high := here("ada@example.com/a")
		high.presence.Add(stanza.New(stanza.NSClient, "priority").AddText("1"))
		s := attached("ada@example.com/a", high)
		s.Last = 9
		s.Queue = []link.Delivery{{N: 6, Item: had}, {N: 7, Item: gone, Bytes: []byte("<message/>")}, {N: 8, Bytes: []byte("<iq/>")}, {N: 9, Item: queued, Bytes: []byte("<message/>")}}
		ada := w.attach(s)
		// Its peer has acknowledged this one, and the leader before did not
		// live to know.
		w.r.Delivered(s.Ref, 6)
		later := w.attach(attached("ada@example.com/later", here("ada@example.com/later")))
		w.r.Settled()
		if got, others := ids(ada.now()), later.now(); !slices.Equal(got, []string{"waits"}) || len(others) > 0 {
			t.Errorf("ada got %v, the other resource %v; want waits, nothing", got, others)
		}
		time.Sleep(ackDelay)
		synctest.Wait()
		if got := len(m.inbox["ada"]); got != 2 {
			t.Errorf("%d messages in the inbox; want queued and waits", got)
		}
		ada.send("<message to='ada@example.com/a' id='new'/>")
		if got := ids(ada.now()); !slices.Equal(got, []string{"new"}) {
			t.Errorf("ada got %v; want new", got)
		}
		ada.close()
		// What another holds, or the store has not, goes to nobody.
		if got := ids(later.now()); !slices.Equal(got, []string{"queued", "waits", "new"}) {
			t.Errorf("the other resource got %v; want queued, waits, new", got)
		}
		w.r.Delivered(later.ref, later.last)
		time.Sleep(ackDelay)
		synctest.Wait()
		if got := len(m.inbox["ada"]); got != 0 {
			t.Errorf("%d messages in the inbox; want none", got)
		}
	})
}

// A mirror has announced a session, there was something for it, and then the
// session's own node comes back with more than the mirror knew.
func TestAttachReplaces(t *testing.T) {
	m := newMemory("ada", "bob")
	inMemory(t, m, func(t *testing.T, w *world) {
		first := m.put("ada", "first")
		s := newAda()
		s.Last, s.Queue = 3, []link.Delivery{{N: 2, Bytes: []byte("<iq id='2'/>")}, {N: 3, Bytes: []byte("<iq id='3'/>")}}
		mirror := s
		mirror.Detached = true
		orphan := w.attach(mirror)
		w.r.Settled()
		bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
		bob.send("<message type='headline' to='ada@example.com/a' id='now'/>")
		if got := orphan.now(); len(got) > 0 {
			t.Errorf("mirror got %v; want nothing", got)
		}
		s.Last = 5
		s.Queue = []link.Delivery{{N: 3, Bytes: []byte("<iq id='3'/>")}, {N: 4, Item: first, Bytes: []byte("<message id='first'/>")}, {N: 5, Bytes: []byte("<iq id='5'/>")}}
		ada := w.attach(s)
		if got := ids(ada.now()); !slices.Equal(got, []string{"now"}) {
			t.Errorf("node got %v; want now", got)
		}
		if got := orphan.over(); got != "conflict" {
			t.Errorf("mirror was told %q", got)
		}
		w.r.Delivered(s.Ref, 4)
		time.Sleep(ackDelay)
		synctest.Wait()
		if n := len(m.inbox["ada"]); n != 0 {
			t.Errorf("%d messages wait; want none", n)
		}
	})
}
