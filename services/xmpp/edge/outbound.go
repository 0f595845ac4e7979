package edge

import (
	"sync"
	"time"

	"parley/services/xmpp/link"
)

// outbound is the queue to the peer; session.mu guards it.
type outbound struct {
	// out waits to be written.
	out []byte
	// last is the number of the last delivery that was queued. done is that
	// of the last that the peer has, by its own word or, where it does not
	// acknowledge, since it was written; reported is what the leader was told
	// of it.
	last, done, reported uint64
	// writing says that a goroutine is at it, with inFlight bytes.
	writing  bool
	inFlight int
	// backlog are the bytes that a resumption sends again, allowed is the
	// last delivery of them. They do not count against the limits, or a
	// client that was long away would be cut off each time that it comes.
	backlog int
	allowed uint64
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
	s.traceOut(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.broken || d.N <= s.last {
		return
	}
	if d.N != s.last+1 {
		// Its count would be another than the peer's from here on.
		s.peer.edge.log.Error("session cut off: a delivery is missing", "jid", s.jid.String(), "last", s.last, "next", d.N)
		s.fail()
		return
	}
	s.last = d.N
	s.room()
	s.out = append(s.out, d.Bytes...)
	unacked := uint64(0)
	if a := s.acks; a != nil {
		if d.Item != 0 {
			a.lastItem = d.N
		}
		unacked = s.last - max(a.acked, s.allowed)
	}
	limits := &s.peer.edge.limits
	if queued := len(s.out) + s.inFlight; queued > limits.Queue+s.backlog || unacked > uint64(limits.Unacked) {
		s.peer.edge.log.Info("session cut off: it does not take what it is sent", "jid", s.jid.String(), "queued", queued, "unacknowledged", unacked)
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
		if s.acks != nil && s.wanting() && !s.closing {
			s.ask()
		}
		out, written := s.out, s.last
		if s.acks != nil {
			// The rest is for the peer to acknowledge.
			written = min(written, s.acks.out)
		}
		s.out, s.inFlight = nil, len(out)
		s.mu.Unlock()
		err := s.writeAll(out)
		if n := cap(out); n >= newBuffer && n <= keepBuffer {
			out = out[:0]
			outBuffers.Put(&out)
		}
		s.mu.Lock()
		s.inFlight = 0
		if err != nil {
			s.fail()
			break
		}
		if len(s.out) == 0 {
			s.backlog = 0
		}
		if written > s.done {
			s.done = written
			s.mu.Unlock()
			s.report()
			s.mu.Lock()
		}
	}
	s.writing = false
	s.change.Broadcast()
	s.mu.Unlock()
}

// writeAll writes b in pieces, so that the time for a write is one in which
// the peer takes next to nothing, and not one for as much as may be queued.
func (s *session) writeAll(b []byte) error {
	for len(b) > 0 {
		s.mu.Lock()
		if !s.closing && !s.broken {
			s.peer.conn.SetWriteDeadline(time.Now().Add(s.peer.edge.limits.Write))
		}
		s.mu.Unlock()
		n := min(len(b), piece)
		if _, err := s.peer.conn.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// piece is some TLS records.
const piece = 64 << 10

// report tells the leader what the peer has. It does not wait for another call
// to the leader, which may wait itself: whoever makes that reports after it. The
// caller holds neither mu nor order.
func (s *session) report() {
	for s.unreported() && s.order.TryLock() {
		s.reportNow()
		s.order.Unlock()
	}
}

func (s *session) unreported() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done > s.reported
}

// reportNow is report for those who hold order.
func (s *session) reportNow() {
	s.mu.Lock()
	n, told := s.done, s.reported
	s.reported = n
	s.mu.Unlock()
	if n > told {
		s.peer.edge.deps.Leader.Delivered(s.ref, n)
	}
}

// fail gives the connection up. The caller holds mu.
func (s *session) fail() {
	if s.broken {
		return
	}
	s.broken = true
	s.out = nil
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
