package relay

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/xmpp/link"
)

// chat has everybody write to everybody.
func chat(rounds int, cs ...*client) {
	for range rounds {
		for _, from := range cs {
			for _, to := range cs {
				from.send(to.account)
			}
		}
	}
}

func TestLeaderDies(t *testing.T) {
	for _, tt := range []struct {
		name   string
		leader string
		// back: the old leader's node is there again.
		back bool
	}{
		{"the mirror leads", "b", false},
		{"another leads", "c", false},
		{"another leads, and it starts again", "c", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, ada, bob, eve := trio(t)
				w.synced("a")
				chat(5, ada, bob, eve)
				time.Sleep(time.Millisecond)
				chat(5, ada, bob, eve)
				w.node("a").kill()
				chat(5, ada, bob, eve)
				w.wait("loss of the leader", func() bool {
					b := w.node("b")
					b.mu.Lock()
					defer b.mu.Unlock()
					return len(b.lost) > 0
				})
				w.elect(tt.leader)
				if tt.back {
					w.node("a").start()
					w.tell(tt.leader)
				}
				if err := ada.resume("c"); err != nil {
					t.Fatalf("ada resumes: %v", err)
				}
				chat(5, ada, bob, eve)
				w.done(ada, bob, eve)
				if got := w.node("b").lost; !slices.Equal(got, []bool{true}) {
					t.Errorf("LeaderLost at b = %v; want once, refused", got)
				}
			})
		})
	}
}

func TestFrozenLeaderReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ada, bob, eve := trio(t)
		w.synced("a")
		chat(5, ada, bob, eve)
		w.done(ada, bob, eve)
		w.node("a").gate.shut()
		chat(5, ada, bob, eve)
		time.Sleep(time.Second)
		w.elect("c")
		chat(5, bob, eve)
		w.attached("b", "c")
		<-w.node("c").chief.settle
		time.Sleep(time.Second)
		w.node("a").gate.thaw()
		w.tell("c")
		chat(5, ada, bob, eve)
		w.done(ada, bob, eve)
		if ada.ended != "" {
			t.Errorf("ada's stream ended: %s", ada.ended)
		}
		b := w.node("b").relay
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.sessions) != 1 {
			t.Errorf("b has %d sessions; want its own only", len(b.sessions))
		}
	})
}

func TestFollowerDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ada, bob, eve := trio(t)
		chat(5, ada, bob, eve)
		w.node("b").kill()
		chat(5, ada, bob, eve)
		w.wait("loss of b", func() bool { return w.node("a").chief.losses() == 1 })
		if err := bob.resume("a"); err != nil {
			t.Fatalf("bob resumes: %v", err)
		}
		w.done(ada, bob, eve)
		w.synced("a")
		// c is the mirror now.
		w.node("a").kill()
		w.elect("c")
		for _, c := range []*client{ada, bob} {
			if err := c.resume("c"); err != nil {
				t.Fatalf("%s resumes: %v", c.account, err)
			}
		}
		chat(5, ada, bob, eve)
		w.done(ada, bob, eve)
	})
}

// The sessions of a node that died outlive the leader too that knew of them.
func TestKept(t *testing.T) {
	for _, tc := range []struct {
		name string
		then func(w *world)
		// at is where the client comes back.
		at string
	}{
		{"leader gives way", func(w *world) { w.elect("c") }, "c"},
		{"leader gives way twice", func(w *world) { w.elect("c"); w.attached("a"); w.elect("a") }, "c"},
		{"leader dies", func(w *world) { w.synced("a"); w.node("a").kill(); w.elect("c") }, "c"},
		{"leader is started again", func(w *world) { w.elect("c"); w.attached("a"); w.node("a").kill(); w.node("a").start(); w.tell("c") }, "a"},
		{"its node is started again", func(w *world) { w.node("b").start(); w.tell("a"); w.attached("b"); w.elect("b") }, "b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, ada, bob, eve := trio(t)
				chat(5, ada, bob, eve)
				w.node("b").kill()
				w.wait("loss of b", func() bool { return w.node("a").chief.losses() == 1 })
				for range 5 {
					eve.send("bob")
				}
				tc.then(w)
				if err := bob.resume(tc.at); err != nil {
					t.Fatalf("bob resumes: %v", err)
				}
				if ada.node == nil {
					if err := ada.resume("c"); err != nil {
						t.Fatalf("ada resumes: %v", err)
					}
				}
				chat(5, bob, eve)
				w.done(ada, bob, eve)
			})
		})
	}
}

func TestSlowMirrorIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.elect("a")
		ada := w.client("ada", "a")
		w.attached("b", "c")
		w.synced("a")
		first, second := w.node("b"), w.node("c")
		if w.mirror("a") == "c" {
			first, second = second, first
		}
		first.gate.shut()
		began := time.Now()
		chat(1, ada)
		w.done(ada)
		if took := time.Since(began); took < 250*time.Millisecond || took > 300*time.Millisecond {
			t.Errorf("with a mirror that is frozen a message took %v; want 250 ms", took)
		}
		w.synced("a")
		second.gate.shut()
		chat(2, ada)
		w.done(ada)
		began = time.Now()
		chat(2, ada)
		w.done(ada)
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("without a mirror a message took %v", took)
		}
		first.gate.thaw()
		w.synced("a")
		chat(2, ada)
		w.done(ada)
		w.node("a").kill()
		w.elect(first.name)
		if err := ada.resume(first.name); err != nil {
			t.Fatalf("ada resumes: %v", err)
		}
		chat(2, ada)
		w.done(ada)
		second.gate.thaw()
	})
}

func TestLinkIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.elect("a")
		ada, bob, eve := w.client("ada", "a"), w.client("bob", "b"), w.client("eve", "c")
		for range 10 {
			chat(3, ada, bob, eve)
			w.node("a").cutLinks()
			chat(3, ada, bob, eve)
			time.Sleep(time.Millisecond)
		}
		w.done(ada, bob, eve)
		if got := w.node("b").lost; got != nil {
			t.Errorf("LeaderLost at b = %v; want not at all", got)
		}
	})
}

// A session whose client is away is known to each new leader, and when it was
// closed while there was none, so are its unconfirmed stanzas.
func TestAwayWithoutLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.elect("a")
		ada, bob := w.client("ada", "b"), w.client("bob", "c")
		w.attached("b", "c")
		bob.auto = false
		chat(2, ada, bob)
		w.done(ada, bob)
		w.node("a").kill()
		time.Sleep(10 * time.Millisecond)
		ada.drop()
		for range 3 {
			ada.send("bob")
		}
		bob.send("ada")
		bob.drop()
		w.elect("b")
		if err := ada.resume("c"); err != nil {
			t.Fatalf("ada resumes: %v", err)
		}
		if err := bob.resume("b"); err != nil {
			t.Fatalf("bob resumes: %v", err)
		}
		w.done(ada, bob)
		// Closed with something under way.
		w.node("b").chief.gate.shut()
		bob.send("ada")
		n := bob.node
		n.relay.Close(bob.ref)
		w.node("b").chief.gate.thaw()
		w.elect("c")
		w.wait("bob's last message", func() bool {
			ada.mu.Lock()
			defer ada.mu.Unlock()
			return ada.messages[len(ada.messages)-1] == "bob-6"
		})
		w.wait("bob's session to be closed", func() bool {
			r := n.relay
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.parting) == 0
		})
	})
}

// A session that cannot be resumed waits a moment for the lost leader to come
// back, and is closed.
func TestOrphanThatCannotBeResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.elect("a")
		w.attached("b", "c")
		ada := w.client("ada", "a")
		w.node("a").relay.Enable(ada.ref, link.Enable{})
		w.synced("a")
		time.Sleep(time.Millisecond)
		w.node("a").kill()
		w.elect("c")
		count := func() (n int) {
			c := w.node("c").chief
			c.do(t.Context(), func() { n = len(c.sessions) })
			return n
		}
		w.attached("b", "c")
		<-w.node("c").chief.settle
		if n := count(); n != 1 {
			t.Errorf("leader has %d sessions at once; want 1", n)
		}
		time.Sleep(5 * time.Second)
		if n := count(); n != 0 {
			t.Errorf("leader has %d sessions later; want 0", n)
		}
	})
}

func TestSettled(t *testing.T) {
	for _, tt := range []struct {
		name     string
		before   func(w *world)
		min, max time.Duration
	}{
		{"all attach", func(*world) {}, 0, 10 * time.Millisecond},
		{"one is dead", func(w *world) { w.node("b").kill() }, 0, 10 * time.Millisecond},
		{"one is silent", func(w *world) { w.node("b").gate.shut() }, 150 * time.Millisecond, 151 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3)
				w.elect("c")
				w.attached("a", "b", "c")
				tt.before(w)
				began := time.Now()
				w.elect("a")
				<-w.node("a").chief.settle
				if took := time.Since(began); took < tt.min || took > tt.max {
					t.Errorf("settled after %v; want %v to %v", took, tt.min, tt.max)
				}
				if b := w.node("b"); b.up && !b.gate.pass(closed) {
					b.gate.thaw()
				}
			})
		})
	}
}

// A node that does not read is cut off, without the leader waiting for it; it
// comes back when it reads again.
func TestFollowerThatDoesNotRead(t *testing.T) {
	for _, tt := range []struct {
		name     string
		cfg      Config
		messages int
		after    time.Duration
	}{
		{"too much waits", Config{Queue: 64 << 10}, 2000, 0},
		{"nothing is taken", Config{}, 10, 11 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3, tt.cfg)
				w.elect("a")
				ada, bob := w.client("ada", "a"), w.client("bob", "b")
				w.attached("a", "b", "c")
				w.done(ada, bob)
				w.node("b").gate.shut()
				for range tt.messages {
					ada.send("bob")
				}
				time.Sleep(time.Second)
				ada.mu.Lock()
				if ada.confirmed != uint64(tt.messages) {
					t.Errorf("leader confirmed %d; want %d", ada.confirmed, tt.messages)
				}
				ada.mu.Unlock()
				time.Sleep(tt.after)
				if n := w.node("a").chief.losses(); n != 1 {
					t.Errorf("Lost was called %d times; want 1", n)
				}
				w.node("b").gate.thaw()
				w.done(ada, bob)
			})
		})
	}
}

// A gap in the deliveries is the leader's fault, or the wire's: all is attached
// anew.
func TestGap(t *testing.T) {
	for _, at := range []string{"a", "b"} {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 2)
				w.elect("a")
				ada, bob := w.client("ada", "b"), w.client("bob", at)
				chat(3, ada, bob)
				w.done(ada, bob)
				c := w.node("a").chief
				c.do(t.Context(), func() { c.sessions[bob.ref.ID].Last++ })
				chat(3, ada, bob)
				w.done(ada, bob)
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.attached[bob.ref.ID] != 1 {
					t.Errorf("bob was attached %d times; want 1", c.attached[bob.ref.ID])
				}
			})
		})
	}
}
