package edge

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

// fakeLeader is the in-memory twin of the leader. It panics where an edge does
// what the contract forbids.
type fakeLeader struct {
	mu       sync.Mutex
	sessions map[link.SessionID]*fakeSession
	order    []link.SessionID
	change   chan struct{}

	// confirm has every stanza confirmed at once.
	confirm bool
	// The others, where not nil, are called without mu: onOpen before there
	// is a session, opened and resumed before its Open or Resume returns.
	onOpen   func(context.Context, link.Open) error
	opened   func(*fakeSession)
	onResume func(context.Context, link.Resume) error
	resumed  func(*fakeSession)
	onSend   func(s *fakeSession, seq uint64, e *stanza.Element)
}

// fakeSession is a session as the leader has it.
type fakeSession struct {
	ref  link.Ref
	edge link.Edge
	open link.Open
	jid  jid.JID
	// sent are the stanzas by number, repeated counts those that came again.
	sent      []*stanza.Element
	repeated  int
	confirmed uint64

	enabled bool
	enable  link.Enable
	// queue are the deliveries that the peer does not have, up to last.
	queue           []link.Delivery
	last, delivered uint64

	detached, closed bool
	closedAt         time.Time
}

func newLeader() *fakeLeader {
	return &fakeLeader{sessions: make(map[link.SessionID]*fakeSession), change: make(chan struct{}), confirm: true}
}

// changed wakes waitFor; the caller holds mu.
func (l *fakeLeader) changed() { close(l.change); l.change = make(chan struct{}) }

func (l *fakeLeader) Open(ctx context.Context, o link.Open, e link.Edge) (jid.JID, error) {
	if l.onOpen != nil {
		if err := l.onOpen(ctx, o); err != nil {
			return jid.JID{}, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	full := o.JID
	if o.Kind == link.Client {
		resource := o.Resource
		if resource == "" {
			resource = "generated"
		}
		var err error
		if full, err = o.JID.WithResource(resource); err != nil {
			return full, &link.Refusal{Condition: stanza.BadRequest}
		}
	}
	s := &fakeSession{ref: o.Ref, edge: e, open: o, jid: full}
	l.sessions[o.Ref.ID] = s
	l.order = append(l.order, o.Ref.ID)
	l.changed()
	if l.opened != nil {
		l.mu.Unlock()
		l.opened(s)
		l.mu.Lock()
	}
	return full, nil
}

// of returns the session of a current ref, or nil for one that has been
// resumed; the caller holds mu.
func (l *fakeLeader) of(ref link.Ref) *fakeSession {
	s := l.sessions[ref.ID]
	if s == nil && ref.Epoch == 0 {
		return nil
	}
	if s == nil || ref.Epoch > s.ref.Epoch {
		panic("a call for a session that never was")
	}
	if ref != s.ref {
		return nil
	}
	if s.closed || s.detached {
		panic(fmt.Sprintf("a call after the last: closed %v, detached %v", s.closed, s.detached))
	}
	return s
}

func (l *fakeLeader) Enable(ref link.Ref, en link.Enable) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.of(ref); s != nil {
		if s.enabled || en.In != uint64(len(s.sent)) || en.Out > s.last {
			panic("wrong Enable")
		}
		s.enabled, s.enable = true, en
		l.changed()
	}
}

func (l *fakeLeader) Resume(ctx context.Context, r link.Resume, e link.Edge) (link.Session, error) {
	if l.onResume != nil {
		if err := l.onResume(ctx, r); err != nil {
			return link.Session{}, err
		}
	}
	l.mu.Lock()
	s := l.sessions[r.ID]
	if s == nil || s.closed || s.enable.Keep == 0 || s.jid.Bare() != r.Account {
		l.mu.Unlock()
		return link.Session{}, link.ErrNoSession
	}
	acked := s.last - uint64(len(s.queue))
	count := uint64(r.H - uint32(acked-s.enable.Out))
	if count > uint64(len(s.queue)) {
		l.mu.Unlock()
		return link.Session{}, link.ErrCount
	}
	s.queue = s.queue[count:]
	s.delivered = max(s.delivered, acked+count)
	old, oldEdge, detached := s.ref, s.edge, s.detached
	s.ref.Epoch++
	s.edge, s.detached = e, false
	state := link.Session{Ref: s.ref, JID: s.jid, Enabled: s.enabled, Enable: s.enable, Confirmed: s.confirmed, Last: s.last,
		Queue: append([]link.Delivery(nil), s.queue...)}
	l.changed()
	l.mu.Unlock()
	if !detached {
		oldEdge.End(old, "conflict")
	}
	if l.resumed != nil {
		l.resumed(s)
	}
	return state, nil
}

func (l *fakeLeader) Send(ref link.Ref, seq uint64, e *stanza.Element) {
	l.mu.Lock()
	s := l.of(ref)
	if s == nil {
		l.mu.Unlock()
		return
	}
	switch n := uint64(len(s.sent)); {
	case seq == n+1:
		s.sent = append(s.sent, e)
	case seq <= n && seq > s.confirmed && e.String() == s.sent[seq-1].String():
		s.repeated++
	default:
		panic(fmt.Sprintf("Send of %d after %d: %s", seq, n, e))
	}
	confirm := l.confirm
	l.changed()
	l.mu.Unlock()
	if confirm {
		l.confirmTo(s, seq)
	}
	if l.onSend != nil {
		l.onSend(s, seq, e)
	}
}

func (l *fakeLeader) Delivered(ref link.Ref, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.of(ref)
	if s == nil {
		return
	}
	if n <= s.delivered || n > s.last {
		panic(fmt.Sprintf("Delivered %d after %d of %d", n, s.delivered, s.last))
	}
	s.queue = s.queue[n-s.delivered:]
	s.delivered = n
	l.changed()
}

func (l *fakeLeader) Detach(ref link.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.of(ref); s != nil {
		if link.Keep(s.open.Kind, true, s.enable) == 0 {
			panic("Detach of what is not waited for")
		}
		s.detached, s.closedAt = true, time.Now()
		l.changed()
	}
}

func (l *fakeLeader) Close(ref link.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.of(ref); s != nil {
		s.closed, s.closedAt = true, time.Now()
		l.changed()
	}
}

// deliver sends a stanza to a session.
func (l *fakeLeader) deliver(s *fakeSession, e *stanza.Element, item link.Item) {
	l.mu.Lock()
	s.last++
	d := link.Delivery{N: s.last, Item: item, Bytes: e.Append(nil, stanza.NSClient)}
	s.queue = append(s.queue, d)
	edge, ref := s.edge, s.ref
	l.mu.Unlock()
	edge.Deliver(ref, d)
}

// confirmTo confirms a session's stanzas up to seq.
func (l *fakeLeader) confirmTo(s *fakeSession, seq uint64) {
	l.mu.Lock()
	s.confirmed = max(s.confirmed, seq)
	edge, ref := s.edge, s.ref
	l.mu.Unlock()
	edge.Confirm(ref, seq)
}

// end ends a session.
func (l *fakeLeader) end(s *fakeSession, condition string) {
	l.mu.Lock()
	edge, ref := s.edge, s.ref
	l.mu.Unlock()
	edge.End(ref, condition)
}

// waitFor waits until a condition of the leader's state holds.
func (l *fakeLeader) waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		l.mu.Lock()
		done, change := ok(), l.change
		l.mu.Unlock()
		if done {
			return
		}
		select {
		case <-change:
		case <-deadline:
			t.Fatalf("the leader did not see %s", what)
		}
	}
}

// session returns the nth session that was opened, once it is.
func (l *fakeLeader) session(t testing.TB, n int) *fakeSession {
	t.Helper()
	var s *fakeSession
	l.waitFor(t, "a session", func() bool {
		if len(l.order) > n {
			s = l.sessions[l.order[n]]
		}
		return s != nil
	})
	return s
}
