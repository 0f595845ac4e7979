package relay

import (
	"context"
	"fmt"
	"time"

	"parley/services/xmpp/link"
)

// conflict is the condition by which a session ends that another has replaced,
// or another connection taken.
const conflict = "conflict"

// lane is the way to the one leader that there is for this relay at a time.
// The relay's lock guards it.
type lane struct {
	term uint64
	id   string
	// own: the leader is on this node.
	own bool
	// instance of the leader's relay.
	instance uint64
	// up hands a call on without waiting.
	up func(*message)
	// calls counts them, and took those that the leader is known to have
	// taken.
	calls, took uint64
	// lost is closed when the lane is not the relay's any more.
	lost chan struct{}
}

// stays says that the lane is not ended by news of a leadership.
func (l *lane) stays(n *Leadership) bool {
	if l.own || n.Local != nil {
		return false
	}
	return n.ID == "" && n.Addr == "" || n.ID == l.id && n.Term == l.term
}

func (l *lane) call(m message) {
	l.calls++
	l.up(&m)
}

// parting is a session after its last call, kept until a leader has had that
// for long enough to have acted on it.
type parting struct {
	*session
	// lane was given the call as its number at; nil none.
	lane *lane
	at   uint64
	// passed is when the leader took it, zero not yet.
	passed time.Time
}

// join makes l the relay's lane and tells its leader all that there is: the
// state of each session is final, as no other leader is heard any more. It
// returns false where another leads by now. The caller holds mu.
func (r *Relay) join(l *lane, lead *Leadership) bool {
	if r.stopped || !lead.is(&r.lead) || r.lane != nil {
		return false
	}
	now := time.Now()
	l.lost = make(chan struct{})
	r.lane, r.since = l, now
	close(r.joined)
	r.joined = make(chan struct{})
	clear(r.early)
	if r.held.instance != l.instance {
		r.adopt(now)
	}
	for id, s := range r.moved {
		if r.sessions[id] == nil && now.Sub(s.moved) <= r.cfg.Retain {
			l.call(message{kind: kAttach, session: s.state(), n: s.gen, m: 1})
		}
	}
	for _, p := range r.parting {
		l.attach(p.session, true)
	}
	for _, detached := range []bool{true, false} {
		for _, s := range r.sessions {
			if s.Detached == detached {
				l.attach(s, detached)
				s.since, s.settled, s.told = now, s.delivered, l.calls
			}
		}
	}
	l.call(message{kind: kAttachEnd})
	for _, p := range r.parting {
		l.repeat(p.session)
		l.call(message{kind: kClose, ref: p.Ref})
		p.lane, p.at, p.passed = l, l.calls, time.Time{}
	}
	for _, s := range r.sessions {
		l.repeat(s)
		if s.Detached && len(s.sent) > 0 {
			l.call(message{kind: kDetach, ref: s.Ref})
		}
	}
	if l.own {
		r.choose(now)
	}
	for _, a := range r.asks {
		r.put(a)
	}
	return true
}

// attach announces a session. One that has parted, or whose connection has
// gone, is announced with it where there is something to send again, which
// only a connection can.
func (l *lane) attach(s *session, gone bool) {
	state := s.state()
	state.Detached = gone && len(s.sent) == 0
	l.call(message{kind: kAttach, session: state, n: s.gen})
	if s.unsettled() {
		l.call(message{kind: kDelivered, ref: s.Ref, n: s.delivered})
	}
}

// repeat sends again what is not confirmed.
func (l *lane) repeat(s *session) {
	for _, v := range s.sent {
		l.call(message{kind: kSend, ref: s.Ref, n: v.seq, bytes: v.bytes})
	}
}

// loseLane has the caller hold mu.
func (r *Relay) loseLane(l *lane) {
	if r.lane != l {
		return
	}
	r.lane, r.since = nil, time.Now()
	clear(r.early)
	if l.own {
		r.backup.drop()
	}
	close(l.lost)
}

// leadHere serves this node's sessions while it leads itself.
func (r *Relay) leadHere(ctx context.Context, lead Leadership, g *reign, changed <-chan struct{}) {
	settled := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(settled)
		g.settle(ctx)
	}()
	defer func() {
		cancel()
		<-settled
	}()
	for backoff := 10 * time.Millisecond; ctx.Err() == nil; backoff = min(2*backoff, time.Second) {
		l := &lane{term: lead.Term, id: lead.ID, own: true, instance: r.instance}
		d := newDesk(g, 0, func(m message) { r.hear(l, m) }, func() {
			r.mu.Lock()
			g.own = true
			r.mu.Unlock()
			g.tell()
		})
		l.up = func(m *message) { d.put(*m) }
		r.mu.Lock()
		ok := r.join(l, &lead)
		g.desk = d
		r.mu.Unlock()
		if !ok {
			return
		}
		done := make(chan struct{})
		r.work.Go(func() {
			defer close(done)
			if err := d.run(l.lost); err != nil {
				r.log.Error("own sessions are attached anew", "err", err)
			}
			r.mu.Lock()
			r.loseLane(l)
			r.mu.Unlock()
		})
		select {
		case <-l.lost:
		case <-ctx.Done():
		}
		r.mu.Lock()
		r.loseLane(l)
		r.mu.Unlock()
		select {
		case <-changed:
			// The desk is not waited for: a leader that ends may hold its
			// last call a little longer.
			return
		case <-done:
		case <-ctx.Done():
			return
		}
		select {
		case <-changed:
			return
		case <-time.After(backoff):
		case <-ctx.Done():
		}
	}
}

// hear takes what the lane's leader says, or its relay. The error is a fault
// for which the lane has to be given up.
func (r *Relay) hear(l *lane, m message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lane != l {
		return nil
	}
	err := r.heed(&m)
	if err != nil && l.own {
		r.log.Error("leader of this node is at fault", "err", err)
		r.loseLane(l)
	}
	return err
}

// heed has the caller hold mu; the message is of the current leader.
func (r *Relay) heed(m *message) error {
	if m.kind&mirrored != 0 {
		return r.held.take(m, time.Now())
	}
	switch m.kind {
	case kOpened, kResumed:
		if r.lane.own && m.session != nil {
			return r.gate(m)
		}
		return r.answered(m)
	case kPassed:
		r.lane.took = m.n
		for _, p := range r.parting {
			if p.lane == r.lane && p.at <= m.n && p.passed.IsZero() {
				p.passed = time.Now()
			}
		}
	case kDrop:
		r.drop(m.ref)
	case kRevive:
		r.revive(m.ref)
	case kKeep:
		r.keep(m.session)
	case kMirrorBegin, kMirrorWhole, kMirrorDrop, kMirrorBeat:
		r.held.mark(m, r.lane.instance, time.Now())
	case kDeliver, kConfirm, kMemo, kEnd:
		if r.awaits(m.ref) {
			r.early[m.ref.ID] = append(r.early[m.ref.ID], *m)
			return nil
		}
		if r.lane.own {
			return r.gate(m)
		}
		return r.apply(m)
	default:
		return fmt.Errorf("kind %d is not for a follower: %w", m.kind, errFrame)
	}
	return nil
}

// awaits says that a call for ref may be for a session whose answer has not
// come yet.
func (r *Relay) awaits(ref link.Ref) bool {
	if len(r.asks) == 0 {
		return false
	}
	if s := r.sessions[ref.ID]; s != nil && s.Ref.Epoch >= ref.Epoch {
		return false
	}
	for _, a := range r.asks {
		if a.m.ref.ID == ref.ID {
			return true
		}
	}
	return false
}

// apply notes one of the leader's calls and hands it to the edge: the two are
// one, so what a new leader is told is what the edge knows. The caller holds mu.
func (r *Relay) apply(m *message) error {
	s := r.sessions[m.ref.ID]
	if s != nil && s.Ref != m.ref {
		s = nil
	}
	switch {
	case m.kind == kResumed:
		return r.answered(m)
	case m.kind == kEnd:
		if s != nil {
			delete(r.sessions, m.ref.ID)
			if m.text == conflict && s.keep() > 0 {
				s.Detached, s.moved, s.sent = true, time.Now(), nil
				r.moved[m.ref.ID] = s
			}
		}
		if p := r.parting[m.ref.ID]; p != nil && p.Ref == m.ref {
			delete(r.parting, m.ref.ID)
		}
		r.deps.Edge.End(m.ref, m.text)
	case s == nil:
		if p := r.parting[m.ref.ID]; p != nil && p.Ref == m.ref && m.kind == kConfirm {
			p.confirm(m.n)
		}
	case m.kind == kDeliver:
		if err := s.deliver(m.delivery()); err != nil {
			return err
		}
		if !s.Detached {
			r.deps.Edge.Deliver(m.ref, m.delivery())
		}
	case m.kind == kConfirm:
		if s.confirm(m.n) && !s.Detached {
			r.deps.Edge.Confirm(m.ref, m.n)
		}
	case m.kind == kMemo:
		s.Memo = m.bytes
	}
	return nil
}

// drop lets go of a session that another node has. The caller holds mu.
func (r *Relay) drop(ref link.Ref) {
	s := r.sessions[ref.ID]
	if s == nil || s.Ref != ref {
		return
	}
	delete(r.sessions, ref.ID)
	r.record(message{kind: kClose, ref: ref})
	if !s.Detached {
		r.deps.Edge.End(ref, conflict)
	}
}

// revive takes back a session that has not moved after all. The caller holds
// mu.
func (r *Relay) revive(ref link.Ref) {
	if s := r.moved[ref.ID]; s != nil && s.Ref == ref {
		delete(r.moved, ref.ID)
		s.moved, s.detached = time.Time{}, time.Now()
		r.sessions[ref.ID] = s
		r.record(message{kind: kAttach, session: s.state()})
		if s.unsettled() {
			r.record(message{kind: kDelivered, ref: ref, n: s.delivered})
		}
	}
}

// keep takes in a session of a node that the leader has lost. The caller holds
// mu.
func (r *Relay) keep(state *link.Session) {
	s := newSession(*state, time.Now())
	s.detached, s.gen = s.since, kept
	r.sessions[s.Ref.ID] = s
	r.record(message{kind: kAttach, session: s.state()})
}

// part ends a session by its last call. The caller holds mu.
func (r *Relay) part(s *session, m message) {
	delete(r.sessions, s.Ref.ID)
	r.record(message{kind: kClose, ref: s.Ref})
	p := &parting{session: s}
	r.parting[s.Ref.ID] = p
	if r.lane != nil {
		r.lane.call(m)
		p.lane, p.at = r.lane, r.lane.calls
	}
}
