package router

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

// holdWorld has ada, and a component that has got the messages 1 and 2 and has
// confirmed the first.
func holdWorld(t *testing.T, f func(t *testing.T, w *world, ada, cb *peer)) {
	t.Helper()
	m := newMemory("ada")
	m.bridges["cb1"] = true
	inMemory(t, m, func(t *testing.T, w *world) {
		w.r.Settled()
		ada, cb := w.connect("ada", "a"), w.component("cb1")
		ada.ask("1", "2")
		synctest.Wait()
		w.r.Delivered(cb.ref, 1)
		if got := idsOf(cb.now()); !slices.Equal(got, []string{"1", "2"}) {
			t.Fatalf("cb1 got %q", got)
		}
		f(t, w, ada, cb)
	})
}

// idsOf are the ids of stanzas.
func idsOf(lines []string) (ids []string) {
	for _, l := range lines {
		_, after, _ := strings.Cut(l, " id='")
		id, _, _ := strings.Cut(after, "'")
		ids = append(ids, id)
	}
	return ids
}

// ask sends requests to the component.
func (p *peer) ask(ids ...string) {
	for _, id := range ids {
		p.send("<iq type='get' id='" + id + "' to='cb1.example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
	}
}

// refusals are the ids of what was answered with recipient-unavailable; all
// else is a fault.
func (p *peer) refusals() (refused []string) {
	p.w.t.Helper()
	for _, s := range p.now() {
		if !strings.Contains(s, "type='error'") || !strings.Contains(s, "<recipient-unavailable") {
			p.w.t.Errorf("%s got %s; want nothing but refusals", p.jid, s)
		}
		refused = append(refused, idsOf([]string{s})...)
	}
	return refused
}

func TestHeldForAComponent(t *testing.T) {
	for _, tt := range []struct {
		name string
		away func(w *world, cb *peer)
	}{
		{"connection lost", func(w *world, cb *peer) { w.r.Detach(cb.ref) }},
		{"node lost", func(w *world, cb *peer) { w.r.Lost(cb, nil) }},
		{"not noticed", func(*world, *peer) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			holdWorld(t, func(t *testing.T, w *world, ada, cb *peer) {
				tt.away(w, cb)
				ada.ask("3", "4")
				time.Sleep(link.HoldTime - time.Second)
				back := w.component("cb1")
				ada.ask("5")
				if got := idsOf(back.now()); !slices.Equal(got, []string{"2", "3", "4", "5"}) {
					t.Errorf("the new connection got %q; want all that the old one has not confirmed, in order", got)
				}
				time.Sleep(link.HoldTime)
				if got := ada.refusals(); len(got) > 0 {
					t.Errorf("%q were refused", got)
				}
			})
		})
	}
}

func TestHeldInVain(t *testing.T) {
	for _, tt := range []struct {
		name string
		away func(w *world, cb *peer)
		// after is when the senders are told.
		after time.Duration
	}{
		{"it does not come back", func(w *world, cb *peer) { w.r.Detach(cb.ref) }, link.HoldTime},
		{"nor does its node", func(w *world, cb *peer) { w.r.Lost(cb, nil) }, link.HoldTime},
		{"it closes its stream", func(w *world, cb *peer) { w.r.Close(cb.ref) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			holdWorld(t, func(t *testing.T, w *world, ada, cb *peer) {
				tt.away(w, cb)
				if tt.after > 0 {
					ada.send("<presence to='cb1.example.com'/>")
				}
				ada.send("<message to='x@cb1.example.com' id='3'><body/></message>")
				ada.send("<message to='cb1.example.com' id='4' type='error'><body/></message>")
				ada.send("<iq to='cb1.example.com' id='5' type='result'/>")
				if tt.after > 0 {
					time.Sleep(tt.after - time.Second)
					if got := ada.refusals(); len(got) > 0 {
						t.Errorf("%q were refused before their time", got)
					}
					time.Sleep(2 * time.Second)
				}
				if got := ada.refusals(); !slices.Equal(got, []string{"2", "3"}) {
					t.Errorf("%q were refused; want 2 and 3", got)
				}
				ada.ask("6")
				if got := ada.refusals(); !slices.Equal(got, []string{"6"}) {
					t.Errorf("%q were refused; want 6 at once", got)
				}
			})
		})
	}
}

// TestHoldIsBounded: what is more is refused at once, and what is held stays.
func TestHoldIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
		held int
	}{
		{"by number", 0, maxHeld - 1},
		{"by size", 100 << 10, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			holdWorld(t, func(t *testing.T, w *world, ada, cb *peer) {
				w.r.Detach(cb.ref)
				body := strings.Repeat("x", tt.size)
				var sent []string
				for i := range tt.held + 5 {
					id := fmt.Sprintf("m%d", i)
					sent = append(sent, id)
					ada.send("<message to='cb1.example.com' id='" + id + "'><body>" + body + "</body></message>")
					if i%100 == 0 {
						synctest.Wait()
					}
				}
				if got := ada.refusals(); !slices.Equal(got, sent[tt.held:]) {
					t.Errorf("%q were refused; want the last five", got)
				}
				// Presence is dropped and nobody told.
				ada.send("<presence to='cb1.example.com'><status>" + body + "</status></presence>")
				if got := idsOf(w.component("cb1").now()); !slices.Equal(got, append([]string{"2"}, sent[:tt.held]...)) {
					t.Errorf("the new connection got %d: %q", len(got), got)
				}
			})
		})
	}
}

// TestHoldOutlivesTheLeader: the new leader is told of the component by a relay
// that was left with it, before or after it comes back.
func TestHoldOutlivesTheLeader(t *testing.T) {
	waiting := func() link.Session {
		s := attached("cb1.example.com", memo{})
		s.Last, s.Detached = 4, true
		// The first is delivered, and its bytes are let go.
		s.Queue = []link.Delivery{{N: 1}}
		for n := uint64(2); n <= 4; n++ {
			s.Queue = append(s.Queue, link.Delivery{N: n, Bytes: stanza.New(stanza.NSClient, "iq", "type", "get", "id", fmt.Sprint(n),
				"from", "ada@example.com/a", "to", "cb1.example.com").Add(stanza.New(stanza.NSPing, "ping")).Append(nil, stanza.NSClient)})
		}
		return s
	}
	for _, tt := range []struct {
		name string
		run  func(w *world, ada *peer) (back *peer)
		want []string
	}{
		{"attached, then it comes", func(w *world, ada *peer) *peer {
			old := w.attach(waiting())
			ada.ask("5")
			w.r.Settled()
			if got := idsOf(old.now()); !slices.Equal(got, []string{"5"}) {
				w.t.Errorf("the relay got %q to keep; want 5", got)
			}
			time.Sleep(time.Second)
			return w.component("cb1")
		}, []string{"2", "3", "4", "5"}},
		{"it comes, then attached", func(w *world, ada *peer) *peer {
			back := w.component("cb1")
			ada.ask("5")
			old := w.attach(waiting())
			w.r.Settled()
			if got := old.over(); got != "conflict" {
				w.t.Errorf("the relay was told %q; want conflict", got)
			}
			return back
		}, []string{"2", "3", "4", "5"}},
		{"attached, and its new connection too", func(w *world, ada *peer) *peer {
			w.attach(waiting())
			back := w.attach(attached("cb1.example.com", memo{}))
			ada.ask("5")
			w.r.Settled()
			return back
		}, []string{"2", "3", "4", "5"}},
		{"attached after its new connection", func(w *world, ada *peer) *peer {
			back := w.attach(attached("cb1.example.com", memo{}))
			w.attach(waiting())
			ada.ask("5")
			w.r.Settled()
			return back
		}, []string{"2", "3", "4", "5"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory("ada")
			m.bridges["cb1"] = true
			inMemory(t, m, func(t *testing.T, w *world) {
				ada := w.attach(attached("ada@example.com/a", memo{}))
				back := tt.run(w, ada)
				if got := idsOf(back.now()); !slices.Equal(got, tt.want) {
					t.Errorf("the new connection got %q; want %q", got, tt.want)
				}
				time.Sleep(2 * link.HoldTime)
				if got := ada.refusals(); len(got) > 0 {
					t.Errorf("%q were refused", got)
				}
			})
		})
	}
	t.Run("it never comes", func(t *testing.T) {
		m := newMemory("ada")
		m.bridges["cb1"] = true
		inMemory(t, m, func(t *testing.T, w *world) {
			ada := w.attach(attached("ada@example.com/a", memo{}))
			w.attach(waiting())
			w.r.Settled()
			ada.ask("5")
			time.Sleep(link.HoldTime + time.Second)
			if got := ada.refusals(); !slices.Equal(got, []string{"2", "3", "4", "5"}) {
				t.Errorf("%q were refused; want all", got)
			}
		})
	})
}

// TestHeldForWhoIsDeleted is told to the senders.
func TestHeldForWhoIsDeleted(t *testing.T) {
	w := newWorld(t, "ada")
	ada, cb := w.online("ada", "a", 0), w.component("cb1")
	w.r.Detach(cb.ref)
	ada.send("<message to='cb1.example.com' id='1'><body/></message>")
	ada.expect()
	if err := w.r.DeleteCallBridge(t.Context(), "cb1"); err != nil {
		t.Fatal(err)
	}
	ada.expect("<message type='error' id='1' from='cb1.example.com' to='ada@example.com/a'><error type='cancel'><remote-server-not-found…")
}
