package relay

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/services/xmpp/link"
)

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

var _ io.Writer = testLog{}
