package router

import (
	"slices"

	"parley/services/xmpp/link"
)

// cable is one connection of a node to the leader.
type cable struct {
	node *node
	cut  bool
}

// copied is a relay's copy of a session.
type copied struct {
	link.Session
	// sent stanzas are not confirmed; they are of number Confirmed+1 on.
	sent []string
	// delivered is what the peer has. The Queue begins before it.
	delivered uint64
	device    *device
	// left: the client has gone from the connection, unnoticed.
	left bool
	// kept: the leader has handed it over; what its lost node has sent may yet
	// be confirmed.
	kept bool
}

// live says that what is told to the node's edge comes to the client.
func (c *copied) live() bool { return !c.Detached && !c.left }

func (w *cable) take(ref link.Ref, f func(*copied)) {
	w.node.fleet.mu.Lock()
	defer w.node.fleet.mu.Unlock()
	if c := w.node.copies[ref.ID]; !w.cut && c != nil && c.Ref == ref {
		f(c)
	}
}

func (w *cable) Deliver(ref link.Ref, d link.Delivery) {
	n := w.node
	n.fleet.mu.Lock()
	defer n.fleet.mu.Unlock()
	switch c := n.copies[ref.ID]; {
	case w.cut:
	case c != nil && c.Ref == ref:
		c.deliver(d)
	default:
		n.early[ref] = append(n.early[ref], d)
	}
}

func (c *copied) deliver(d link.Delivery) {
	if d.N != c.Last+1 {
		c.device.fleet.t.Errorf("%s: delivery %d after %d", c.JID, d.N, c.Last)
	}
	c.Last = d.N
	c.Queue = append(c.Queue, d)
	if c.live() {
		c.device.take(d)
	}
}

func (w *cable) Confirm(ref link.Ref, seq uint64) {
	w.take(ref, func(c *copied) {
		if c.kept {
			c.Confirmed = max(c.Confirmed, seq)
			return
		}
		if seq > c.Confirmed+uint64(len(c.sent)) {
			w.node.fleet.t.Errorf("%s: confirmed %d of %d", c.JID, seq, c.Confirmed+uint64(len(c.sent)))
			return
		}
		if seq > c.Confirmed {
			c.sent = c.sent[seq-c.Confirmed:]
			c.Confirmed = seq
			if c.live() {
				c.device.confirm(seq)
			}
		}
	})
}

func (w *cable) Keep(s link.Session) {
	fl := w.node.fleet
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if w.cut {
		return
	}
	for _, d := range fl.devices {
		if d.ref.ID == s.Ref.ID {
			w.node.copies[s.Ref.ID] = &copied{Session: s, delivered: s.Last - uint64(len(s.Queue)), device: d, kept: true}
		}
	}
}

func (w *cable) Memo(ref link.Ref, memo []byte) { w.take(ref, func(c *copied) { c.Memo = memo }) }

func (w *cable) End(ref link.Ref, condition string) {
	w.take(ref, func(c *copied) {
		delete(w.node.copies, ref.ID)
		w.node.fleet.t.Logf("%s ended at %d: %s, live %v", c.device.name, slices.Index(w.node.fleet.nodes, w.node), condition, c.live())
		if c.live() {
			c.device.node, c.device.ended = nil, condition
		}
	})
}
