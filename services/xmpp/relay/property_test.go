package relay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/xmpp/link"
)

// TestAnyChanges has clients write to each other while leaders die, freeze,
// come back and change, connections break, and clients come and go. The chief
// checks the numbers, the clients that nothing is lost, doubled or out of order.
func TestAnyChanges(t *testing.T) { eachSeed(t, 30, 7, anyChanges) }

// eachSeed runs f for so many histories, for some of them in a short test.
func eachSeed(t *testing.T, seeds int, key uint64, f func(*testing.T, *rand.Rand)) {
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, rand.New(rand.NewPCG(uint64(seed), key))) })
		})
	}
}

func anyChanges(t *testing.T, rnd *rand.Rand) {
	w := newWorld(t, 3)
	w.latency = time.Duration(rnd.IntN(3)) * 200 * time.Microsecond
	pick := func() string { return string(rune('a' + rnd.IntN(3))) }
	leads := pick()
	w.elect(leads)
	var cs []*client
	for i := range 6 {
		cs = append(cs, w.client(fmt.Sprintf("user%d", i), pick()))
	}
	resume := func(c *client) {
		c.mu.Lock()
		ended, away := c.ended, c.node == nil
		c.mu.Unlock()
		if !away {
			return
		}
		if ended != "" {
			t.Fatalf("%s was ended: %s", c.account, ended)
		}
		if err := c.resume(pick()); err != nil {
			t.Fatalf("%s resumes: %v", c.account, err)
		}
	}
	quiet := func() {
		w.attached("a", "b", "c")
		w.synced(leads)
		time.Sleep(5 * time.Millisecond)
	}
	for range 40 {
		switch rnd.IntN(12) {
		case 0: // The leader dies, and its node starts again.
			quiet()
			chat(1, cs...)
			dead := leads
			time.Sleep(time.Duration(rnd.IntN(16)) * time.Millisecond / 8)
			w.node(dead).kill()
			chat(1, cs...)
			for leads == dead {
				leads = pick()
			}
			w.elect(leads)
			if rnd.IntN(2) == 0 {
				w.node(dead).start()
				w.tell(leads)
				for _, c := range cs {
					resume(c)
				}
			} else {
				for _, c := range cs {
					for c.node == nil {
						if at := pick(); at != dead {
							if err := c.resume(at); err != nil {
								t.Fatalf("%s resumes: %v", c.account, err)
							}
						}
					}
				}
				w.node(dead).start()
				w.tell(leads)
			}
		case 1: // The leader freezes, and comes back.
			quiet()
			frozen := leads
			w.node(frozen).gate.shut()
			chat(1, cs...)
			time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
			for leads == frozen {
				leads = pick()
			}
			w.elect(leads)
			time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
			w.node(frozen).gate.thaw()
			time.Sleep(time.Duration(rnd.IntN(5)) * time.Millisecond)
			w.tell(leads)
		case 2: // Another leads.
			leads = pick()
			w.elect(leads)
		case 3: // A follower dies.
			quiet()
			dead := w.node(pick())
			if dead.name == leads {
				break
			}
			dead.kill()
			chat(1, cs...)
			if rnd.IntN(2) == 0 {
				time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
			}
			dead.start()
			w.tell(leads)
			for _, c := range cs {
				resume(c)
			}
		case 4:
			w.node(pick()).cutLinks()
		case 5:
			w.attached("a", "b", "c")
			c := cs[rnd.IntN(len(cs))]
			c.drop()
			c.send(cs[rnd.IntN(len(cs))].account)
			time.Sleep(time.Duration(rnd.IntN(100)) * time.Millisecond / 10)
			resume(c)
		case 6: // Nobody leads for a while.
			w.elect("")
			chat(1, cs...)
			time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
			leads = pick()
			w.elect(leads)
		case 7:
			time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
		case 8: // A follower freezes.
			n := w.node(pick())
			if n.name == leads {
				break
			}
			n.gate.shut()
			chat(1, cs...)
			time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
			n.gate.thaw()
		default:
			cs[rnd.IntN(len(cs))].send(cs[rnd.IntN(len(cs))].account)
		}
	}
	if w.leader() == nil {
		w.elect(leads)
	}
	for _, c := range cs {
		resume(c)
	}
	w.done(cs...)
}

// TestComingWhileLeadersChange has clients come, and come again elsewhere,
// while leaders change and connections break.
func TestComingWhileLeadersChange(t *testing.T) { eachSeed(t, 20, 8, comings) }

func comings(t *testing.T, rnd *rand.Rand) {
	w := newWorld(t, 3)
	w.latency = time.Duration(rnd.IntN(3)) * 200 * time.Microsecond
	names := []string{"a", "b", "c"}
	w.elect("a")
	ada := w.client("ada", "b")
	var cs []*client
	for i := range 8 {
		cs = append(cs, w.stranger(fmt.Sprintf("late%d", i)))
	}
	var work sync.WaitGroup
	for _, c := range cs {
		rnd := rand.New(rand.NewPCG(rnd.Uint64(), 9))
		work.Go(func() {
			time.Sleep(time.Duration(rnd.IntN(50)) * time.Millisecond)
			c.open(names[rnd.IntN(3)])
			// A client that is elsewhere before the leader knows that it may
			// is not resumed.
			w.wait("session of "+c.account, func() bool { return w.enabled(c.ref) })
			for range 3 {
				time.Sleep(time.Duration(rnd.IntN(50)) * time.Millisecond)
				c.drop()
				if err := c.resume(names[rnd.IntN(3)]); err != nil {
					t.Errorf("%s resumes: %v", c.account, err)
					return
				}
			}
		})
	}
	for range 40 {
		ada.send(cs[rnd.IntN(len(cs))].account)
		switch rnd.IntN(4) {
		case 0:
			w.elect(names[rnd.IntN(3)])
		case 1:
			w.node(names[rnd.IntN(3)]).cutLinks()
		}
		time.Sleep(time.Duration(rnd.IntN(2000)) * time.Microsecond)
	}
	work.Wait()
	w.done(append(cs, ada)...)
}

// enabled says whether the leader knows that a session may be resumed.
func (w *world) enabled(ref link.Ref) (ok bool) {
	w.mu.Lock()
	chief := w.chief
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	chief.do(ctx, func() {
		s := chief.sessions[ref.ID]
		ok = s != nil && s.Enabled
	})
	return ok
}
