package peer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestPingReset(t *testing.T) {
	a, _, _, pb := proxied(t)
	// The listener stays: a new connection is there at once, unless the machine
	// does other things.
	for n := 1; ; n++ {
		await(t, "reachable", a.reaches("b"))
		since := a.Peers()["b"].Since
		pb.reset()
		time.Sleep(600 * time.Millisecond)
		s := a.Peers()["b"]
		if s.Reachable && !s.Refused && s.Since.Equal(since) {
			break
		}
		if n == busy {
			t.Fatalf("state = %+v; want reachable all the time, once of %d times", s, n)
		}
	}
	// It does not: the process is gone.
	pb.refuse()
	pb.reset()
	within(t, "refused", 200*time.Millisecond, func() bool { return a.Peers()["b"].Refused })
	if s := a.Peers()["b"]; s.Reachable || s.Err == nil {
		t.Errorf("state = %+v; want unreachable", s)
	}
	pb.allow()
	within(t, "reachable again", 1500*time.Millisecond, a.reaches("b"))
	if a.Peers()["b"].Refused {
		t.Error("Refused = true; want false")
	}
}

func TestPingCut(t *testing.T) {
	for _, tt := range []struct {
		name string
		cut  func(pa, pb *proxy, cut bool)
	}{
		{"both ways", func(pa, pb *proxy, cut bool) {
			for _, p := range []*proxy{pa, pb} {
				p.set(there, cut)
				p.set(back, cut)
			}
		}},
		// One way is: a's questions there, and a's answers to b.
		{"from a to b", func(pa, pb *proxy, cut bool) { pb.set(there, cut); pa.set(back, cut) }},
		{"from b to a", func(pa, pb *proxy, cut bool) { pb.set(back, cut); pa.set(there, cut) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b, pa, pb := proxied(t)
			tt.cut(pa, pb, true)
			within(t, "a misses b", 700*time.Millisecond, func() bool { return !a.Peers()["b"].Reachable })
			within(t, "b misses a", 300*time.Millisecond, func() bool { return !b.Peers()["a"].Reachable })
			if a.Peers()["b"].Refused || b.Peers()["a"].Refused {
				t.Error("Refused = true; want false: it is only silent")
			}
			time.Sleep(1500 * time.Millisecond)
			if n := a.pings(); n > 6 {
				t.Errorf("%d connections after a while; want few", n)
			}
			tt.cut(pa, pb, false)
			within(t, "a reaches b", 1500*time.Millisecond, a.reaches("b"))
			within(t, "b reaches a", 1500*time.Millisecond, b.reaches("a"))
			await(t, "one connection each way", func() bool { return a.pings() == 2 && b.pings() == 2 })
		})
	}
}

func TestAddressChange(t *testing.T) {
	a, b, _, pb := proxied(t)
	// b gets another address, and its old one is nobody's.
	moved := newProxy(t)
	moved.to(b.addr)
	h := *b.hello.Load()
	h.Address = moved.addr
	b.hello.Store(&h)
	changed := a.Changed()
	pb.refuse()
	pb.reset()
	<-changed
	await(t, "the new address is known", func() bool { return a.Peers()["b"].Address == moved.addr })
	within(t, "b is reached there", 2*time.Second, a.reaches("b"))
	if time.Since(a.Hears("b")) > 10*time.Second {
		t.Errorf("Hears = %v; want now", a.Hears("b"))
	}
	a.SetMembers([]Member{{"b", moved.addr}})
	// Another node at the old address is not b.
	if s := a.Peers()["b"]; !s.Reachable || s.Stranger != "" {
		t.Errorf("state = %+v; want b's", s)
	}
}

func TestStrangerAtAddress(t *testing.T) {
	a, c := newNode(t, "a", nil), newNode(t, "c", nil)
	a.SetMembers([]Member{{"b", c.addr}})
	await(t, "the stranger is noticed", func() bool { return a.Peers()["b"].Stranger == "c" })
	if s := a.Peers()["b"]; s.Reachable || !a.Hears("b").IsZero() || !strings.Contains(s.Err.Error(), "node c answers") {
		t.Errorf("state = %+v; want b unreachable", s)
	}
	if _, err := a.Dial(t.Context(), c.addr, "link"); err == nil || !strings.Contains(err.Error(), "this is node c and not b") {
		t.Errorf("Dial = %v; want a refusal", err)
	}
	if _, err := a.StreamLayer(func() string { return a.addr }).Dial("127.0.0.1:1", time.Second); err == nil {
		t.Error("Dial of nobody = nil; want an error")
	}
	// The node gets the member's identity after all.
	h := *c.hello.Load()
	h.ID = "b"
	c.hello.Store(&h)
	await(t, "b is reached", a.reaches("b"))
	// And loses it, on the same connections.
	h.ID = "c2"
	c.hello.Store(&h)
	await(t, "the stranger is noticed again", func() bool { s := a.Peers()["b"]; return s.Stranger == "c2" && !s.Reachable })
	a.SetMembers(nil)
	await(t, "connections end", func() bool { return len(a.open()) == 0 && len(c.open()) == 0 })
}

func TestClock(t *testing.T) {
	a := newNode(t, "a", nil)
	b := newNode(t, "b", func(n *node) {
		self := n.deps.Self
		n.deps.Self = func() Hello {
			h := self()
			h.Time = time.Now().Add(-42 * time.Second)
			return h
		}
	})
	a.SetMembers([]Member{{"b", b.addr}})
	await(t, "the clock is known", func() bool { return a.Peers()["b"].Clock != 0 })
	if d := a.Peers()["b"].Clock; d.Round(time.Second) != -42*time.Second {
		t.Errorf("Clock = %v; want -42s", d)
	}
}

// TestClockOfLateAnswer: an answer that was long under way, as a frozen node's
// is, says nothing about the clock.
func TestClockOfLateAnswer(t *testing.T) {
	a := newNode(t, "a", nil)
	m := &member{net: a.Net, id: "b", log: a.log}
	w := newWatcher(t.Context(), m)
	for _, tt := range []struct {
		name             string
		rtt, clock, want time.Duration
	}{
		{"late, and the first", 4 * time.Second, -2 * time.Second, 0},
		{"prompt", 20 * time.Millisecond, 3 * time.Millisecond, 3 * time.Millisecond},
		{"late", 4 * time.Second, -2 * time.Second, 3 * time.Millisecond},
		{"a second late", time.Second, -500 * time.Millisecond, 3 * time.Millisecond},
		{"prompt again", 999 * time.Millisecond, 40 * time.Second, 40 * time.Second},
	} {
		w.answered(pong{conn: &conn{addr: "b"}, hello: Hello{ID: "b"}, rtt: tt.rtt, clock: tt.clock}, true)
		if s := m.state; s.Clock != tt.want || s.RTT != tt.rtt || !s.Reachable {
			t.Errorf("%s: Clock, RTT, Reachable = %v, %v, %v; want %v, %v, true", tt.name, s.Clock, s.RTT, s.Reachable, tt.want, tt.rtt)
		}
	}
}

// TestOwnStandstill: a node that stood still itself does not take the others for
// silent.
func TestOwnStandstill(t *testing.T) {
	a := newNode(t, "a", nil)
	m := &member{net: a.Net, id: "b", log: a.log}
	m.state.Reachable = true
	w := newWatcher(t.Context(), m)
	for _, tt := range []struct {
		name string
		due  time.Duration
		want bool
	}{
		{"due in a moment", time.Minute, true},
		{"due long ago", -time.Second, true},
		{"due now", -time.Millisecond, false},
	} {
		w.due = time.Now().Add(tt.due)
		w.silent()
		if m.state.Reachable != tt.want {
			t.Errorf("%s: Reachable = %v; want %v", tt.name, m.state.Reachable, tt.want)
		}
	}
}

// child is what a test process needs to be a node.
type child struct {
	ID, Cert, Key, Member, MemberAddr string
}

// TestMain turns the test binary into a node where it is told so.
func TestMain(m *testing.M) {
	if text := os.Getenv("PEER_TEST_CHILD"); text != "" {
		runChild(text)
		return
	}
	os.Exit(m.Run())
}

// TestProcess: a node that is killed is loud, one that is stopped is silent.
func TestProcess(t *testing.T) {
	a := newNode(t, "a", nil)
	start := func() (*exec.Cmd, string) {
		t.Helper()
		cmd := exec.Command(os.Args[0])
		text, err := json.Marshal(childOf(t, "b", a))
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(os.Environ(), "PEER_TEST_CHILD="+string(text))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		var addr string
		if _, err := fmt.Fscan(bufio.NewReader(out), &addr); err != nil {
			t.Fatal(err)
		}
		return cmd, addr
	}
	for range 5 {
		cmd, addr := start()
		a.SetMembers([]Member{{"b", addr}})
		await(t, "a reaches b", a.reaches("b"))
		await(t, "b reaches a", func() bool { return a.pings() == 2 })

		cmd.Process.Signal(syscall.SIGSTOP)
		within(t, "silent", 700*time.Millisecond, func() bool { return !a.Peers()["b"].Reachable })
		time.Sleep(500 * time.Millisecond)
		if a.Peers()["b"].Refused {
			t.Error("Refused = true of a frozen process; want false")
		}
		cmd.Process.Signal(syscall.SIGCONT)
		within(t, "thawed", 200*time.Millisecond, a.reaches("b"))

		cmd.Process.Kill()
		within(t, "killed", 150*time.Millisecond, func() bool { return a.Peers()["b"].Refused })
		cmd.Wait()
	}
}
