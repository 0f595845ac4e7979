package relay

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"parley/services/xmpp/link"
)

// world is a few nodes, one of which leads.
type world struct {
	t     testing.TB
	cfg   Config
	disk  *disk
	nodes []*node
	term  uint64
	// chief is the last one, under mu.
	mu    sync.Mutex
	chief *chief
	// latency of what is written from now on connections.
	latency time.Duration
}

func newWorld(t testing.TB, nodes int, cfg ...Config) *world {
	w := &world{t: t, disk: &disk{t: t, applied: map[link.SessionID]uint64{}, inbox: map[string][]link.Delivery{}}}
	if len(cfg) > 0 {
		w.cfg = cfg[0]
	}
	for i := range nodes {
		n := &node{w: w, name: string(rune('a' + i)), gate: newGate()}
		w.nodes = append(w.nodes, n)
		n.start()
	}
	t.Cleanup(func() {
		for _, n := range w.nodes {
			if n.up {
				n.kill()
			}
		}
	})
	return w
}

// trio is three nodes, of which a leads, with a client each.
func trio(t *testing.T) (w *world, ada, bob, eve *client) {
	t.Helper()
	w = newWorld(t, 3)
	w.elect("a")
	ada, bob, eve = w.client("ada", "a"), w.client("bob", "b"), w.client("eve", "c")
	w.attached("b", "c")
	return w, ada, bob, eve
}

func (w *world) node(name string) *node { return w.nodes[name[0]-'a'] }

// elect has a node lead; "" is nobody. told are the nodes that hear of it, none
// for all that are up and not frozen.
func (w *world) elect(name string, told ...string) {
	w.term++
	if name != "" {
		l := w.node(name)
		if l.chief != nil {
			l.chief.end()
		}
		l.chief = newChief(w.disk, w.term, l.gate)
		w.mu.Lock()
		w.chief = l.chief
		w.mu.Unlock()
	}
	w.tell(name, told...)
}

func (w *world) tell(name string, told ...string) {
	if len(told) == 0 {
		for _, n := range w.nodes {
			if n.up && n.gate.pass(closed) {
				told = append(told, n.name)
			}
		}
	}
	for _, at := range told {
		n := w.node(at)
		l := Leadership{Term: w.term, ID: name, Addr: name}
		var old *chief
		if at == name {
			l.Local = n.chief
		} else if n.chief != nil {
			old, n.chief = n.chief, nil
		}
		for _, o := range w.nodes {
			if o != n {
				l.Others = append(l.Others, o.name)
			}
		}
		n.relay.Lead(l)
		if old != nil {
			old.end()
		}
	}
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// leader returns the node that leads.
func (w *world) leader() *node {
	for _, n := range w.nodes {
		if n.up && n.chief != nil && n.chief.term == w.term {
			return n
		}
	}
	return nil
}

// wait waits for a condition.
func (w *world) wait(what string, ok func() bool) {
	w.t.Helper()
	for range 5000 {
		if ok() {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	w.t.Fatalf("not seen: %s", what)
}

// attached waits until nodes are served.
func (w *world) attached(names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.wait(name+" attached", func() bool { ok, _ := w.node(name).relay.Served(); return ok })
	}
}

// synced waits until the leader's node has a mirror that is whole.
func (w *world) synced(name string) {
	w.t.Helper()
	r := w.node(name).relay
	w.wait("mirror", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.backup.synced && len(r.backup.pending) == 0
	})
}

// mirror names the node that has the leader's sessions.
func (w *world) mirror(leader string) string {
	r := w.node(leader).relay
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.backup.to == nil {
		return ""
	}
	return r.backup.to.from
}

// done waits until all is confirmed and delivered, and checks that each
// message has come once and in the order of its sender.
func (w *world) done(cs ...*client) {
	w.t.Helper()
	want := map[string]int{}
	for _, c := range cs {
		w.wait("all of "+c.account+" confirmed", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.confirmed == uint64(len(c.sent))
		})
		for _, e := range c.sent {
			want[mustJID(e.Attr("to")).Local()]++
		}
	}
	for _, c := range cs {
		ok := func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.messages) >= want[c.account]
		}
		for i := 0; i < 2000 && !ok(); i++ {
			time.Sleep(2 * time.Millisecond)
		}
		c.mu.Lock()
		seen := map[string]bool{}
		last := map[string]int{}
		for _, id := range c.messages {
			if seen[id] {
				w.t.Errorf("%s got %s twice", c.account, id)
			}
			seen[id] = true
			var from string
			var n int
			for i := range id {
				if id[i] == '-' {
					from = id[:i]
					fmt.Sscanf(id[i+1:], "%d", &n)
				}
			}
			if n <= last[from] {
				w.t.Errorf("%s got %s after %d", c.account, id, last[from])
			}
			last[from] = n
		}
		if len(seen) != want[c.account] {
			w.t.Errorf("%s got %d messages; want %d: %v", c.account, len(seen), want[c.account], c.messages)
		}
		c.mu.Unlock()
	}
	// What was delivered the leader knows to be.
	w.mu.Lock()
	chief := w.chief
	w.mu.Unlock()
	if chief == nil || isClosed(chief.stop) {
		return
	}
	w.wait("deliveries acknowledged", func() bool {
		waiting := 0
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		chief.do(ctx, func() {
			for _, c := range cs {
				if s := chief.sessions[c.ref.ID]; s != nil && c.auto {
					waiting += len(s.Queue)
				}
			}
		})
		return waiting == 0
	})
}
