package router

import (
	"time"

	"parley/services/xmpp/link"
)

// SettleMax is how long a new leader waits for Settled.
const SettleMax = 2 * time.Second

// settling is a leadership's beginning, when sessions are still attached. What
// is sent waits, lest it finds somebody absent who is only not known yet; for
// the same reason nobody reads the inbox, and nobody's end is told.
type settling struct {
	settled bool
	// backlog are the calls held back, in their order.
	backlog []event
	// waiting are those who want to resume what is not known yet.
	waiting map[link.SessionID][]*request[link.Session]
	// departed sessions have ended meanwhile.
	departed []*session
}

// holds takes a call that has to wait. What ends or moves a session is held
// too where stanzas of it are: calls of one session keep their order.
func (r *Router) holds(ev event) bool {
	if r.settled {
		return false
	}
	s := r.sessions[ev.ref.ID]
	switch ev.kind {
	case evSend:
		if s != nil {
			s.held = true
		}
	case evCall:
	case evResume, evDetach, evClose:
		if s == nil || !s.held {
			return false
		}
	default:
		return false
	}
	r.backlog = append(r.backlog, ev)
	return true
}

// replay returns the next call that was held.
func (r *Router) replay() (event, bool) {
	if !r.settled || len(r.backlog) == 0 {
		return event{}, false
	}
	ev := r.backlog[0]
	r.backlog[0] = event{}
	if r.backlog = r.backlog[1:]; len(r.backlog) == 0 {
		r.backlog = nil
	}
	return ev, true
}

// settle begins to route.
func (r *Router) settle() {
	if r.settled {
		return
	}
	r.settled = true
	r.log.Info("settled", "sessions", len(r.sessions), "held", len(r.backlog))
	for _, s := range r.departed {
		// Who has come again is not gone.
		if u := r.userOf(s.jid.Local()); u == nil || u.resource(s.jid.Resource()) == nil || u.resource(s.jid.Resource()).presence == nil {
			s.user = r.user(s.jid.Local())
			r.unavailable(s, nil)
			r.forget(s.user)
		}
	}
	r.departed = nil
	for _, waiting := range r.waiting {
		for _, q := range waiting {
			r.resume(q)
		}
	}
	r.waiting = nil
	for _, u := range r.users {
		r.reconsider(u)
	}
	r.sweepAll()
}
