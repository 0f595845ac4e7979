package peer

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// late is nodes in a bubble, whose network takes its time.
type late struct {
	t     *testing.T
	id    Identity
	nodes map[string]*lateNode

	mu    sync.Mutex
	delay time.Duration
	// refused is an address where nobody listens.
	refused string
	// lines are the connections of now; a closed one loses all.
	lines []chan struct{}
	wg    sync.WaitGroup
}

// lateNode counts what its Net does.
type lateNode struct {
	*Net
	id           string
	dials, flaps atomic.Int32
}

func newLate(t *testing.T, ids ...string) *late {
	cert := (*authority)(nil).issue(spec{cn: testDomain})
	l := &late{t: t, id: Identity{Certificate: cert.tls(), Trust: bundle(t, cert), Domain: testDomain}, nodes: make(map[string]*lateNode)}
	ctx, cancel := context.WithCancel(context.Background())
	for _, id := range ids {
		n := &lateNode{id: id}
		n.Net = New(Config{}, Deps{
			Identity: func() (Identity, error) { return l.id, nil },
			Self:     func() Hello { return Hello{ID: id, Address: id + ":5222", Cluster: "c1"} },
			Log:      slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", id),
			DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
				n.dials.Add(1)
				return l.dial(addr)
			},
		})
		l.nodes[id+":5222"] = n
		l.wg.Go(func() { n.Run(ctx) })
	}
	synctest.Wait()
	for _, id := range ids {
		n := l.node(id)
		layer := n.StreamLayer(func() string { return id + ":5222" })
		l.wg.Go(func() {
			for err := error(nil); err == nil; {
				_, err = layer.Accept()
			}
		})
		l.wg.Go(func() { n.count(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		l.lose()
		l.wg.Wait()
	})
	return l
}

// meet has a and b know each other, with a connection of Raft each way, and
// returns the connections that they have dialed after a while.
func (l *late) meet() map[*conn]bool {
	l.t.Helper()
	l.node("a").SetMembers([]Member{{"b", "b:5222"}})
	l.node("b").SetMembers([]Member{{"a", "a:5222"}})
	time.Sleep(time.Second)
	for from, to := range map[string]string{"a": "b:5222", "b": "a:5222"} {
		if _, err := l.node(from).layer.Dial(raft.ServerAddress(to), time.Minute); err != nil {
			l.t.Fatal(err)
		}
	}
	time.Sleep(4 * time.Second)
	met := make(map[*conn]bool)
	for _, n := range l.nodes {
		if got := n.kinds(); got != "map[ping:1 raft:1 spare:3]" {
			l.t.Fatalf("connections of %s: %s", n.id, got)
		}
		for _, c := range n.open() {
			if c.dialed {
				met[c] = true
			}
		}
		n.dials.Store(0)
	}
	return met
}

func (l *late) node(id string) *lateNode { return l.nodes[id+":5222"] }

// count adds up how often a member became unreachable.
func (n *lateNode) count(ctx context.Context) {
	was := map[string]bool{}
	for {
		changed := n.Changed()
		for id, s := range n.Peers() {
			if was[id] && !s.Reachable {
				n.flaps.Add(1)
			}
			was[id] = s.Reachable
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (l *late) dial(addr string) (net.Conn, error) {
	lost := make(chan struct{})
	l.mu.Lock()
	refused := l.refused == addr
	l.lines = append(l.lines, lost)
	l.mu.Unlock()
	if refused {
		return nil, syscall.ECONNREFUSED
	}
	client, near := net.Pipe()
	far, server := net.Pipe()
	l.wg.Go(func() { l.carry(far, near, lost) })
	l.wg.Go(func() { l.carry(near, far, lost) })
	n := l.nodes[addr]
	l.wg.Go(func() { n.Serve(tls.Server(server, n.ServerTLS())) })
	return client, nil
}

// carry brings what is read to its place, each piece as late as it is then.
func (l *late) carry(to, from net.Conn, lost chan struct{}) {
	type piece struct {
		data []byte
		err  error
		due  time.Time
	}
	pieces := make(chan piece, 1000)
	l.wg.Go(func() {
		for {
			buf := make([]byte, 16<<10)
			n, err := from.Read(buf)
			l.mu.Lock()
			due := time.Now().Add(l.delay)
			l.mu.Unlock()
			pieces <- piece{buf[:n], err, due}
			if err != nil {
				return
			}
		}
	})
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		select {
		case <-lost:
			p.data = nil
		default:
		}
		if p.err == nil {
			to.Write(p.data)
			continue
		}
		select {
		case <-lost:
			// Nor is the end told.
			if p.err == io.EOF {
				time.Sleep(time.Minute)
			}
		default:
		}
		to.Close()
		from.Close()
		return
	}
}

// slow has all that is sent from now on arrive after d.
func (l *late) slow(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

// lose has the connections of now carry nothing any more.
func (l *late) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.lines {
		close(c)
	}
	l.lines = nil
}

// kinds counts the connections that a node has dialed and has open.
func (n *lateNode) kinds() string {
	count := map[string]int{}
	for _, c := range n.open() {
		if c.dialed {
			count[c.kind]++
		}
	}
	return fmt.Sprint(count)
}

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
				l := newLate(t, "a", "b")
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
				l := newLate(t, "a", "b")
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

// TestLostWays: where new connections carry and the old ones do not, those go that
// are of the old ones' time, and none of them is used meanwhile.
func TestLostWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLate(t, "a", "b")
		met := l.meet()
		a := l.node("a")
		l.lose()
		time.Sleep(420 * time.Millisecond)
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

// TestSlowDial: an attempt that takes long is not begun anew, or none would ever
// succeed.
func TestSlowDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLate(t, "a", "b")
		a := l.node("a")
		l.slow(600 * time.Millisecond)
		a.SetMembers([]Member{{"b", "b:5222"}})
		// Two round trips; what is dialed later are spares.
		time.Sleep(2400*time.Millisecond - 1)
		dials := a.dials.Load()
		time.Sleep(1)
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
		l := newLate(t, "a", "b")
		a := l.node("a")
		l.mu.Lock()
		l.refused = "b:5222"
		l.mu.Unlock()
		a.SetMembers([]Member{{"b", "b:5222"}})
		l.node("b").SetMembers([]Member{{"a", "a:5222"}})
		time.Sleep(10 * time.Second)
		if n := a.dials.Load(); n < 8 || n > 16 || time.Since(a.Hears("b")) > time.Second {
			t.Errorf("%d dials, heard %v ago; want one a second, and to hear of it", n, time.Since(a.Hears("b")))
		}
	})
}
