package router

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/link"
)

func TestDetach(t *testing.T) {
	m := newMemory("ada", "bob")
	m.befriend("ada", "bob")
	const gone = "<presence type='unavailable' from='ada@example.com/a' to='bob@example.com'/>"
	t.Run("not resumable", func(t *testing.T) {
		inMemory(t, m, func(t *testing.T, w *world) {
			w.r.Settled()
			bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
			ada := w.attach(attached("ada@example.com/a", here("ada@example.com/a")))
			w.r.Detach(ada.ref)
			if got := bob.now(); !slices.Equal(got, []string{gone}) {
				t.Errorf("bob got %v", got)
			}
		})
	})
	t.Run("resumable", func(t *testing.T) {
		inMemory(t, m, func(t *testing.T, w *world) {
			w.r.Settled()
			bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
			s := newAda()
			ada := w.attach(s)
			w.r.Detach(ada.ref)
			for i := range windowItems + 2 {
				bob.send(fmt.Sprintf("<message to='ada@example.com' id='%d'/>", i))
			}
			bob.send("<iq type='get' id='q' to='ada@example.com/a'><query xmlns='x'/></iq>")
			time.Sleep(time.Minute - time.Second)
			if got := bob.now(); len(got) > 0 || bob.confirmed != bob.seq {
				t.Errorf("bob got %v, confirmed %d of %d", got, bob.confirmed, bob.seq)
			}
			c, err := w.r.Connected(t.Context())
			if diff := cmp.Diff(Connected{Sessions: 1, Detached: 1, Resources: map[string][]string{"bob": {"b"}}}, c); diff != "" || err != nil {
				t.Errorf("Connected: %v\n%s", err, diff)
			}
			p := &peer{w: w, ref: link.Ref{ID: s.Ref.ID, Epoch: 1}, last: windowItems + 1}
			again, err := w.r.Resume(t.Context(), link.Resume{ID: s.Ref.ID, Account: s.JID.Bare()}, p)
			if err != nil || len(again.Queue) != windowItems+1 {
				t.Fatalf("Resume = %d deliveries, %v; want %d", len(again.Queue), err, windowItems+1)
			}
			// It does not end any more when its time would have been over.
			time.Sleep(2 * time.Second)
			w.r.Delivered(p.ref, windowItems+1)
			time.Sleep(ackDelay)
			if got := ids(p.now()); !slices.Equal(got, []string{fmt.Sprint(windowItems), fmt.Sprint(windowItems + 1)}) {
				t.Errorf("after it has resumed it got %v", got)
			}
			w.r.Detach(p.ref)
			time.Sleep(time.Minute)
			if got := bob.now(); !slices.Equal(got, []string{gone}) {
				t.Errorf("bob got %v", got)
			}
			if got := p.over(); got != "connection-timeout" {
				t.Errorf("the relay was told %q", got)
			}
			if n := len(m.inbox["ada"]); n != 2 {
				t.Errorf("%d messages wait; want 2", n)
			}
			m.inbox["ada"] = nil
		})
	})
	t.Run("replaced by a new session", func(t *testing.T) {
		inMemory(t, m, func(t *testing.T, w *world) {
			w.r.Settled()
			s := newAda()
			s.Detached = true
			old := w.attach(s)
			w.connect("ada", "a")
			if got := old.over(); got != "conflict" {
				t.Errorf("the relay was told %q; want conflict", got)
			}
		})
	})
}

func TestLost(t *testing.T) {
	m := newMemory("ada", "bob")
	m.befriend("ada", "bob")
	const gone = "<presence type='unavailable' from='ada@example.com/a' to='bob@example.com'/>"
	inMemory(t, m, func(t *testing.T, w *world) {
		w.r.Settled()
		bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
		s := attached("ada@example.com/a", here("ada@example.com/a"))
		ada := w.attach(s)
		synctest.Wait()
		lease := ada.memo
		w.r.Lost(ada, nil)
		bob.send("<iq type='get' id='q' to='ada@example.com/a'><query xmlns='x'/></iq>")
		bob.send("<message to='ada@example.com' id='1'/>")
		time.Sleep(lostGrace - time.Second)
		if got := ada.now(); len(got) > 0 {
			t.Errorf("an edge that is lost got %v", got)
		}
		// Its relay comes back: it gets what it has missed, under the numbers
		// that it goes on with.
		s.Memo = lease
		back := w.attach(s)
		if got := back.now(); len(got) != 2 || !strings.HasPrefix(got[0], "<iq") || ids(got)[0] != "1" || back.over() != "" {
			t.Errorf("after it was attached again it got %v, ended with %q", got, back.ended)
		}
		time.Sleep(2 * time.Second)
		if got := bob.now(); len(got) > 0 {
			t.Errorf("bob got %v", got)
		}
		// It stays away for longer than the grace, and comes back yet.
		w.r.Lost(back, nil)
		time.Sleep(lostGrace)
		if got := bob.now(); !slices.Equal(got, []string{gone}) {
			t.Errorf("bob got %v", got)
		}
		w.attach(s)
		if got := bob.now(); !slices.Equal(got, []string{"<presence from='ada@example.com/a' to='bob@example.com'/>"}) {
			t.Errorf("bob got %v", got)
		}
	})
}

// A lost node's sessions are left to the leader's own, which is told what comes
// for them until their relay, or their client, is back.
func TestKept(t *testing.T) {
	m := newMemory("ada", "bob")
	m.befriend("ada", "bob")
	for _, tc := range []struct {
		name string
		// back ends the keeping, and returns who is told from then on.
		back func(t *testing.T, w *world, s link.Session, lease []byte) *peer
		// ended is what the keeper is told, and bob how many presences.
		ended string
		bob   int
	}{
		{"its relay is back", func(t *testing.T, w *world, s link.Session, lease []byte) *peer {
			s.Memo = lease
			return w.attach(s)
		}, "conflict", 0},
		{"its client resumes elsewhere", func(t *testing.T, w *world, s link.Session, _ []byte) *peer {
			p := &peer{w: w, jid: s.JID, ref: link.Ref{ID: s.Ref.ID, Epoch: s.Ref.Epoch + 1}}
			got, err := w.r.Resume(t.Context(), link.Resume{ID: s.Ref.ID, Account: s.JID, H: 0}, p)
			if err != nil || len(got.Queue) != 1 {
				t.Fatalf("Resume = %+v, %v; want a queue of one", got, err)
			}
			p.last = got.Last
			return p
		}, "conflict", 0},
		{"nobody is back", func(*testing.T, *world, link.Session, []byte) *peer {
			time.Sleep(time.Minute)
			return nil
		}, "connection-timeout", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inMemory(t, m, func(t *testing.T, w *world) {
				w.r.Settled()
				bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
				s := attached("ada@example.com/a", here("ada@example.com/a"))
				s.Enabled, s.Enable = true, link.Enable{Keep: 30 * time.Second}
				ada, to := w.attach(s), &keeper{peer: &peer{w: w, jid: s.JID}}
				synctest.Wait()
				w.r.Lost(ada, to)
				bob.send("<iq type='get' id='q' to='ada@example.com/a'><query xmlns='x'/></iq>")
				synctest.Wait()
				if len(to.kept) != 1 || to.kept[0].Ref != s.Ref || !to.kept[0].Detached || !slices.Equal(to.kept[0].Memo, ada.memo) {
					t.Fatalf("kept: %+v; want the session, detached, with its memo", to.kept)
				}
				if got := to.now(); len(got) != 1 || !strings.HasPrefix(got[0], "<iq") {
					t.Errorf("the keeper was told %v; want the iq", got)
				}
				back := tc.back(t, w, s, ada.memo)
				if got := to.over(); got != tc.ended {
					t.Errorf("the keeper's ended with %q; want %q", got, tc.ended)
				}
				if got := bob.now(); len(got) != tc.bob {
					t.Errorf("bob got %v; want %d", got, tc.bob)
				}
				if back == nil {
					return
				}
				back.now()
				bob.send("<iq type='get' id='r' to='ada@example.com/a'><query xmlns='x'/></iq>")
				if got, left := back.now(), to.now(); len(got) != 1 || len(left) != 0 {
					t.Errorf("afterwards it was told %v, and the keeper %v; want the iq, and nothing", got, left)
				}
			})
		})
	}
}

// keeper notes what it is left.
type keeper struct {
	*peer
	kept []link.Session
}

func (k *keeper) Keep(s link.Session) { k.ref, k.kept = s.Ref, append(k.kept, s) }

// The client of an orphan may have more than the mirror that announced it: no
// number is given before it is known how much.
func TestOrphan(t *testing.T) {
	message := func(id string) []byte { return []byte("<message id='" + id + "'/>") }
	orphaned := func(t *testing.T, settled bool, f func(w *world, m *memory, s link.Session, bob *peer)) {
		m := newMemory("ada", "bob")
		inMemory(t, m, func(t *testing.T, w *world) {
			one, two := m.put("ada", "1"), m.put("ada", "2")
			m.put("ada", "3")
			s := newAda()
			s.Detached, s.Last = true, 2
			s.Queue = []link.Delivery{{N: 1, Item: one, Bytes: message("1")}, {N: 2, Item: two, Bytes: message("2")}}
			orphan := w.attach(s)
			bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
			if settled {
				w.r.Settled()
				bob.send("<message type='headline' to='ada@example.com/a' id='h1'/>")
				bob.send("<message to='ada@example.com' id='4'/>")
				bob.send("<message type='headline' to='ada@example.com' id='h2'/>")
			}
			if got := orphan.now(); len(got) > 0 || orphan.over() != "" {
				t.Errorf("the mirror got %v, ended %q; want nothing", got, orphan.ended)
			}
			f(w, m, s, bob)
		})
	}
	resume := func(w *world, s link.Session, h uint32, last uint64) (link.Session, *peer, error) {
		p := &peer{w: w, ref: link.Ref{ID: s.Ref.ID, Epoch: 1}, jid: s.JID, last: last}
		got, err := w.r.Resume(w.t.Context(), link.Resume{ID: s.Ref.ID, Account: s.JID.Bare(), H: h}, p)
		return got, p, err
	}
	acked := func() {
		time.Sleep(ackDelay)
		synctest.Wait()
	}
	for h, want := range [][]string{{"1", "2", "h1", "h2"}, {"2", "h1", "h2"}, {"h1", "h2"}} {
		t.Run(fmt.Sprint("resumed with ", h), func(t *testing.T) {
			orphaned(t, true, func(w *world, m *memory, s link.Session, bob *peer) {
				got, p, err := resume(w, s, uint32(h), 4)
				if err != nil {
					t.Fatal(err)
				}
				var queue []string
				for i, d := range got.Queue {
					queue = append(queue, ids([]string{string(d.Bytes)})...)
					if d.N != uint64(h+i+1) {
						t.Errorf("delivery %d at %d", d.N, i)
					}
				}
				if !slices.Equal(queue, want) || got.Last != 4 {
					t.Errorf("resumed with %v up to %d; want %v up to 4", queue, got.Last, want)
				}
				// What waits in the inbox comes, what was covered does not.
				if got := ids(p.now()); !slices.Equal(got, []string{"3", "4"}) {
					t.Errorf("then got %v; want 3, 4", got)
				}
				bob.send("<message type='headline' to='ada@example.com' id='h3'/>")
				if got := ids(p.now()); !slices.Equal(got, []string{"h3"}) {
					t.Errorf("at last got %v; want h3", got)
				}
				acked()
				if n := len(m.inbox["ada"]); n != 4-h {
					t.Errorf("%d messages wait; want %d", n, 4-h)
				}
			})
		})
	}
	t.Run("its client has more", func(t *testing.T) {
		orphaned(t, true, func(w *world, m *memory, s link.Session, bob *peer) {
			if _, _, err := resume(w, s, 3, 0); err != link.ErrCount {
				t.Fatalf("Resume = %v; want %v", err, link.ErrCount)
			}
			ada := w.connect("ada", "a")
			ada.send("<presence/>")
			// 1 and 2 it has said to have; of 3 nothing is known.
			if got := ids(ada.now()); !slices.Equal(got, []string{"3", "4"}) {
				t.Errorf("bound anew it got %v; want 3, 4", got)
			}
			acked()
			if n := len(m.inbox["ada"]); n != 2 {
				t.Errorf("%d messages wait; want 2", n)
			}
		})
	})
	t.Run("its client has less than it said", func(t *testing.T) {
		orphaned(t, true, func(w *world, m *memory, s link.Session, bob *peer) {
			if _, _, err := resume(w, s, math.MaxUint32, 0); err != link.ErrCount {
				t.Fatalf("Resume = %v; want %v", err, link.ErrCount)
			}
			acked()
			if n := len(m.inbox["ada"]); n != 4 {
				t.Errorf("%d messages wait; want 4", n)
			}
		})
	})
	t.Run("its client has more, and its own node may yet say so", func(t *testing.T) {
		orphaned(t, false, func(w *world, m *memory, s link.Session, bob *peer) {
			answer := make(chan error, 1)
			go func() {
				_, _, err := resume(w, s, 3, 3)
				answer <- err
			}()
			synctest.Wait()
			if len(answer) > 0 {
				t.Fatalf("Resume = %v at once", <-answer)
			}
			s.Detached, s.Last = false, 3
			s.Queue = append(slices.Clone(s.Queue), link.Delivery{N: 3, Item: 3, Bytes: message("3")})
			w.attach(s)
			if err := <-answer; err != nil {
				t.Errorf("Resume = %v", err)
			}
			w.r.Settled()
			acked()
			if n := len(m.inbox["ada"]); n != 0 {
				t.Errorf("%d messages wait; want none", n)
			}
		})
	})
	t.Run("it closes", func(t *testing.T) {
		orphaned(t, true, func(w *world, m *memory, s link.Session, bob *peer) {
			later := w.attach(attached("ada@example.com/later", memo{}))
			later.send("<presence><priority>-1</priority></presence>")
			later.now()
			later.send("<presence/>")
			if got := ids(later.now()); !slices.Equal(got, []string{"3", "4"}) {
				t.Errorf("another resource got %v; want 3, 4", got)
			}
			time.Sleep(time.Minute)
			if got := ids(later.now()); !slices.Equal(got, []string{"1", "2"}) {
				t.Errorf("another resource got %v; want 1, 2", got)
			}
		})
	})
	t.Run("too much waits", func(t *testing.T) {
		orphaned(t, true, func(w *world, m *memory, s link.Session, bob *peer) {
			for range maxLate - 1 {
				bob.send("<message type='headline' to='ada@example.com' id='x'/>")
			}
			got, _, err := resume(w, s, 2, maxLate+2)
			if err != nil || len(got.Queue) != maxLate {
				t.Fatalf("Resume = %d deliveries, %v; want %d", len(got.Queue), err, maxLate)
			}
			// The oldest has gone.
			if first := ids([]string{string(got.Queue[0].Bytes)}); first[0] != "h2" {
				t.Errorf("the first is %v; want h2", first)
			}
		})
	})
}
