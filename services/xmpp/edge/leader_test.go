package edge

import (
	"context"
	"sync"
	"testing"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

// fakeLeader is the in-memory twin of the leader.
type fakeLeader struct {
	mu       sync.Mutex
	sessions map[link.SessionID]*fakeSession
	order    []link.SessionID
	change   chan struct{}

	// confirm has every stanza confirmed at once.
	confirm bool
	// onOpen and onSend, where not nil, are called without mu.
	onOpen func(link.Open, link.Edge) error
	onSend func(s *fakeSession, seq uint64, e *stanza.Element)
}

type fakeSession struct {
	id        link.SessionID
	edge      link.Edge
	open      link.Open
	jid       jid.JID
	sent      []*stanza.Element
	delivered []link.Item
	closed    bool
	closedAt  time.Time
}

func newLeader() *fakeLeader {
	return &fakeLeader{sessions: make(map[link.SessionID]*fakeSession), change: make(chan struct{}), confirm: true}
}

// changed wakes waitFor; the caller holds mu.
func (l *fakeLeader) changed() { close(l.change); l.change = make(chan struct{}) }

func (l *fakeLeader) Open(_ context.Context, o link.Open, e link.Edge) (jid.JID, error) {
	if l.onOpen != nil {
		if err := l.onOpen(o, e); err != nil {
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
	l.sessions[o.ID] = &fakeSession{id: o.ID, edge: e, open: o, jid: full}
	l.order = append(l.order, o.ID)
	l.changed()
	return full, nil
}

func (l *fakeLeader) Send(id link.SessionID, seq uint64, e *stanza.Element) {
	l.mu.Lock()
	s := l.sessions[id]
	s.sent = append(s.sent, e)
	if uint64(len(s.sent)) != seq || s.closed {
		panic("Send out of order")
	}
	confirm := l.confirm
	l.changed()
	l.mu.Unlock()
	if confirm {
		s.edge.Confirm(id, seq)
	}
	if l.onSend != nil {
		l.onSend(s, seq, e)
	}
}

func (l *fakeLeader) Delivered(id link.SessionID, items []link.Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sessions[id]
	if s.closed {
		panic("Delivered after Close")
	}
	s.delivered = append(s.delivered, items...)
	l.changed()
}

func (l *fakeLeader) Close(id link.SessionID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.sessions[id]; s.closed {
		panic("closed twice")
	} else {
		s.closed, s.closedAt = true, time.Now()
	}
	l.changed()
}

// waitFor waits until a condition of the leader's state holds.
func (l *fakeLeader) waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
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
