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
	// base is the number of stanzas that came before acknowledgements were
	// enabled, by the count of countAll.
	base uint64
	// locals are the stanzas that the edge answered itself: for each, the
	// number of the leader's stanza before it. They count in their order,
	// when that one is confirmed; localsDone have.
	locals     []uint64
	localsDone uint64
	// asked are the peer's unanswered <r/>: for each, the number of the
	// leader's last stanza before it. timer bounds their wait.
	asked []uint64
	timer *time.Timer

	// unacked are the stanzas sent since enabled and not yet acknowledged,
	// 0 for those that nobody keeps; acked is the last h that came.
	unacked []link.Item
	acked   uint32
	// asking says that an <r/> of ours is unanswered.
	asking bool
}

// wanting says whether the peer is to be asked what it has.
func (a *acks) wanting() bool {
	if a.asking {
		return false
	}
	for _, item := range a.unacked {
		if item != 0 {
			return true
		}
	}
	return len(a.unacked) >= 64
}

// handleSM takes an element of XEP-0198.
func (s *session) handleSM(e *stanza.Element) error {
	switch e.Name.Local {
	case "enable":
		return s.enable(e)
	case "resume":
		return s.reply(smFailed(e))
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

// smFailed refuses to enable or to resume (XEP-0198 §3, §5).
func smFailed(e *stanza.Element) *stanza.Element {
	condition := "unexpected-request"
	if e.Name.Local == "resume" {
		condition = string(stanza.ItemNotFound)
	}
	return stanza.New(stanza.NSSM, "failed").Add(stanza.New(stanza.NSStanzas, condition))
}

// enable starts counting. Resumption is not granted, whether or not it is
// asked for: <enabled/> has no id.
func (s *session) enable(e *stanza.Element) error {
	s.mu.Lock()
	if s.acks != nil {
		s.mu.Unlock()
		return s.reply(smFailed(e))
	}
	// From here on what is queued counts, and <enabled/> stands before it.
	// What the edge answered itself until now is of no account: base starts
	// at the leader's numbers.
	s.acks = &acks{base: s.sent}
	s.queue(stanza.New(stanza.NSSM, "enabled"))
	s.mu.Unlock()
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

// handled counts a stanza that the edge has answered itself.
func (s *session) handled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.acks; a != nil {
		if a.locals = append(a.locals, s.sent); s.confirmed == s.sent {
			a.confirmLocals(s.confirmed)
		}
	}
}

func (a *acks) confirmLocals(confirmed uint64) {
	n := 0
	for n < len(a.locals) && a.locals[n] <= confirmed {
		n++
	}
	a.localsDone += uint64(n)
	if a.locals = a.locals[n:]; len(a.locals) == 0 {
		a.locals = nil
	}
}

// handledCount is the h of our <a/>, modulo 2^32: confirmed stanzas only. The
// caller holds mu.
func (s *session) handledCount() uint32 {
	if s.confirmed < s.acks.base {
		return 0
	}
	return uint32(s.confirmed - s.acks.base + s.acks.localsDone)
}

// confirm is the leader's word that it is done with the stanzas up to seq.
func (s *session) confirm(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq <= s.confirmed || seq > s.sent {
		return
	}
	s.confirmed = seq
	s.change.Signal()
	a := s.acks
	if a == nil {
		return
	}
	a.confirmLocals(seq)
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
// the rest is. An <r/> that follows another at once has the same answer.
func (s *session) askedForAck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.acks
	if s.confirmed == s.sent {
		s.sendAck()
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
	h := uint32(n)
	s.mu.Lock()
	a := s.acks
	a.asking = false
	count := h - a.acked
	if uint64(count) > uint64(len(a.unacked)) {
		sent := a.acked + uint32(len(a.unacked))
		s.mu.Unlock()
		return &stream.Error{Condition: stream.UndefinedCondition, Text: "more acknowledged than was sent",
			Specific: stanza.New(stanza.NSSM, "handled-count-too-high",
				"h", strconv.FormatUint(n, 10), "send-count", strconv.FormatUint(uint64(sent), 10))}
	}
	var items []link.Item
	for _, item := range a.unacked[:count] {
		if item != 0 {
			items = append(items, item)
		}
	}
	a.acked = h
	if a.unacked = a.unacked[count:]; len(a.unacked) == 0 {
		a.unacked = nil
	}
	// Not after an <a/> that brought nothing, which would go on for ever.
	if count > 0 && a.wanting() && !s.closing && !s.broken {
		s.ask()
		s.kick()
	}
	s.mu.Unlock()
	s.delivered(items)
	return nil
}
