package edge

import (
	"sync"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

// outbound is the queue to the peer; session.mu guards it.
type outbound struct {
	// out waits to be written; items are those in it to be reported once it
	// is, where the peer does not acknowledge itself.
	out   []byte
	items []link.Item
	// writing says that a goroutine is at it, with inFlight bytes.
	writing  bool
	inFlight int
}

// A buffer begins with newBuffer bytes, and is kept for the next who writes
// while it has no more than keepBuffer.
const (
	newBuffer  = 4 << 10
	keepBuffer = 64 << 10
)

var outBuffers = sync.Pool{New: func() any { b := make([]byte, 0, newBuffer); return &b }}

// deliver queues a stanza. A peer that takes less than it is sent is cut off:
// what was not delivered to it is kept by the leader.
func (s *session) deliver(d link.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.broken {
		return
	}
	s.room()
	s.out = d.Stanza.Append(s.out, stanza.NSClient)
	switch {
	case s.acks != nil:
		s.acks.unacked = append(s.acks.unacked, d.Item)
	case d.Item != 0:
		s.items = append(s.items, d.Item)
	}
	limits := &s.peer.edge.limits
	if len(s.out)+s.inFlight > limits.Queue || s.acks != nil && len(s.acks.unacked) > limits.Unacked {
		s.peer.edge.log.Info("session cut off: it does not take what it is sent", "jid", s.jid.String(), "queued", len(s.out)+s.inFlight)
		s.fail()
		return
	}
	s.kick()
}

// room gives an empty queue a buffer. The caller holds mu.
func (s *session) room() {
	if s.out == nil {
		s.out = (*outBuffers.Get().(*[]byte))[:0]
	}
}

// kick starts writing what is queued. The caller holds mu.
func (s *session) kick() {
	if s.writing || !s.open || s.broken || len(s.out) == 0 {
		return
	}
	s.writing = true
	go s.write()
}

// write empties the queue. What gathers while one write is under way goes with
// the next.
func (s *session) write() {
	s.mu.Lock()
	for !s.broken && len(s.out) > 0 {
		if s.acks != nil && s.acks.wanting() && !s.closing {
			s.ask()
		}
		out, items := s.out, s.items
		s.out, s.items, s.inFlight = nil, nil, len(out)
		if !s.closing {
			s.peer.conn.SetWriteDeadline(time.Now().Add(s.peer.edge.limits.Write))
		}
		s.mu.Unlock()
		_, err := s.peer.conn.Write(out)
		if n := cap(out); n >= newBuffer && n <= keepBuffer {
			out = out[:0]
			outBuffers.Put(&out)
		}
		if err == nil {
			s.delivered(items)
		}
		s.mu.Lock()
		s.inFlight = 0
		if err != nil {
			s.fail()
		}
	}
	s.writing = false
	s.change.Broadcast()
	s.mu.Unlock()
}

// delivered reports items. The caller does not hold mu.
func (s *session) delivered(items []link.Item) {
	if len(items) == 0 {
		return
	}
	s.order.Lock()
	defer s.order.Unlock()
	s.peer.edge.deps.Leader.Delivered(s.id, items)
}

// fail gives the connection up. The caller holds mu.
func (s *session) fail() {
	if s.broken {
		return
	}
	s.broken = true
	s.out, s.items = nil, nil
	// Ends a Read and a Write that are under way; run closes.
	s.peer.wire.SetDeadline(time.Now())
	s.change.Broadcast()
}

// flush waits until all is written, or cannot be, and says which. Nobody is
// writing after it, unless something is queued anew.
func (s *session) flush() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.writing {
		s.change.Wait()
	}
	return !s.broken
}
