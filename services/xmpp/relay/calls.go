package relay

import (
	"context"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

// ask is a question, put to each leader until one answers.
type ask struct {
	m message
	// lane has it; tries counts those that had.
	lane  *lane
	tries int
	err   error
	// session is the answer, whole once done is closed.
	session link.Session
	done    chan struct{}
	// again is signalled when the answer was that it has to be put again.
	again chan struct{}
}

// againAfter is when.
const againAfter = 100 * time.Millisecond

// Open implements link.Leader. e must be the edge of this node. It waits for
// a leader while there is none.
func (r *Relay) Open(ctx context.Context, o link.Open, _ link.Edge) (jid.JID, error) {
	s, err := r.ask(ctx, message{kind: kOpen, ref: o.Ref, what: o.Kind, jid: o.JID, text: o.Resource})
	return s.JID, err
}

// Resume implements link.Leader; what is said of Open holds for it.
func (r *Relay) Resume(ctx context.Context, q link.Resume, _ link.Edge) (link.Session, error) {
	return r.ask(ctx, message{kind: kResume, ref: link.Ref{ID: q.ID}, jid: q.Account, m: uint64(q.H)})
}

func (r *Relay) ask(ctx context.Context, m message) (link.Session, error) {
	a := &ask{m: m, done: make(chan struct{}), again: make(chan struct{}, 1)}
	r.mu.Lock()
	r.asked++
	a.m.n = r.asked
	r.asks[a.m.n] = a
	if r.lane != nil {
		r.put(a)
	}
	r.mu.Unlock()
	for {
		select {
		case <-a.done:
			return a.session, a.err
		case <-a.again:
			sleep(ctx, againAfter)
			r.mu.Lock()
			if r.lane != nil && r.asks[a.m.n] == a && a.lane != r.lane {
				r.put(a)
			}
			r.mu.Unlock()
			continue
		case <-ctx.Done():
		case <-r.stop:
		}
		break
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-a.done:
		return a.session, a.err
	default:
	}
	r.unask(a)
	switch {
	case r.lane == nil:
		return link.Session{}, link.ErrNoLeader
	case a.lane == r.lane:
		r.lane.call(message{kind: kCancel, n: a.m.n})
	}
	if a.err != nil {
		return link.Session{}, a.err
	}
	return link.Session{}, ctx.Err()
}

// put hands a question to the lane. Another lane may have had it, and its
// leader may be the same one: what it has opened then is taken back. The
// caller holds mu.
func (r *Relay) put(a *ask) {
	if a.tries++; a.tries > 1 && a.m.kind == kOpen {
		r.lane.call(message{kind: kClose, ref: a.m.ref})
	}
	a.lane = r.lane
	r.lane.call(a.m)
}

// unask has the caller hold mu.
func (r *Relay) unask(a *ask) {
	delete(r.asks, a.m.n)
	for _, b := range r.asks {
		if b.m.ref.ID == a.m.ref.ID {
			return
		}
	}
	delete(r.early, a.m.ref.ID)
}

// answered takes the answer to a question. The caller holds mu.
func (r *Relay) answered(m *message) error {
	a := r.asks[m.n]
	err := m.fault.err(m.text)
	if a != nil && (a.m.kind == kOpen) != (m.kind == kOpened) || err == nil && m.kind == kResumed && m.session == nil {
		return errFrame
	}
	if err != nil {
		switch {
		case a == nil:
		case m.fault == faultOther:
			a.err, a.lane = err, nil
			select {
			case a.again <- struct{}{}:
			default:
			}
		default:
			a.err = err
			r.unask(a)
			close(a.done)
		}
		return nil
	}
	state := link.Session{Ref: m.ref, JID: m.jid}
	switch {
	case m.kind == kResumed:
		state = *m.session
		state.Detached = false
	case a != nil:
		state.Kind = a.m.what
	}
	now := time.Now()
	if a == nil {
		// Nobody waits any more.
		if m.kind == kOpened {
			r.lane.call(message{kind: kClose, ref: m.ref})
			return nil
		}
		r.detach(r.add(state, now))
		return nil
	}
	s := r.add(state, now)
	if m.kind == kOpened {
		r.record(message{kind: kAttach, session: s.state()})
	}
	a.session, a.err = state, nil
	early := r.early[state.Ref.ID]
	delete(r.early, state.Ref.ID)
	r.unask(a)
	close(a.done)
	for i := range early {
		if err := r.heed(&early[i]); err != nil {
			return err
		}
	}
	return nil
}

// add has the caller hold mu, and record it.
func (r *Relay) add(state link.Session, now time.Time) *session {
	s := newSession(state, now)
	r.sessions[state.Ref.ID] = s
	return s
}

// of returns the session of ref, or nil. The caller holds mu.
func (r *Relay) of(ref link.Ref) *session {
	if s := r.sessions[ref.ID]; s != nil && s.Ref == ref && !s.Detached {
		return s
	}
	return nil
}

// call hands on a call of the edge. The caller holds mu.
func (r *Relay) call(m message) {
	if r.lane != nil {
		r.lane.call(m)
	}
}

// Enable implements link.Leader.
func (r *Relay) Enable(ref link.Ref, en link.Enable) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.of(ref); s != nil {
		s.Enabled, s.Enable = true, en
		m := message{kind: kEnable, ref: ref, enable: en}
		r.call(m)
		r.record(m)
	}
}

// Send implements link.Leader. It never waits: what is under way of a session
// is bounded by the edge's window.
func (r *Relay) Send(ref link.Ref, seq uint64, e *stanza.Element) {
	// The bytes are for the next leader as well: the element is not ours any
	// more once a leader has it.
	b := e.Append(make([]byte, 0, 512), stanza.NSClient)
	if cap(b) > 2*len(b) {
		b = append(make([]byte, 0, len(b)), b...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.of(ref)
	if s == nil || seq <= s.Confirmed {
		return
	}
	s.sent = append(s.sent, sent{seq, b})
	if r.lane == nil {
		return
	}
	m := message{kind: kSend, ref: ref, n: seq, bytes: b}
	if r.lane.own {
		m.stanza = e
	}
	r.lane.call(m)
}

// Delivered implements link.Leader.
func (r *Relay) Delivered(ref link.Ref, n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.of(ref); s != nil && s.acknowledge(n) {
		m := message{kind: kDelivered, ref: ref, n: n}
		r.call(m)
		if r.lane != nil {
			s.forget(time.Now(), r.cfg.Retain, r.lane.calls, r.lane.took)
		}
		r.record(m)
	}
}

// Detach implements link.Leader.
func (r *Relay) Detach(ref link.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.of(ref); s != nil {
		r.detach(s)
	}
}

// detach has the caller hold mu.
func (r *Relay) detach(s *session) {
	m := message{kind: kDetach, ref: s.Ref}
	if s.keep() == 0 {
		r.part(s, m)
		return
	}
	s.Detached, s.detached = true, time.Now()
	r.call(m)
	r.record(m)
}

// Close implements link.Leader.
func (r *Relay) Close(ref link.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.of(ref); s != nil {
		r.part(s, message{kind: kClose, ref: ref})
	}
}
