package router

import (
	"maps"
	"slices"
	"time"

	"parley/services/xmpp/link"
)

// lostGrace is how long a session that cannot be resumed waits for its edge.
const lostGrace = 3 * time.Second

// absent are detached sessions. Each waits until its time is over; the timer is
// for the first of them.
type absent struct {
	sessions map[*session]struct{}
	timer    *time.Timer
	at       time.Time
	// over are sessions that were ended here, which a relay that was cut off
	// may not have heard.
	over map[link.SessionID]fate
}

// fate is how a session ended.
type fate struct {
	at time.Time
	// condition is what its relay is told if it announces the session again.
	// None: the relay was only away for too long, and may have it back; then
	// contacts, who were told that it is gone, are told again.
	condition string
}

func (a *absent) due() <-chan time.Time {
	if a.timer == nil {
		return nil
	}
	return a.timer.C
}

// waitFor has the timer end when s does, or before.
func (a *absent) waitFor(s *session) {
	a.sessions[s] = struct{}{}
	switch {
	case a.timer == nil:
		a.timer = time.NewTimer(time.Until(s.until))
	case s.until.Before(a.at):
		a.timer.Reset(time.Until(s.until))
	default:
		return
	}
	a.at = s.until
}

// away marks a session that has no connection. It stays available, and its
// queue grows, until its time is over.
func (r *Router) away(s *session) {
	keep := s.keep()
	if keep == 0 {
		keep = lostGrace
	}
	s.detached, s.until = true, time.Now().Add(keep)
	r.questions.end(s)
	r.absent.waitFor(s)
}

// detach takes an edge's word that a connection is gone.
func (r *Router) detach(s *session) {
	switch {
	case s.keep() == 0:
		r.leave(s)
	case !s.detached:
		r.away(s)
	}
}

// lost detaches all sessions of an edge that cannot be reached, and leaves them
// to the keeper; the edge is not called any more. Their lease stays: it is
// their relay's, should that come back.
func (r *Router) lost(l *loss) {
	for _, s := range r.sessions {
		if s.edge != l.edge {
			continue
		}
		if !s.detached {
			r.away(s)
		}
		if s.edge, s.kept = nil, l.to != nil; s.kept {
			s.edge = l.to
			l.to.Keep(s.state())
		}
	}
}

// expire closes the sessions whose time is over.
func (r *Router) expire() {
	r.absent.timer = nil
	now := time.Now()
	for _, s := range slices.Collect(maps.Keys(r.absent.sessions)) {
		switch {
		case s.until.After(now):
			r.absent.waitFor(s)
			continue
		case s.edge == nil || s.kept:
			// Its relay may come back and send again what it had sent: the
			// numbers are left to the sweep.
			s.numbered = false
			r.end(s, "")
			continue
		}
		r.end(s, "connection-timeout")
	}
}
