package router

import (
	"parley/services/xmpp/link"
)

// resume moves a session to another edge.
func (r *Router) resume(q *request[link.Session]) {
	s := r.sessions[q.resume.ID]
	if !r.settled && (s == nil || s.orphan && s.ahead(q.resume.H)) {
		// Another may yet attach it, or more of it.
		r.waiting[q.resume.ID] = append(r.waiting[q.resume.ID], q)
		return
	}
	if !q.taken.CompareAndSwap(false, true) {
		return
	}
	defer close(q.done)
	if s == nil || s.kind != link.Client || s.keep() == 0 || s.jid.Bare() != q.resume.Account.Bare() {
		q.err = link.ErrNoSession
		return
	}
	n, ok := s.covered(q.resume.H)
	if !ok {
		q.err = link.ErrCount
		if s.detached && s.ahead(q.resume.H) {
			if s.orphan {
				// Nothing was numbered since, so it has all that is queued.
				r.delivered(s, s.last)
			}
			// The client knows of deliveries that are not known here, so the
			// numbers mean nothing any more. It must not come again when they
			// have grown to what it has: it would be taken to have had what
			// it never got. It binds anew, and may get some twice.
			r.end(s, "conflict")
		}
		return
	}
	r.delivered(s, n)
	r.logged(s)
	old, edge := s.ref, s.edge
	// What has waited is in the answer's queue.
	s.edge = nil
	r.found(s)
	r.moveTo(s, q.edge, link.Ref{ID: old.ID, Epoch: old.Epoch + 1})
	if edge != nil {
		edge.End(old, "conflict")
	}
	q.answer = s.state()
}

// logged counts as done what the leader before has put in the log and not
// confirmed any more, so far as nothing else was in between. The client is told
// so, and sends again only what did not come. It could send all: the store knows
// the numbers. But not all clients send again in the order of the first time
// (aioxmpp 0.13 turns it round), and then a number stands for another stanza.
func (r *Router) logged(s *session) {
	m, ok, err := r.store.Session(s.ref.ID)
	if err != nil {
		r.log.Error("number of a session not readable", "session", s.ref.ID, "err", err)
	} else if ok && m.From <= s.seq+1 {
		s.seq = max(s.seq, m.Seq)
	}
}

// covered returns the delivery that h, modulo 2^32 and counted from Enable,
// stands for. What was acknowledged cannot be taken back.
func (s *session) covered(h uint32) (uint64, bool) {
	// The client could not resume without all that came before Enable.
	had := max(s.had(), s.enable.Out)
	more := uint64(h - uint32(had-s.enable.Out))
	return had + more, had+more <= s.last
}

// ahead says that the client of h has more than was delivered for all that is
// known here, rather than less than it had.
func (s *session) ahead(h uint32) bool {
	n, ok := s.covered(h)
	return !ok && n-s.last < 1<<31
}

// moveTo gives a session to an edge that has a connection for it.
func (r *Router) moveTo(s *session, e link.Edge, ref link.Ref) {
	s.edge, s.ref = e, ref
	s.detached, s.kept, s.opened = false, false, true
	delete(r.absent.sessions, s)
	s.seen = s.seq
	r.lend(s)
}
