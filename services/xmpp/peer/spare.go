package peer

import (
	"context"
	"slices"
	"time"
)

// kindSpare is a connection that is ready before it is known what for: the
// opening proper follows. A new leader needs several at once, to each node, and
// their handshakes would take as long as its election.
const kindSpare = "spare"

// spares are how many are kept to each member: for a vote, which becomes the way
// of Raft's entries, for its heartbeats, and for a follower's sessions.
const spares = 3

// stock has a spare made to each member that lacks one.
func (n *Net) stock() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range n.members {
		m.spares = slices.DeleteFunc(m.spares, func(c *conn) bool {
			if _, open := n.conns[c]; open && c.quiet() {
				return false
			}
			delete(n.conns, c)
			c.NetConn().Close()
			return true
		})
		if !m.state.Reachable || m.stocking || len(m.spares) >= spares || n.ctx == nil || n.closed {
			continue
		}
		m.stocking = true
		addr, ctx := m.addr, n.ctx
		n.wg.Go(func() { m.makeSpares(ctx, addr) })
	}
}

// makeSpares fills the member's stock as long as that works.
func (m *member) makeSpares(ctx context.Context, addr string) {
	for more := true; more; {
		c, err := m.net.dial(ctx, addr, kindSpare, m.id)
		m.net.mu.Lock()
		fits := err == nil && m.net.members[m.id] == m && m.addr == addr && m.state.Reachable
		if fits {
			m.spares = append(m.spares, c)
		}
		more = fits && len(m.spares) < spares
		m.stocking = more
		m.net.mu.Unlock()
		if err == nil && !fits {
			c.Close()
		}
	}
}

// dropSpares gives up a member's: what a broken network has swallowed on them
// would only cost time. n.mu is held.
func (m *member) dropSpares() {
	for _, c := range m.spares {
		delete(m.net.conns, c)
		c.NetConn().Close()
	}
	m.spares = nil
}

// takeSpare returns a connection to the member at addr that was alive when last
// heard of, nil where there is none.
func (n *Net) takeSpare(addr string, id Identity) *conn {
	for {
		c := n.popSpare(addr)
		if c == nil || c.quiet() && id.check(c.chain, true, c.since) == nil {
			return c
		}
		c.abort()
	}
}

func (n *Net) popSpare(addr string) *conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range n.members {
		for m.addr == addr && m.state.Reachable && !m.doubted && len(m.spares) > 0 {
			c := m.spares[len(m.spares)-1]
			m.spares = m.spares[:len(m.spares)-1]
			if _, open := n.conns[c]; open {
				return c
			}
		}
	}
	return nil
}

// dialReady is dial for what must not wait for a handshake.
func (n *Net) dialReady(ctx context.Context, addr, kind string) (*conn, error) {
	to := n.expect(addr)
	id, err := n.deps.Identity()
	if err == nil {
		for c := n.takeSpare(addr, id); c != nil; c = n.takeSpare(addr, id) {
			n.forget(c)
			talking, cancel := context.WithTimeout(ctx, n.cfg.Wait)
			ready, err := n.begin(talking, c.Conn, addr, kind, to, id)
			cancel()
			if err == nil {
				return ready, nil
			}
			c.NetConn().Close()
			if !closedByPeer(err) {
				return nil, err
			}
		}
	}
	return n.dial(ctx, addr, kind, to)
}

// serveSpare waits until the other side knows what c is for.
func (n *Net) serveSpare(_ context.Context, c *conn) {
	c.SetDeadline(time.Time{})
	var o opening
	if readFrame(c, maxOpening, &o) != nil || o.Kind == kindSpare {
		c.Close()
		return
	}
	c.SetDeadline(time.Now().Add(n.cfg.Wait))
	id, err := n.deps.Identity()
	if err == nil {
		err = id.check(c.chain, false, c.since)
	}
	n.forget(c)
	if err == nil {
		err = n.admit(c.Conn, id, o)
	}
	if err != nil {
		c.NetConn().Close()
	}
}
