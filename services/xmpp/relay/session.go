package relay

import (
	"fmt"
	"math"
	"slices"
	"time"

	"parley/services/xmpp/link"
)

// session is what is known of a session that this node has, or mirrors. The
// relay's lock guards it.
type session struct {
	// Session is as a new leader would be told. Its Queue begins behind what
	// is settled, not behind what is delivered: see forget.
	link.Session
	// sent are the stanzas that are not confirmed.
	sent []sent
	// delivered is the last delivery that the peer has.
	delivered uint64
	// settled is up to where deliveries have been given up, once since is
	// long ago.
	settled uint64
	since   time.Time
	// told is the number of the lane's call by which the leader knows of them.
	told uint64

	// detached is when it was.
	detached time.Time
	// orphan: its node was the leader and is lost. gen tells the newer of
	// two mirrors of it; 0 is the node's own.
	orphan bool
	gen    uint64
	// moved is when another connection took the session, zero not.
	moved time.Time
}

// kept is the gen of a session that the leader itself has left to its node: no
// mirror's copy is newer.
const kept = math.MaxUint64

// sent is a stanza on its way.
type sent struct {
	seq   uint64
	bytes []byte
}

// newSession takes over a state that a leader or relay has told. The queue is
// copied, its bytes are shared.
func newSession(s link.Session, now time.Time) *session {
	s.Queue = slices.Clone(s.Queue)
	delivered := s.Last - min(s.Last, uint64(len(s.Queue)))
	return &session{Session: s, delivered: delivered, settled: delivered, since: now}
}

// state is a copy of the state for a leader or mirror.
func (s *session) state() *link.Session {
	c := s.Session
	c.Queue = slices.Clone(s.Queue)
	return &c
}

// deliver notes a delivery; they come without a gap.
func (s *session) deliver(d link.Delivery) error {
	if d.N != s.Last+1 {
		return fmt.Errorf("session %s: delivery %d follows %d", s.Ref.ID, d.N, s.Last)
	}
	s.Last = d.N
	s.Queue = append(s.Queue, d)
	return nil
}

// confirm notes that the leader is done with stanzas up to seq, and says
// whether that is news.
func (s *session) confirm(seq uint64) bool {
	if seq <= s.Confirmed {
		return false
	}
	s.Confirmed = seq
	n := 0
	for n < len(s.sent) && s.sent[n].seq <= seq {
		n++
	}
	clear(s.sent[:n])
	if s.sent = s.sent[n:]; len(s.sent) == 0 {
		s.sent = nil
	}
	return true
}

// index is where in the queue delivery n is, or would be; the numbers have no
// gap.
func (s *session) index(n uint64) int {
	first := s.Last - uint64(len(s.Queue)) + 1
	return int(min(max(n, first), s.Last+1) - first)
}

// acknowledge notes that the peer has deliveries up to n. Their bytes are let
// go at once, their numbers not yet.
func (s *session) acknowledge(n uint64) bool {
	n = min(n, s.Last)
	if n <= s.delivered {
		return false
	}
	for i := s.index(s.delivered + 1); i < s.index(n+1); i++ {
		s.Queue[i].Bytes = nil
	}
	s.delivered = n
	return true
}

// forget lets go of deliveries that the leader has been told of long ago:
// before, it may not have removed them from the log, and a new leader that did
// not know them for delivered would deliver them again. So they stay in Queue,
// which a new leader is told, and then that they are delivered. A call is not
// heard because it was made: the connection may be cut and not know it. So the
// time begins when the leader has taken it; calls are those that were made, took
// those that it took.
func (s *session) forget(now time.Time, retain time.Duration, calls, took uint64) {
	if s.told > took {
		s.since = now
		return
	}
	if now.Sub(s.since) < retain {
		return
	}
	n := s.index(s.settled + 1)
	if n > 0 {
		s.Queue = s.Queue[n:]
		if len(s.Queue) == 0 {
			s.Queue = nil
		} else if cap(s.Queue) > 64 && len(s.Queue) < cap(s.Queue)/4 {
			s.Queue = slices.Clone(s.Queue)
		}
	}
	s.settled, s.since, s.told = s.delivered, now, calls
}

// unsettled says that a new leader has to be told what is delivered.
func (s *session) unsettled() bool { return len(s.Queue) > 0 && s.Queue[0].N <= s.delivered }

// keep is how long the session waits for its peer, 0 not at all.
func (s *session) keep() time.Duration { return link.Keep(s.Kind, s.Enabled, s.Enable) }
