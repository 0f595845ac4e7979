package edge

import (
	"strconv"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// acks are the acknowledgements of XEP-0198 on a session; session.mu guards
// them.
//
// The invariant of the whole product: the h that we send counts a stanza only
// once the leader has confirmed it, which it does when what had to be durable
// is on a majority of disks. A client may forget what h covers; we never say it
// of anything that one node's end could undo. handledCount is the one place
// where h is made.
type acks struct {
	// in and out are the numbers of the last stanza sent and of the last
	// delivery before acknowledgements were enabled; they are not counted.
	in, out uint64
	// keep is how long the leader keeps the session for its client; 0 is
	// not at all.
	keep time.Duration
	// told is the number of the last stanza that was counted to the peer.
	told uint64
	// asked are the peer's unanswered <r/>: for each, the number of the
	// last stanza before it. timer bounds their wait.
	asked []uint64
	timer *time.Timer

	// acked is the number of the last delivery that the peer has, lastItem
	// of the last that is durable.
	acked, lastItem uint64
	// asking says that an <r/> of ours is unanswered.
	asking bool
}

// wanting says whether the peer is to be asked what it has. The caller holds mu.
func (s *session) wanting() bool {
	a := s.acks
	return !a.asking && (a.lastItem > a.acked || s.last-a.acked >= 64)
}

// handleSM takes an element of XEP-0198.
func (s *session) handleSM(e *stanza.Element) error {
	switch e.Name.Local {
	case "enable":
		return s.enable(e)
	case "resume":
		return s.reply(smFailed(stanza.UnexpectedRequest))
	case "failed":
		return nil
	}
	s.mu.Lock()
	enabled := s.acks != nil
	s.mu.Unlock()
	switch {
	case !enabled:
		return &stream.Error{Condition: stream.UnsupportedStanzaType, Text: "acknowledgements are not enabled"}
	case e.Name.Local == "r":
		s.askedForAck()
		return nil
	case e.Name.Local == "a":
		return s.acknowledged(e)
	}
	return &stream.Error{Condition: stream.UnsupportedStanzaType}
}

// enable starts counting, and has the leader keep the session where that is
// asked for.
func (s *session) enable(e *stanza.Element) error {
	s.mu.Lock()
	if s.acks != nil {
		s.mu.Unlock()
		return s.reply(smFailed(stanza.UnexpectedRequest))
	}
	s.mu.Unlock()
	var keep time.Duration
	if s.kind == link.Client {
		keep = keepOf(e)
	}
	answer := s.enabled(keep)
	s.order.Lock()
	s.mu.Lock()
	// From here on what is queued counts, and <enabled/> stands before it.
	s.acks = &acks{in: s.sent, out: s.last, acked: s.last, keep: keep}
	enable := link.Enable{In: s.sent, Out: s.last, Keep: keep}
	s.queue(answer)
	s.mu.Unlock()
	s.peer.edge.deps.Leader.Enable(s.ref, enable)
	s.order.Unlock()
	s.report()
	return nil
}

// reply queues an element that is no stanza and is not counted.
func (s *session) reply(e *stanza.Element) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue(e)
	return nil
}

// queue is reply for callers that hold mu.
func (s *session) queue(e *stanza.Element) {
	if s.closing || s.broken {
		return
	}
	s.room()
	s.out = e.Append(s.out, stanza.NSClient)
	s.kick()
}

// handledCount is the h of our <a/>, modulo 2^32: confirmed stanzas only. The
// caller holds mu.
func (s *session) handledCount() uint32 {
	if s.confirmed < s.acks.in {
		return 0
	}
	return uint32(s.confirmed - s.acks.in)
}

// confirm is the leader's word that it is done with the stanzas up to seq.
func (s *session) confirm(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Of what another connection has sent before this one resumed, the
	// leader may be done with more than has come again.
	if seq = min(seq, s.sent); seq <= s.confirmed {
		return
	}
	s.confirmed = seq
	s.change.Signal()
	a := s.acks
	if a == nil {
		return
	}
	n := 0
	for n < len(a.asked) && a.asked[n] <= seq {
		n++
	}
	for range n {
		s.sendAck()
	}
	if a.asked = a.asked[n:]; len(a.asked) == 0 {
		a.asked = nil
		s.stopAckTimer()
	}
}

// askedForAck takes an <r/>. It is answered once all that came before it is
// confirmed, so that a client which asks after each message hears of that
// message; or after a time, with what is confirmed by then, and once more when
// the rest is. An <r/> that follows another at once has the same answer. A
// component asks for a sign of life: it has one at once, and so without a
// leader.
func (s *session) askedForAck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.acks
	if s.confirmed == s.sent || s.kind == link.Component {
		s.sendAck()
	}
	if s.confirmed == s.sent {
		return
	}
	if n := len(a.asked); n > 0 && a.asked[n-1] == s.sent {
		return
	}
	a.asked = append(a.asked, s.sent)
	if a.timer == nil {
		a.timer = time.AfterFunc(s.peer.edge.limits.Ack, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(a.asked) > 0 {
				s.sendAck()
			}
			a.timer = nil
		})
	}
}

// sendAck queues our <a/>. The caller holds mu.
func (s *session) sendAck() {
	s.acks.told = s.confirmed
	s.queue(stanza.New(stanza.NSSM, "a", "h", strconv.FormatUint(uint64(s.handledCount()), 10)))
}

func (s *session) stopAckTimer() {
	if s.acks != nil && s.acks.timer != nil {
		s.acks.timer.Stop()
		s.acks.timer = nil
	}
}

// lastAck gives a peer that closes its stream the count of all that it has
// sent, for which it is worth waiting a moment.
func (s *session) lastAck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.acks == nil {
		return
	}
	late := false
	t := time.AfterFunc(s.peer.edge.limits.Close, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.change.Broadcast()
	})
	defer t.Stop()
	for s.confirmed < s.sent && !late && !s.closing && !s.broken {
		s.change.Wait()
	}
	s.sendAck()
}

// ask queues our <r/>. The caller holds mu.
func (s *session) ask() {
	s.room()
	s.acks.asking = true
	s.out = append(s.out, "<r xmlns='"+stanza.NSSM+"'/>"...)
}

// expectsAck says that the peer owes us an <a/>.
func (s *session) expectsAck() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acks != nil && s.acks.asking
}

// acknowledged takes the peer's <a/>: what it has is delivered.
func (s *session) acknowledged(e *stanza.Element) error {
	n, err := strconv.ParseUint(e.Attr("h"), 10, 32)
	if err != nil {
		return &stream.Error{Condition: stream.BadFormat, Text: "an <a/> without a count"}
	}
	s.mu.Lock()
	a := s.acks
	a.asking = false
	count := uint64(uint32(n) - uint32(a.acked-a.out))
	if count > s.last-a.acked {
		sent := uint32(s.last - a.out)
		s.mu.Unlock()
		return tooHigh("h", strconv.FormatUint(n, 10), "send-count", strconv.FormatUint(uint64(sent), 10))
	}
	a.acked += count
	s.done = max(s.done, a.acked)
	// Not after an <a/> that brought nothing, which would go on for ever.
	if count > 0 && s.wanting() && !s.closing && !s.broken {
		s.ask()
		s.kick()
	}
	s.mu.Unlock()
	s.report()
	return nil
}
