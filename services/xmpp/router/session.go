package router

import (
	"crypto/rand"
	"encoding/hex"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

// Limits of sessions.
const (
	// maxSessions of one account.
	maxSessions = 64
	// maxDirected addresses that a session has sent presence to.
	maxDirected = 1024
)

// session is a connected resource or component.
type session struct {
	id   link.SessionID
	kind link.Kind
	// jid is the full JID, or the component's domain.
	jid  jid.JID
	edge link.Edge
	// user is nil for a component.
	user *user
	// presence is the last one that was broadcast, nil while the resource
	// is not available.
	presence *stanza.Element
	priority int
	// interested resources get roster pushes (RFC 6121 §2.2).
	interested bool
	// directed are those that got presence without a subscription.
	directed map[jid.JID]struct{}

	// seq is the last stanza that is done, if marked one to confirm.
	seq    uint64
	marked bool

	window
}

// user is an account with sessions, or with items on their way.
type user struct {
	name string
	// sessions are few.
	sessions []*session
	// items that are in the hands of a session, or acknowledged but not yet
	// removed from the store. No other session may be given them.
	items map[link.Item]*handed
	// held counts those of items that are in the store.
	held int
}

func (s *session) deliver(e *stanza.Element) {
	s.edge.Deliver(s.id, link.Delivery{Stanza: e})
}

// resource returns the session of that resource, or nil.
func (u *user) resource(name string) *session {
	for _, s := range u.sessions {
		if s.jid.Resource() == name {
			return s
		}
	}
	return nil
}

// top returns the available resources of the highest priority, none if that is
// negative (RFC 6121 §8.5.2.1.1).
func (u *user) top() []*session {
	var top []*session
	for _, s := range u.sessions {
		switch {
		case s.presence == nil || s.priority < 0:
		case len(top) == 0 || s.priority > top[0].priority:
			top = append(top[:0], s)
		case s.priority == top[0].priority:
			top = append(top, s)
		}
	}
	return top
}

// userOf returns the user of a local part, nil where none of its resources is
// connected.
func (r *Router) userOf(name string) *user {
	if u := r.users[name]; u != nil && len(u.sessions) > 0 {
		return u
	}
	return nil
}

// user returns the user of a local part, making it where there is none.
func (r *Router) user(name string) *user {
	u := r.users[name]
	if u == nil {
		u = &user{name: name, items: map[link.Item]*handed{}}
		r.users[name] = u
	}
	return u
}

// open binds a session.
func (r *Router) open(o *opening) {
	if !o.taken.CompareAndSwap(false, true) {
		return
	}
	defer close(o.done)
	s := &session{id: o.ID, kind: o.Kind, jid: o.JID, edge: o.edge, directed: map[jid.JID]struct{}{}}
	if o.Kind == link.Component {
		o.err = r.openComponent(s)
	} else {
		o.err = r.openClient(s, o.Resource)
	}
	if o.err == nil {
		r.sessions[s.id] = s
		o.jid = s.jid
	}
}

func (r *Router) openComponent(s *session) error {
	name, ok := r.componentName(s.jid.Domain())
	if !ok || s.jid.Local() != "" {
		return &link.Refusal{Condition: stanza.NotAuthorized}
	}
	if _, ok, err := r.store.CallBridge(name); err != nil {
		return err
	} else if !ok {
		return &link.Refusal{Condition: stanza.NotAuthorized}
	}
	if old := r.components[s.jid.Domain()]; old != nil {
		r.end(old, "conflict")
	}
	s.jid = s.jid.Bare()
	r.components[s.jid.Domain()] = s
	return nil
}

func (r *Router) openClient(s *session, resource string) error {
	name := s.jid.Local()
	if s.jid.Domain() != r.domain || !r.store.Account(name) {
		return &link.Refusal{Condition: stanza.NotAuthorized}
	}
	if resource == "" {
		b := make([]byte, 8)
		rand.Read(b)
		resource = hex.EncodeToString(b)
	}
	bare := s.jid.Bare()
	var err error
	if s.jid, err = bare.WithResource(resource); err != nil {
		return &link.Refusal{Condition: stanza.BadRequest}
	}
	if u := r.users[name]; u != nil {
		if old := u.resource(s.jid.Resource()); old != nil {
			r.end(old, "conflict")
		} else if len(u.sessions) >= maxSessions {
			return &link.Refusal{Condition: stanza.ResourceConstraint}
		}
	}
	u := r.user(name)
	s.user = u
	s.window = newWindow()
	u.sessions = append(u.sessions, s)
	return nil
}

// end closes a session from our side.
func (r *Router) end(s *session, condition string) {
	if r.sessions[s.id] != s {
		return
	}
	r.leave(s)
	s.edge.End(s.id, condition)
}

// leave forgets a session: it becomes unavailable, and what it was given and
// has not acknowledged goes to others or waits.
func (r *Router) leave(s *session) {
	delete(r.sessions, s.id)
	delete(r.hungry, s)
	if s.kind == link.Component {
		if r.components[s.jid.Domain()] == s {
			delete(r.components, s.jid.Domain())
		}
		return
	}
	r.unavailable(s, nil)
	u := s.user
	for i, other := range u.sessions {
		if other == s {
			u.sessions = append(u.sessions[:i:i], u.sessions[i+1:]...)
			break
		}
	}
	r.release(s)
	r.reconsider(u)
	r.forget(u)
}

// forget drops a user of whom nothing is left.
func (r *Router) forget(u *user) {
	if len(u.sessions) == 0 && len(u.items) == 0 && r.users[u.name] == u {
		delete(r.users, u.name)
	}
}
