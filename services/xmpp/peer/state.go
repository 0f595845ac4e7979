package peer

import (
	"context"
	"time"
)

// Member is a node to ping.
type Member struct {
	ID, Addr string
}

// State is what is known of a member. The Hello is the newest, so its Address is
// where the member is now; the zero value's ID is "".
type State struct {
	Hello
	// Reachable: it answers pings. Since is when that last changed.
	Reachable bool
	Since     time.Time
	// Refused: a connection to it was closed and dialing again was refused, so
	// its process is gone. It is false again when the member is heard of.
	Refused bool
	// Leniency is how many times as long as usual the member may be silent, as
	// answers of it were late: 1, 2 or 4, and 0 before the first.
	Leniency int
	// RTT of the last ping, and how far the member's clock is ahead by the last
	// that was answered promptly.
	RTT, Clock time.Duration
	// Stranger is the ID of another node that answers at the member's address,
	// "" where none does, and StrangerCluster is what that one is a member of.
	Stranger, StrangerCluster string
	// Err is why it was not reached the last time, nil while reachable.
	Err error
}

// SetMembers says which nodes to ping, without this one. What is known of the ones
// that stay is kept.
func (n *Net) SetMembers(members []Member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	stay := make(map[string]bool)
	for _, want := range members {
		stay[want.ID] = true
		m, ok := n.members[want.ID]
		if !ok {
			m = &member{net: n, id: want.ID, log: n.log.With("peer", want.ID), nudge: make(chan struct{}, 1)}
			m.state.Since = time.Now()
			m.addr = want.Addr
			n.members[want.ID] = m
			n.start(m)
			n.announce()
		}
		if m.addr != want.Addr {
			m.dropSpares()
			m.addr = want.Addr
			m.poke()
			n.announce()
		}
	}
	for id, m := range n.members {
		if !stay[id] {
			delete(n.members, id)
			m.dropSpares()
			if m.cancel != nil {
				m.cancel()
			}
			n.announce()
		}
	}
}

// start has Run watch m. n.mu is held.
func (n *Net) start(m *member) {
	if n.ctx == nil || n.closed {
		return
	}
	ctx, cancel := context.WithCancel(n.ctx)
	m.cancel = cancel
	n.wg.Go(func() {
		defer cancel()
		m.watch(ctx)
	})
}

// Peers returns the state of each member by ID.
func (n *Net) Peers() map[string]State {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make(map[string]State, len(n.members))
	for id, m := range n.members {
		all[id] = m.state
	}
	return all
}

// Changed is closed at the next change of Peers that is more than the next ping's
// numbers: of members, reachability, addresses, leader, version.
func (n *Net) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

// announce closes Changed. n.mu is held.
func (n *Net) announce() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// Hears is when a member was last heard of: an answer, a ping of its own, or any
// connection or call by it. Zero is never.
func (n *Net) Hears(id string) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	if m, ok := n.members[id]; ok {
		return m.heard
	}
	return time.Time{}
}

// expect is the ID of the member at addr, "" where there is none or more.
func (n *Net) expect(addr string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var id string
	for _, m := range n.members {
		if m.addr == addr || m.state.Address == addr {
			if id != "" {
				return ""
			}
			id = m.id
		}
	}
	return id
}

// hear takes what came in from a node on a connection that began at since.
func (n *Net) hear(h Hello, since time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m, ok := n.members[h.ID]
	if !ok {
		return
	}
	// Pings that come while none is answered must not drive the pace of dialing.
	news := time.Since(m.heard) > n.cfg.Silence
	m.heard = time.Now()
	changed := m.take(h)
	// What a dead process had still sent does not bring it back.
	if m.state.Refused && since.After(m.refusedAt) {
		m.state.Refused = false
		news, changed = true, true
	}
	if news && !m.state.Reachable {
		m.poke()
	}
	if changed {
		n.announce()
	}
}
