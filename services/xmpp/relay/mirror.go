package relay

import (
	"slices"
	"time"

	"parley/services/xmpp/link"
)

// backup is the leader's half of the mirror: another node's relay has a copy
// of this node's sessions, and what the leader says to them reaches the edge
// once the copy has it.
type backup struct {
	// to is the node that has the copy; nil none, and then nothing waits.
	to *served
	// gen counts the choices; count the records since the last one, whole
	// those that were the state at the time.
	gen, count, whole uint64
	// synced says that to has the whole.
	synced  bool
	pending []pending
	// timer is for the first pending call, and for the next beat.
	timer *time.Timer
	beat  time.Time
}

// pending is a call that waits for the record count to be acknowledged.
type pending struct {
	message
	count uint64
	at    time.Time
}

func newBackup() backup {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return backup{timer: t}
}

// drop ends mirroring; what waits was said by a leader that is none any more.
func (b *backup) drop() {
	b.to, b.pending, b.synced = nil, nil, false
	b.timer.Stop()
}

// record passes on what changes of one of this node's sessions. The caller
// holds mu, as for all below.
func (r *Relay) record(m message) {
	if r.backup.to != nil {
		m.kind |= mirrored
		r.backup.count++
		r.backup.to.out.add(&m)
	}
}

// recordOf is the record of a call that waits. A session that is resumed here
// waits too: once its client knows, the old connection's state is worth
// nothing.
func recordOf(m *message) message {
	if m.kind == kResumed {
		s := *m.session
		s.Detached = false
		return message{kind: kAttach, session: &s}
	}
	return *m
}

// gate has one of the leader's calls wait until the copy has it.
func (r *Relay) gate(m *message) error {
	b := &r.backup
	if b.to == nil {
		return r.apply(m)
	}
	r.record(recordOf(m))
	b.pending = append(b.pending, pending{*m, b.count, time.Now()})
	return nil
}

// choose takes one of the nodes that are attached for the mirror and sends it
// all there is. With none left, what waits goes on.
func (r *Relay) choose(now time.Time) {
	b := &r.backup
	b.to, b.synced = nil, false
	if r.reign == nil || r.lane == nil || !r.lane.own {
		b.drop()
		return
	}
	for addr, s := range r.reign.links {
		if s.attached && !s.slow && !s.gone && (b.to == nil || addr < b.to.from) {
			b.to = s
		}
	}
	if b.to == nil {
		b.timer.Stop()
		r.release(b.count)
		return
	}
	b.gen++
	b.count = 0
	out := b.to.out
	put := func(m message) {
		b.count++
		m.kind |= mirrored
		out.addAnyway(&m)
	}
	out.addAnyway(&message{kind: kMirrorBegin, n: b.gen})
	r.beat(now)
	for _, s := range r.sessions {
		put(message{kind: kAttach, session: s.state()})
		if s.unsettled() {
			put(message{kind: kDelivered, ref: s.Ref, n: s.delivered})
		}
	}
	out.addAnyway(&message{kind: kMirrorWhole})
	b.whole = b.count
	for i := range b.pending {
		p := &b.pending[i]
		put(recordOf(&p.message))
		p.count, p.at = b.count, now
	}
	r.log.Debug("mirror chosen", "node", b.to.from, "sessions", len(r.sessions))
}

// release hands on what waits up to a record.
func (r *Relay) release(count uint64) {
	b := &r.backup
	n := 0
	for ; n < len(b.pending) && b.pending[n].count <= count; n++ {
		m := b.pending[n].message
		if err := r.apply(&m); err != nil {
			r.log.Error("leader of this node is at fault", "err", err)
			r.loseLane(r.lane)
			return
		}
	}
	clear(b.pending[:n])
	if b.pending = b.pending[n:]; len(b.pending) == 0 {
		b.pending = nil
	}
}

// acknowledged takes the word of a node for what it has got.
func (r *Relay) acknowledged(s *served, gen, count uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &r.backup
	if b.to != s {
		if s.slow && gen == s.gen && count >= s.count {
			s.slow = false
			if b.to == nil {
				r.choose(time.Now())
			}
		}
		return
	}
	if gen != b.gen || count > b.count {
		return
	}
	if !b.synced && count >= b.whole {
		b.synced = true
		for _, o := range r.reign.links {
			if o != s {
				o.out.add(&message{kind: kMirrorDrop})
			}
		}
	}
	r.release(count)
}

// beats are how often in a MirrorWait the mirror is told that it is in use, and
// how late.
const beats = 5

func (r *Relay) beat(now time.Time) {
	b := &r.backup
	b.beat = now.Add(r.cfg.MirrorWait / beats)
	b.timer.Reset(r.cfg.MirrorWait / beats)
	b.to.out.add(&message{kind: kMirrorBeat, n: uint64(now.Sub(r.made))})
}

// mirrorDue gives up a mirror that is late, for another or for none: one slow
// node must not hold up the clients of this one.
func (r *Relay) mirrorDue(now time.Time) {
	b := &r.backup
	if b.to == nil {
		return
	}
	if len(b.pending) > 0 && now.Sub(b.pending[0].at) >= r.cfg.MirrorWait {
		s := b.to
		r.log.Warn("mirror is slow", "node", s.from)
		s.slow, s.gen, s.count = true, b.gen, b.count
		s.out.add(&message{kind: kMirrorDrop})
		r.choose(now)
		return
	}
	if !now.Before(b.beat) {
		r.beat(now)
	}
}

// held is the follower's half: the copy of the leader's sessions.
type held struct {
	// instance of the relay whose sessions they are.
	instance uint64
	sessions map[link.SessionID]*session
	// next is the copy that is not whole yet, nil none.
	next       map[link.SessionID]*session
	gen, count uint64
	// on says that there is something to acknowledge.
	on bool
	// sent is the leader's time of the last beat, offset the least by which
	// ours was ahead of it.
	sent, offset time.Duration
}

// mark takes what is said of the copy as a whole.
func (h *held) mark(m *message, instance uint64, now time.Time) {
	switch m.kind {
	case kMirrorBegin:
		h.next = map[link.SessionID]*session{}
		h.gen, h.count, h.on = m.n, 0, true
		h.sent, h.offset = 0, 0
	case kMirrorWhole:
		h.instance, h.sessions, h.next = instance, h.next, nil
	case kMirrorDrop:
		h.sessions, h.next = nil, nil
	case kMirrorBeat:
		h.sent = time.Duration(m.n)
		if d := time.Duration(now.UnixNano()) - h.sent; h.offset == 0 || d < h.offset {
			h.offset = d
		}
	}
}

// age is how long ago the leader wrote the last that came of it, a little
// less at most. With no beats there is no telling.
func (h *held) age(now time.Time) time.Duration {
	return time.Duration(now.UnixNano()) - h.sent - h.offset
}

// take notes a record.
func (h *held) take(m *message, now time.Time) error {
	h.count++
	h.on = true
	sessions := h.sessions
	if h.next != nil {
		sessions = h.next
	}
	if sessions == nil {
		return nil
	}
	k := m.kind &^ mirrored
	if k == kAttach {
		if m.session == nil {
			return errFrame
		}
		s := newSession(*m.session, now)
		s.gen = h.gen
		sessions[s.Ref.ID] = s
		return nil
	}
	s := sessions[m.ref.ID]
	if s == nil || s.Ref != m.ref {
		return nil
	}
	switch k {
	case kDeliver:
		return s.deliver(m.delivery())
	case kConfirm:
		s.confirm(m.n)
	case kMemo:
		s.Memo = slices.Clone(m.bytes)
	case kEnable:
		s.Enabled, s.Enable = true, m.enable
	case kDelivered:
		s.acknowledge(m.n)
	case kDetach:
		s.Detached = true
	case kEnd, kClose:
		if k == kEnd && m.text == conflict && s.keep() > 0 {
			s.moved = now
			break
		}
		delete(sessions, m.ref.ID)
	default:
		return errFrame
	}
	return nil
}

// adopt takes the copy for this node's own, as its relay is another leader's
// from now on. The caller holds mu.
func (r *Relay) adopt(now time.Time) {
	for id, s := range r.held.sessions {
		if own := r.sessions[id]; own != nil && own.Ref.Epoch >= s.Ref.Epoch {
			continue
		}
		s.Detached, s.detached, s.orphan = true, now, true
		if s.moved.IsZero() {
			r.sessions[id] = s
		} else {
			r.moved[id] = s
		}
	}
	if n := len(r.held.sessions); n > 0 {
		r.log.Info("sessions of the lost leader taken over", "sessions", n)
	}
	r.held = held{}
}
