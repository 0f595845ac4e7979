package router

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/store"
)

// fleet is some nodes with their relays, under one leader after another, and
// devices whose clients have XEP-0198 and resume.
type fleet struct {
	t     testing.TB
	store *store.Store
	f     *faulty
	r     *Router
	stop  func()

	// mu guards the nodes and devices; the router's goroutine takes it.
	mu      sync.Mutex
	nodes   []*node
	devices []*device
	// home is the leader's own node.
	home *node
}

// node is one node's relay: what it knows of its sessions.
type node struct {
	fleet  *fleet
	wire   *cable
	copies map[link.SessionID]*copied
	// early are deliveries of a session whose Resume is not answered yet.
	early map[link.Ref][]link.Delivery
}

func newFleet(t testing.TB, nodes int, accounts ...string) *fleet {
	w := newWorld(t, accounts...)
	fl := &fleet{t: t, store: w.store, f: &faulty{Store: w.store}}
	for range nodes {
		fl.nodes = append(fl.nodes, &node{fleet: fl, copies: map[link.SessionID]*copied{}, early: map[link.Ref][]link.Delivery{}})
	}
	t.Cleanup(func() {
		if fl.stop != nil {
			fl.stop()
		}
	})
	fl.elect(fl.nodes[0])
	fl.settle(nil)
	return fl
}

// keeper is who is left the sessions of a node that is lost.
func (fl *fleet) keeper(lost *node) link.Keeper {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.home == lost || fl.home.wire == nil {
		return nil
	}
	return fl.home.wire
}

// elect replaces the leader by one at home. No node has attached yet.
func (fl *fleet) elect(home *node) {
	if fl.stop != nil {
		fl.stop()
	}
	fl.mu.Lock()
	for _, n := range fl.nodes {
		if n.wire != nil {
			n.wire.cut = true
		}
		n.wire = nil
	}
	r := New(Config{Domain: domain}, Deps{Store: fl.f, Log: slog.New(slog.DiscardHandler)})
	fl.r, fl.home = r, home
	fl.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	fl.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			fl.t.Error(err)
		}
	})
}

// settle has all nodes attach, in the order of rnd, and settles.
func (fl *fleet) settle(rnd *rand.Rand) {
	order := slices.Clone(fl.nodes)
	if rnd != nil {
		rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	for _, n := range order {
		n.attach()
	}
	fl.r.Settled()
}

func (fl *fleet) sync() {
	fl.t.Helper()
	if _, err := fl.r.Connected(context.Background()); err != nil {
		fl.t.Fatal(err)
	}
}

// attach connects a node with the leader and announces its sessions.
func (n *node) attach() {
	fl := n.fleet
	fl.mu.Lock()
	defer fl.mu.Unlock()
	n.wire = &cable{node: n}
	copies := slices.Collect(func(yield func(*copied) bool) {
		for _, c := range n.copies {
			if !yield(c) {
				return
			}
		}
	})
	for _, c := range copies {
		s := c.Session
		s.Queue = slices.Clone(c.Queue)
		s.Detached = c.Detached && len(c.sent) == 0
		fl.r.Attach(s, n.wire)
		fl.r.Delivered(c.Ref, c.delivered)
	}
	for _, c := range copies {
		for i, xml := range c.sent {
			fl.r.Send(c.Ref, c.Confirmed+1+uint64(i), parse(fl.t, xml))
		}
		if c.Detached && len(c.sent) > 0 {
			fl.r.Detach(c.Ref)
		}
	}
}

// up is the leader for a node that is connected to it. The caller holds mu.
func (n *node) up(f func(*Router)) {
	if n.wire != nil && !n.wire.cut {
		f(n.fleet.r)
	}
}

// cut breaks a node's connection to the leader.
func (n *node) cut(told bool) {
	n.fleet.mu.Lock()
	w := n.wire
	w.cut = true
	n.fleet.mu.Unlock()
	if told {
		n.fleet.r.Lost(w, n.fleet.keeper(n))
	}
}

// kill ends a node. Its sessions are only where they were mirrored: at another
// node, or nowhere.
// What the mirror lags behind, it does not know of.
func (n *node) kill(mirror *node, lag uint64) {
	fl := n.fleet
	fl.mu.Lock()
	defer fl.mu.Unlock()
	n.wire.cut = true
	for id, c := range n.copies {
		if c.device.node == n {
			c.device.node = nil
		}
		if mirror != nil {
			if own := mirror.copies[id]; own != nil && own.Ref.Epoch >= c.Ref.Epoch {
				continue
			}
			c.Detached = true
			for c.Last > c.delivered && lag > 0 && len(c.Queue) > 0 {
				d := c.Queue[len(c.Queue)-1]
				c.Queue = c.Queue[:len(c.Queue)-1]
				if c.Ref == c.device.ref {
					c.device.lacking = append(c.device.lacking, string(d.Bytes))
				}
				c.Last, lag = c.Last-1, lag-1
			}
			mirror.copies[id] = c
		}
	}
	clear(n.copies)
}

// trace is shown where a history fails.
func (fl *fleet) trace(step, choice int) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	var b strings.Builder
	for _, d := range fl.devices {
		fmt.Fprintf(&b, " %s epoch %d h %d at %d;", d.name, d.ref.Epoch, d.h, slices.Index(fl.nodes, d.node))
	}
	for i, n := range fl.nodes {
		fmt.Fprintf(&b, " node %d:", i)
		for _, c := range n.copies {
			fmt.Fprintf(&b, " %s/%d last %d detached %v;", c.device.name, c.Ref.Epoch, c.Last, c.Detached)
		}
	}
	fl.t.Logf("step %d choice %d:%s", step, choice, b.String())
}

// finish reconnects all devices and lets them take what there is.
func (fl *fleet) finish(accounts ...string) {
	fl.t.Helper()
	for _, d := range fl.devices {
		if d.node == nil {
			d.comeBack(fl.nodes[0])
		}
	}
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		fl.sync()
		left := 0
		for _, d := range fl.devices {
			d.acknowledge()
			fl.mu.Lock()
			left += len(d.unacked)
			fl.mu.Unlock()
		}
		for _, a := range accounts {
			n, err := fl.store.Pending(a)
			if err != nil {
				fl.t.Fatal(err)
			}
			left += n
		}
		if left == 0 {
			break
		}
		if time.Since(begin) > time.Minute {
			fl.t.Errorf("%d messages are not confirmed or wait", left)
			break
		}
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	lost, total := 0, 0
	for _, s := range fl.devices {
		for _, id := range s.confirmed {
			got := false
			for _, d := range fl.devices {
				got = got || d.seen[id] > 0
			}
			total++
			if !got && !strings.HasPrefix(id, "x") {
				lost++
			}
		}
	}
	if lost > 0 {
		fl.t.Errorf("%d of %d confirmed messages are lost", lost, total)
	}
}
