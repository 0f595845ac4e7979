package peer

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestLate: nodes whose answers are late are not dialed again and again, nor called
// silent again and again, and their connections stay.
func TestLate(t *testing.T) {
	for _, tt := range []struct {
		name  string
		delay time.Duration
		// flaps and dials are of one node to the other one, at most.
		flaps, dials int32
	}{
		{"in time", 100 * time.Millisecond, 0, 0},
		{"600 ms there and back", 300 * time.Millisecond, 1, 1},
		{"600 ms either way", 600 * time.Millisecond, 2, 2},
		{"more than is tolerated", 1500 * time.Millisecond, 4, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBubble(t, "a", "b")
				met := l.meet()
				l.slow(tt.delay)
				time.Sleep(10 * time.Second)
				l.slow(0)
				time.Sleep(5 * time.Second)
				for _, n := range l.nodes {
					d, f := n.dials.Load(), n.flaps.Load()
					if t.Logf("%s: %d dials, %d flaps", n.id, d, f); d > tt.dials || f > tt.flaps {
						t.Errorf("%s: %d dials, %d flaps; want at most %d, %d", n.id, d, f, tt.dials, tt.flaps)
					}
					for _, c := range n.open() {
						delete(met, c)
					}
				}
				for c := range met {
					t.Errorf("the %s connection to %s is gone", c.kind, c.addr)
				}
			})
		})
	}
}

// TestLostAfterLate: a member that is lost is found so in the time that it was
// given for being late, and after a while in as little as before.
func TestLostAfterLate(t *testing.T) {
	for _, tt := range []struct {
		name        string
		late, after time.Duration
		want        time.Duration
	}{
		{"never late", 0, 0, 400 * time.Millisecond},
		{"late once", 300 * time.Millisecond, time.Second, 800 * time.Millisecond},
		{"late twice", 600 * time.Millisecond, time.Second, 1600 * time.Millisecond},
		{"late once, a minute ago", 300 * time.Millisecond, 61 * time.Second, 400 * time.Millisecond},
		{"late twice, two minutes ago", 600 * time.Millisecond, 121 * time.Second, 400 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBubble(t, "a", "b")
				l.meet()
				a := l.node("a")
				l.slow(tt.late)
				time.Sleep(5 * time.Second)
				l.slow(0)
				time.Sleep(5*time.Second + tt.after)
				if !a.Peers()["b"].Reachable {
					t.Fatal("not reachable before")
				}
				l.slow(time.Hour)
				start := time.Now()
				for a.Peers()["b"].Reachable {
					time.Sleep(10 * time.Millisecond)
				}
				// The last answer came up to a ping before.
				if took := time.Since(start); took < tt.want-100*time.Millisecond || took > tt.want+20*time.Millisecond {
					t.Errorf("found after %v; want %v", took, tt.want)
				}
				l.slow(0)
			})
		})
	}
}

// TestLateAfterDial: a connection that was late stays, with all others, although a
// new one was made meanwhile.
func TestLateAfterDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBubble(t, "a", "b")
		met := l.meet()
		l.slow(175 * time.Millisecond)
		time.Sleep(290 * time.Millisecond)
		l.slow(0)
		time.Sleep(5 * time.Second)
		for _, n := range l.nodes {
			if d, f := n.dials.Load(), n.flaps.Load(); d != 1 || f != 1 {
				t.Errorf("%s: %d dials, %d flaps; want one each", n.id, d, f)
			}
			for _, c := range n.open() {
				if c.dialed && !met[c] {
					t.Errorf("the new %s connection to %s stays; want it gone", c.kind, c.addr)
				}
				delete(met, c)
			}
		}
		for c := range met {
			t.Errorf("the %s connection to %s is gone", c.kind, c.addr)
		}
	})
}

// TestLostWays: where new connections carry and the old ones do not, those go that
// are of the old ones' time, and none of them is used meanwhile.
func TestLostWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBubble(t, "a", "b")
		met := l.meet()
		a := l.node("a")
		l.lose()
		// The new connection is there, and is not asked yet.
		time.Sleep(400 * time.Millisecond)
		s := a.Peers()["b"]
		if !s.Reachable || a.flaps.Load() != 1 {
			t.Errorf("state %+v, %d flaps; want reachable again at once", s, a.flaps.Load())
		}
		start := time.Now()
		if c, err := a.layer.Dial("b:5222", time.Minute); err != nil || met[c.(*raftConn).conn] || time.Since(start) > 0 {
			t.Errorf("Dial = %v after %v; want a new connection at once", err, time.Since(start))
		}
		time.Sleep(2 * time.Second)
		for _, n := range l.nodes {
			for _, c := range n.open() {
				if met[c] {
					t.Errorf("the %s connection to %s is there; want it gone", c.kind, c.addr)
				}
			}
		}
	})
}

// TestGoneAfterSilence: a member that was silent, and then refuses, was lost: this is
// known at once, it gets no more time when it is back, and what is new between the
// two stays.
func TestGoneAfterSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBubble(t, "a", "b")
		l.meet()
		a := l.node("a")
		l.slow(time.Hour)
		time.Sleep(500 * time.Millisecond)
		if s := a.Peers()["b"]; s.Reachable || s.Refused {
			t.Errorf("state %+v; want silent", s)
		}
		l.slow(0)
		l.end("b:5222")
		// An attempt may have been made just before.
		time.Sleep(minRedial + 20*time.Millisecond)
		if s := a.Peers()["b"]; !s.Refused {
			t.Errorf("state %+v; want refused", s)
		}
		l.end("")
		for !a.Peers()["b"].Reachable {
			time.Sleep(time.Millisecond)
		}
		c, err := a.layer.Dial("b:5222", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second + 50*time.Millisecond)
		if !a.has(c.(*raftConn).conn) {
			t.Error("the new connection is gone; want it to stay")
		}
		l.slow(time.Hour)
		if time.Sleep(500 * time.Millisecond); a.Peers()["b"].Reachable {
			t.Error("reachable after half a second of silence")
		}
		l.slow(0)
	})
}

// TestSlowDial: an attempt that takes long is not begun anew, or none would ever
// succeed.
func TestSlowDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBubble(t, "a", "b")
		a := l.node("a")
		l.slow(600 * time.Millisecond)
		a.SetMembers([]Member{{"b", "b:5222"}})
		// Two round trips; what is dialed later are spares.
		time.Sleep(2400*time.Millisecond - time.Nanosecond)
		dials := a.dials.Load()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if s := a.Peers()["b"]; !s.Reachable || dials != 1 {
			t.Errorf("state %+v after %d dials; want reachable after one", s, dials)
		}
	})
}

// TestDialPace: a member that is heard and cannot be reached is dialed ever more
// slowly, not at the pace of its pings.
func TestDialPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBubble(t, "a", "b")
		a := l.node("a")
		l.end("b:5222")
		a.SetMembers([]Member{{"b", "b:5222"}})
		l.node("b").SetMembers([]Member{{"a", "a:5222"}})
		time.Sleep(10 * time.Second)
		if n := a.dials.Load(); n < 8 || n > 16 || time.Since(a.Hears("b")) > time.Second {
			t.Errorf("%d dials, heard %v ago; want one a second, and to hear of it", n, time.Since(a.Hears("b")))
		}
	})
}
