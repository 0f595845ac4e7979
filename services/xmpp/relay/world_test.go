package relay

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// gate can be shut, which freezes what passes it.
type gate struct {
	mu   sync.Mutex
	open chan struct{}
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) shut() { g.mu.Lock(); defer g.mu.Unlock(); g.open = make(chan struct{}) }
func (g *gate) thaw() { g.mu.Lock(); defer g.mu.Unlock(); close(g.open) }
func (g *gate) pass(stop <-chan struct{}) bool {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return true
	default:
	}
	select {
	case <-open:
		return true
	case <-stop:
		return false
	}
}

// wire is a connection between two nodes, which stands still while one of
// them is frozen.
type wire struct {
	net.Conn
	gates [2]*gate
	// limit is until when a write may wait for a gate, under mu.
	mu    sync.Mutex
	limit time.Time
	// latency of each write, during which nothing else is written.
	latency time.Duration
	done    chan struct{}
	once    sync.Once
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.done) })
	return w.Conn.Close()
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit = t
	return w.Conn.SetWriteDeadline(t)
}

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	limit := w.limit
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	if !limit.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, limit)
	}
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-w.done:
		case <-ctx.Done():
		case <-stop:
		}
	}()
	for _, g := range w.gates {
		if !g.pass(over) {
			if ctx.Err() != nil {
				return 0, os.ErrDeadlineExceeded
			}
			return 0, net.ErrClosed
		}
	}
	time.Sleep(w.latency)
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	for _, g := range w.gates {
		if !g.pass(w.done) {
			return 0, net.ErrClosed
		}
	}
	return n, err
}

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

type node struct {
	w     *world
	name  string
	gate  *gate
	relay *Relay
	chief *chief
	up    bool
	// cancel ends Run, done is closed by its end.
	cancel context.CancelFunc
	done   chan struct{}
	serves sync.WaitGroup

	mu    sync.Mutex
	wires []*wire
	// conns are the clients' connections by session.
	conns map[link.Ref]*client
	// early are calls for sessions that are being resumed.
	waiting map[link.SessionID]bool
	early   map[link.SessionID][]func(*client)
	lost    []bool
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

func (w *world) node(name string) *node { return w.nodes[name[0]-'a'] }

func (n *node) start() {
	log := slog.New(slog.NewTextHandler(testLog{n.w.t, n.name}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	n.mu.Lock()
	n.conns = map[link.Ref]*client{}
	n.waiting = map[link.SessionID]bool{}
	n.early = map[link.SessionID][]func(*client){}
	n.mu.Unlock()
	r := New(n.w.cfg, Deps{Edge: n, Dial: n.dial, Log: log, LeaderLost: func(addr string, refused bool) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.lost = append(n.lost, refused)
	}})
	n.mu.Lock()
	n.relay, n.up = r, true
	n.mu.Unlock()
	var ctx context.Context
	ctx, n.cancel = context.WithCancel(context.Background())
	n.done = make(chan struct{})
	go func() {
		defer close(n.done)
		r.Run(ctx)
	}()
}

type testLog struct {
	t    testing.TB
	node string
}

func (l testLog) Write(b []byte) (int, error) {
	if !testing.Verbose() {
		return len(b), nil
	}
	fmt.Printf("%s %s %s", time.Now().Format("05.000"), l.node, b)
	return len(b), nil
}

// kill ends a node as a crash does: its clients' connections are gone, and its
// relay says nothing more.
func (n *node) kill() {
	n.mu.Lock()
	n.up = false
	wires := n.wires
	n.wires = nil
	conns := n.conns
	n.conns = map[link.Ref]*client{}
	n.mu.Unlock()
	for _, w := range wires {
		w.Close()
	}
	n.cancel()
	if n.chief != nil {
		n.chief.end()
		n.chief = nil
	}
	<-n.done
	n.serves.Wait()
	for _, c := range conns {
		c.mu.Lock()
		c.node = nil
		c.mu.Unlock()
	}
}

// cutLinks breaks the node's connections to others, which are there again at
// once.
func (n *node) cutLinks() {
	n.mu.Lock()
	wires := n.wires
	n.wires = nil
	n.mu.Unlock()
	for _, w := range wires {
		w.Close()
	}
}

func (n *node) dial(ctx context.Context, addr string) (net.Conn, error) {
	to := n.w.node(addr)
	for _, g := range []*gate{n.gate, to.gate} {
		if !g.pass(ctx.Done()) {
			return nil, ctx.Err()
		}
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	if !to.up {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	a, b := net.Pipe()
	gates := [2]*gate{n.gate, to.gate}
	near, far := &wire{Conn: a, gates: gates, latency: n.w.latency, done: make(chan struct{})}, &wire{Conn: b, gates: gates, latency: n.w.latency, done: make(chan struct{})}
	to.wires = append(to.wires, far)
	r := to.relay
	to.serves.Go(func() { r.Serve(context.Background(), far, n.name) })
	go func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.up {
			n.wires = append(n.wires, near)
		} else {
			near.Close()
		}
	}()
	return near, nil
}

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

// client is a client with XEP-0198, over all its connections.
type client struct {
	w       *world
	account string

	mu   sync.Mutex
	node *node // nil: not connected
	ref  link.Ref
	// sent are its messages: number seq is at seq-1.
	sent      []*stanza.Element
	confirmed uint64
	// given counts what the edge was given.
	given    uint64
	messages []string
	// auto acknowledges at once.
	auto  bool
	ended string
}

func (w *world) client(account, at string) *client {
	w.t.Helper()
	c := w.stranger(account)
	c.open(at)
	return c
}

// stranger is a client that has not connected yet.
func (w *world) stranger(account string) *client {
	c := &client{w: w, account: account, auto: true}
	copy(c.ref.ID[:], account)
	return c
}

func (c *client) open(at string) {
	c.w.t.Helper()
	n := c.w.node(at)
	n.mu.Lock()
	c.node = n
	n.conns[c.ref] = c
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	full, err := n.relay.Open(ctx, link.Open{Ref: c.ref, JID: mustJID(c.account + "@x"), Resource: "1"}, n)
	if err != nil || full != mustJID(c.account+"@x/r1") {
		c.w.t.Errorf("Open(%s) = %v, %v", c.account, full, err)
		return
	}
	n.relay.Enable(c.ref, link.Enable{Keep: 5 * time.Minute})
}

// send sends the next message to an account.
func (c *client) send(to string) {
	c.mu.Lock()
	e := stanza.New(stanza.NSClient, "message", "to", to+"@x", "id", fmt.Sprintf("%s-%d", c.account, len(c.sent)+1))
	c.sent = append(c.sent, e)
	seq, n, ref := uint64(len(c.sent)), c.node, c.ref
	c.mu.Unlock()
	if n != nil {
		n.relay.Send(ref, seq, e.Clone())
	}
}

// drop is the loss of the client's connection.
func (c *client) drop() {
	c.mu.Lock()
	n, ref := c.node, c.ref
	c.node = nil
	c.mu.Unlock()
	if n != nil {
		n.mu.Lock()
		delete(n.conns, ref)
		n.mu.Unlock()
		n.relay.Detach(ref)
	}
}

// resume connects the client again, elsewhere.
func (c *client) resume(at string) error {
	n := c.w.node(at)
	c.mu.Lock()
	h, id := uint32(c.given), c.ref.ID
	c.mu.Unlock()
	n.mu.Lock()
	n.waiting[id] = true
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.waiting, id)
		delete(n.early, id)
		n.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := n.relay.Resume(ctx, link.Resume{ID: id, Account: mustJID(c.account + "@x"), H: h}, n)
	if err != nil {
		return err
	}
	n.mu.Lock()
	c.mu.Lock()
	c.node, c.ref, c.ended = n, s.Ref, ""
	if s.Confirmed < c.confirmed {
		c.w.t.Errorf("%s resumed with %d confirmed, was %d", c.account, s.Confirmed, c.confirmed)
	}
	if s.Last-uint64(len(s.Queue)) != c.given {
		c.w.t.Errorf("%s resumed: queue of %d ends with %d; client has %d", c.account, len(s.Queue), s.Last, c.given)
	}
	c.confirmed = s.Confirmed
	again := c.sent[s.Confirmed:]
	early := n.early[id]
	n.conns[s.Ref] = c
	c.mu.Unlock()
	for _, d := range s.Queue {
		c.deliver(d)
	}
	for _, f := range early {
		f(c)
	}
	n.mu.Unlock()
	for i, e := range again {
		n.relay.Send(s.Ref, s.Confirmed+uint64(i)+1, e.Clone())
	}
	return nil
}

func (c *client) deliver(d link.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.N != c.given+1 {
		c.w.t.Errorf("%s was given delivery %d after %d", c.account, d.N, c.given)
	}
	c.given = d.N
	e, err := stream.Parse(d.Bytes)
	if err != nil {
		c.w.t.Errorf("%s was given %q: %v", c.account, d.Bytes, err)
		return
	}
	c.messages = append(c.messages, e.Attr("id"))
	if c.auto && c.node != nil {
		n, ref, given := c.node, c.ref, c.given
		go n.relay.Delivered(ref, given)
	}
}

// of calls f for a session's connection, or when its Resume returns.
func (n *node) of(ref link.Ref, f func(*client)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.conns[ref]; c != nil {
		f(c)
	} else if n.waiting[ref.ID] {
		n.early[ref.ID] = append(n.early[ref.ID], func(c *client) {
			if c.ref == ref {
				f(c)
			}
		})
	}
}

func (n *node) Deliver(ref link.Ref, d link.Delivery) { n.of(ref, func(c *client) { c.deliver(d) }) }

func (n *node) Confirm(ref link.Ref, seq uint64) {
	n.of(ref, func(c *client) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if seq <= c.confirmed || seq > uint64(len(c.sent)) {
			n.w.t.Errorf("%s was confirmed %d after %d of %d", c.account, seq, c.confirmed, len(c.sent))
		}
		c.confirmed = seq
	})
}

func (n *node) Memo(link.Ref, []byte) { n.w.t.Error("edge was told a memo") }

func (n *node) End(ref link.Ref, condition string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.conns[ref]; c != nil {
		delete(n.conns, ref)
		c.mu.Lock()
		if c.ref == ref {
			c.node, c.ended = nil, condition
		}
		c.mu.Unlock()
	}
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

var _ io.Writer = testLog{}
