package router

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/store"
)

// A number that was applied is confirmed and has no further effect; a gap ends
// the session.
func TestNumbers(t *testing.T) {
	m := newMemory("ada", "bob")
	inMemory(t, m, func(t *testing.T, w *world) {
		bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
		s := newAda()
		s.Confirmed = 4
		// The leader before has put it, and said so to nobody.
		m.apply(&store.MessagePut{Session: s.Ref.ID, Seq: 6, Account: "bob", Stamp: time.Now(), Stanza: []byte("<message xmlns='jabber:client' id='6'/>")})
		m.applies = 0
		ada := w.attach(s)
		send := func(seq uint64, xml string) { w.r.Send(s.Ref, seq, parse(t, xml)) }
		send(5, "<presence/>")
		send(6, "<message to='bob@example.com' id='6'/>")
		send(7, "<message to='bob@example.com' id='7'/>")
		w.r.Settled()
		if got := ids(bob.now()); !slices.Equal(got, []string{"6", "7"}) || ada.confirmed != 7 {
			t.Errorf("bob got %v, confirmed %d; want 6, 7", got, ada.confirmed)
		}
		before := m.applies
		ada.confirmed = 0
		send(6, "<message to='nobody@example.com' id='6'/>")
		send(7, "<message to='bob@example.com' id='7'/>")
		if got, mine := bob.now(), ids(ada.now()); len(got) > 0 || len(mine) > 0 || m.applies != before || ada.confirmed != 7 {
			t.Errorf("sent again: bob got %v, ada %v, %d applies, confirmed %d", got, mine, m.applies-before, ada.confirmed)
		}
		send(9, "<message to='bob@example.com' id='9'/>")
		if got := ada.over(); got != "internal-server-error" || len(bob.now()) > 0 {
			t.Errorf("after a gap the session ended with %q", got)
		}
	})
}

// The store forgets numbers when nobody will use them.
func TestNumbersAreForgotten(t *testing.T) {
	m := newMemory("ada")
	inMemory(t, m, func(t *testing.T, w *world) {
		known := func(ids ...link.SessionID) (n int) {
			synctest.Wait()
			ms, _ := m.Sessions()
			for _, v := range ms {
				if slices.Contains(ids, v.ID) {
					n++
				}
			}
			return n
		}
		old, fresh, live := newRef().ID, newRef().ID, newAda()
		for id, age := range map[link.SessionID]time.Duration{old: numbersKept + time.Second, fresh: time.Minute, live.Ref.ID: time.Hour} {
			m.marks[id] = store.SessionMark{ID: id, Seq: 1, Stamp: time.Now().Add(-age)}
		}
		live.Confirmed = 1
		ada := w.attach(live)
		w.r.Settled()
		time.Sleep(endDelay)
		if known(old) != 0 || known(fresh, live.Ref.ID) != 2 {
			t.Errorf("after a second %d old, %d others are known; want 0, 2", known(old), known(fresh, live.Ref.ID))
		}
		time.Sleep(2 * sweepAllEvery)
		if known(fresh) != 0 || known(live.Ref.ID) != 1 {
			t.Errorf("after some sweeps %d unknown, %d live are known; want 0, 1", known(fresh), known(live.Ref.ID))
		}
		ada.close()
		time.Sleep(numbersEnded - time.Second)
		if known(live.Ref.ID) != 1 {
			t.Error("the number of a session that has ended is forgotten at once")
		}
		time.Sleep(sweepEvery + 2*endDelay)
		if known(live.Ref.ID) != 0 {
			t.Error("the number of a session that has ended is never forgotten")
		}
	})
}
