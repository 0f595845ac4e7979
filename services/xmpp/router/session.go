package router

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"time"

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

// session is a resource or component, connected or detached.
type session struct {
	ref  link.Ref
	kind link.Kind
	// jid is the full JID, or the component's domain.
	jid jid.JID
	// edge is nil where nobody is there to be told. A detached session keeps
	// it: behind it is the relay whose copy of the session a new leader gets.
	edge link.Edge
	// kept: edge is only the keeper's, and the session's own relay is lost.
	kept bool
	// lease is the edge's hold on the session; see leases.
	lease lease
	// origin is the number of the last delivery that was not this router's.
	origin uint64
	// opened: it was bound or resumed in this leadership, so it is newer than
	// whatever is attached.
	opened bool
	// detached: it has no connection, and is closed at until.
	detached bool
	until    time.Time
	// orphan: a client's was attached without a connection, maybe from a mirror
	// that has not heard of its client's last deliveries. Numbers given now could be
	// theirs, and a count of the client would cover the wrong stanzas; so there
	// are none until the client or its own edge says where it is.
	orphan bool
	late   late
	// enable is XEP-0198's, where enabled.
	enabled bool
	enable  link.Enable

	// user is nil for a component.
	user *user
	// presence is the last one that was broadcast, nil while the resource
	// is not available.
	presence *stanza.Element
	priority int
	// interested resources get roster pushes (RFC 6121 §2.2).
	interested bool
	// offer is a component's key for passwords, "" where it checks none.
	offer string
	// directed are those that got presence without a subscription.
	directed map[jid.JID]struct{}

	// seen is the last stanza that was planned, seq the last that is done.
	seen, seq uint64
	// earlier is what came of which stanzas under the leader before.
	earlier map[link.Cause]struct{}
	// numbered: the store may keep a number of it.
	numbered bool
	// held: stanzas of it wait until the router has settled.
	held bool
	// marked to be confirmed, noted to have its memo told, overfull to be
	// ended, at the end of the batch.
	marked, noted, overfull bool

	queue
	window
}

// keep is how long the session waits for its peer when it is detached, 0 not at
// all.
func (s *session) keep() time.Duration { return link.Keep(s.kind, s.enabled, s.enable) }

// state is all that another has to know of the session.
func (s *session) state() link.Session {
	return link.Session{
		Ref: s.ref, Kind: s.kind, JID: s.jid, Enabled: s.enabled, Enable: s.enable, Confirmed: s.seq, Last: s.last,
		Queue: slices.Clone(s.deliveries()), Memo: s.memo(), Detached: s.detached,
	}
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

// lives says that the session was not forgotten.
func (r *Router) lives(s *session) bool { return r.sessions[s.ref.ID] == s }

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
func (r *Router) open(q *request[jid.JID]) {
	if !q.taken.CompareAndSwap(false, true) {
		return
	}
	defer close(q.done)
	o := q.open
	s := &session{ref: o.Ref, kind: o.Kind, jid: o.JID, edge: q.edge, opened: true, directed: map[jid.JID]struct{}{}}
	var left []link.Delivery
	if r.sessions[o.Ref.ID] != nil {
		q.err = &link.Refusal{Condition: stanza.Conflict}
	} else if o.Kind == link.Component {
		left, q.err = r.openComponent(s)
	} else {
		q.err = r.openClient(s, o.Resource)
	}
	if q.err == nil {
		r.sessions[o.Ref.ID] = s
		r.lend(s)
		r.bequeath(left, s)
		q.answer = s.jid
	}
}

// openComponent binds a component; left is what an older connection of it has
// not got.
func (r *Router) openComponent(s *session) (left []link.Delivery, err error) {
	name, ok := r.componentName(s.jid.Domain())
	if !ok || s.jid.Local() != "" {
		return nil, &link.Refusal{Condition: stanza.NotAuthorized}
	}
	if _, ok, err := r.store.CallBridge(name); err != nil {
		return nil, err
	} else if !ok {
		return nil, &link.Refusal{Condition: stanza.NotAuthorized}
	}
	if old := r.components[s.jid.Domain()]; old != nil {
		left = old.unsent()
		r.end(old, "conflict")
	}
	s.jid = s.jid.Bare()
	r.components[s.jid.Domain()] = s
	return left, nil
}

func (r *Router) openClient(s *session, resource string) error {
	name := s.jid.Local()
	if s.jid.Domain() != r.domain || !r.store.MayLogIn(name) {
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
	r.join(s)
	// What waits for its presence is not to be overtaken by what is sent to its
	// full JID before.
	s.behind = r.settled && r.waits(s.user)
	return nil
}

// join makes a client's session one of its user's.
func (r *Router) join(s *session) {
	s.user = r.user(s.jid.Local())
	s.user.sessions = append(s.user.sessions, s)
}

// mayBe says whether there may be a session of that address: the account or
// Call Bridge is there, and the account's user has not left. Where the store cannot say, there may be.
func (r *Router) mayBe(kind link.Kind, j jid.JID) bool {
	if kind == link.Client {
		return j.Domain() == r.domain && j.Local() != "" && j.Resource() != "" && r.store.MayLogIn(j.Local())
	}
	name, ok := r.componentName(j.Domain())
	if !ok || j != j.Bare() || j.Local() != "" {
		return false
	}
	_, ok, err := r.store.CallBridge(name)
	return ok || err != nil
}

// end closes a session from our side.
func (r *Router) end(s *session, condition string) {
	if !r.lives(s) {
		return
	}
	r.leave(s)
	r.absent.over[s.ref.ID] = fate{time.Now(), condition}
	if condition == "" {
		condition = "connection-timeout"
	}
	if s.edge != nil {
		s.edge.End(s.ref, condition)
	}
}

// leave forgets a session: it becomes unavailable, and what it was given and
// has not acknowledged goes to others or waits.
func (r *Router) leave(s *session) {
	delete(r.sessions, s.ref.ID)
	delete(r.hungry, s)
	delete(r.absent.sessions, s)
	if s.numbered {
		r.ended.add(s.ref.ID)
	}
	if s.kind == link.Component {
		r.questions.end(s)
		if r.components[s.jid.Domain()] == s {
			delete(r.components, s.jid.Domain())
		}
		for _, d := range s.unsent() {
			r.bounce(s.jid.Domain(), d.Bytes)
		}
		return
	}
	u := s.user
	if r.settled {
		r.unavailable(s, nil)
	} else {
		r.departed = append(r.departed, s)
	}
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
