package router

import (
	"slices"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
)

// attach installs a session of before this leadership, or one whose relay was
// lost for a while. Nobody is told.
func (r *Router) attach(st link.Session, e link.Edge) {
	s := r.sessions[st.Ref.ID]
	condition, left := r.objection(s, &st)
	if condition != "" {
		e.End(st.Ref, condition)
		return
	}
	m, err := decodeMemo(st.Memo)
	if err != nil && len(st.Memo) > 0 {
		r.log.Error("session attached without its presence", "jid", st.JID.String(), "err", err)
	}
	if s != nil {
		r.attachAgain(s, &st, m, e)
	} else if s = r.attachNew(&st, m, e); s == nil {
		return
	}
	r.bequeath(left, s)
	waiting := r.waiting[st.Ref.ID]
	delete(r.waiting, st.Ref.ID)
	for _, q := range waiting {
		r.resume(q)
	}
	if s.user != nil {
		r.reconsider(s.user)
	}
}

// objection says why a session cannot be attached; s is what is known of it.
// Of two sessions of a component the one that stays has what the other has
// left: left is for the one that is attached.
func (r *Router) objection(s *session, st *link.Session) (condition string, left []link.Delivery) {
	for i, d := range st.Queue {
		if d.N > st.Last || i > 0 && d.N <= st.Queue[i-1].N {
			return "internal-server-error", nil
		}
	}
	switch {
	case !r.mayBe(st.Kind, st.JID):
		return "not-authorized", nil
	case s != nil && (s.kind != st.Kind || s.jid != st.JID || s.ref.Epoch > st.Ref.Epoch):
		return "conflict", nil
	case s != nil:
		return "", nil
	case r.absent.over[st.Ref.ID].condition != "":
		return r.absent.over[st.Ref.ID].condition, nil
	}
	var other *session
	if st.Kind == link.Component {
		other = r.components[st.JID.Domain()]
	} else if u := r.users[st.JID.Local()]; u != nil {
		other = u.resource(st.JID.Resource())
	}
	// What was opened under this leader is newer; otherwise the one that has
	// a connection is, or the later.
	if other != nil && (other.opened || !other.detached && st.Detached) {
		if st.Kind == link.Component {
			r.bequeath(st.Queue, other)
		}
		return "conflict", nil
	}
	if other != nil {
		if st.Kind == link.Component {
			left = other.unsent()
		}
		r.end(other, "conflict")
	}
	return "", left
}

func (r *Router) attachNew(st *link.Session, m memo, e link.Edge) *session {
	s := &session{
		ref: st.Ref, kind: st.Kind, jid: st.JID, edge: e, origin: st.Last, enabled: st.Enabled, enable: st.Enable,
		seen: st.Confirmed, seq: st.Confirmed, numbered: true, orphan: st.Detached && st.Kind == link.Client,
	}
	r.sessions[s.ref.ID] = s
	if s.kind == link.Component {
		r.components[s.jid.Domain()] = s
	} else {
		r.join(s)
	}
	s.restore(m)
	r.fill(s, st)
	r.lend(s)
	r.hold(s, st)
	if _, ok := r.absent.over[s.ref.ID]; ok && r.settled && s.presence != nil {
		r.broadcast(s)
	}
	delete(r.absent.over, s.ref.ID)
	return s
}

// hold gives an attached session to its edge.
func (r *Router) hold(s *session, st *link.Session) {
	s.detached = false
	delete(r.absent.sessions, s)
	if st.Detached {
		r.away(s)
	}
}

// attachAgain goes on with a session that is known. The two sides have the
// same deliveries up to some number, since they have numbered them together.
func (r *Router) attachAgain(s *session, st *link.Session, m memo, e link.Edge) {
	// Whom the memo of Open has not reached holds it since Open.
	same := m.lease == s.lease || s.opened && len(st.Memo) == 0
	common := s.origin
	if same {
		common = s.last
	}
	old, edge := s.ref, s.edge
	if !same && old == st.Ref && (s.opened || !s.detached && st.Detached) || s.had() > st.Last {
		e.End(st.Ref, "conflict")
		return
	}
	had := st.Last
	if len(st.Queue) > 0 {
		had = st.Queue[0].N - 1
	}
	r.delivered(s, min(had, common))
	s.ref, s.edge = st.Ref, nil
	if edge != nil && edge != e && (!same || s.kept) {
		edge.End(old, "conflict")
	}
	s.kept = false
	if st.Enabled {
		s.enabled, s.enable = true, st.Enable
	}
	if !same && st.Confirmed >= s.seq {
		// Otherwise what we have of it is newer: the memo that comes before
		// the Confirm was lost with the link.
		s.restore(m)
	}
	s.seq = max(s.seq, st.Confirmed)
	s.seen = max(s.seen, st.Confirmed)
	var after []link.Delivery
	if st.Last > common {
		// The edge has more than we know of, so ours of those numbers never
		// came to the peer.
		after = slices.Clone(s.deliveries())
		after = slices.DeleteFunc(after, func(d link.Delivery) bool { return d.N <= common || d.Item != 0 })
		r.release(s)
		r.fill(s, st)
		s.origin = st.Last
	}
	s.edge = e
	if same {
		// It may have missed the last memo.
		r.remember(s)
	} else {
		r.lend(s)
	}
	r.hold(s, st)
	// A lease of ours has missed no number.
	s.orphan = st.Detached && s.kind == link.Client && (s.orphan || !same)
	for _, d := range s.deliveries() {
		if d.N > st.Last {
			e.Deliver(s.ref, d)
		}
	}
	for _, d := range after {
		r.send(s, link.Delivery{Cause: d.Cause, Bytes: d.Bytes})
	}
	if !s.orphan {
		r.found(s)
	}
	if s.seq > st.Confirmed {
		r.mark(s, s.seq)
	}
}

func (s *session) restore(m memo) {
	s.presence, s.priority, s.interested, s.directed, s.offer = m.presence, 0, m.interested, m.directed, m.offer
	if s.presence != nil {
		s.priority, _ = priority(s.presence)
	}
	if s.directed == nil {
		s.directed = map[jid.JID]struct{}{}
	}
}

// fill gives a session the queue it is attached with. Its items are in its
// hands, those too that are not in the store any more because another of the
// user's resources has them.
func (r *Router) fill(s *session, st *link.Session) {
	s.queue = queue{last: st.Last}
	s.learn(st.Queue)
	stored := map[link.Item]bool{}
	if s.user != nil {
		stored = r.stored(s.user, st.Queue)
	}
	for _, d := range st.Queue {
		if s.user == nil {
			d.Item = 0
		}
		s.queue.add(d)
		if d.Item == 0 {
			continue
		}
		s.inflight++
		s.bytes += len(d.Bytes)
		h := s.user.items[d.Item]
		if h == nil {
			h = &handed{done: !stored[d.Item], removed: !stored[d.Item]}
			s.user.items[d.Item] = h
			if !h.done {
				s.user.held++
			}
		}
		h.holders++
	}
}

// stored says which of a queue's items nobody has yet are in the inbox.
func (r *Router) stored(u *user, queue []link.Delivery) map[link.Item]bool {
	stored := map[link.Item]bool{}
	var low, high link.Item
	for _, d := range queue {
		if d.Item == 0 || u.items[d.Item] != nil {
			continue
		}
		stored[d.Item] = false
		if low == 0 || d.Item < low {
			low = d.Item
		}
		high = max(high, d.Item)
	}
	for after := low - 1; len(stored) > 0 && after < high; {
		ms, err := r.store.Inbox(u.name, after, readChunk)
		if err != nil {
			r.log.Error("inbox not readable", "account", u.name, "err", err)
			for item := range stored {
				stored[item] = true
			}
			break
		}
		if len(ms) == 0 {
			break
		}
		for i := range ms {
			after = ms[i].Item
			if _, asked := stored[after]; asked {
				stored[after] = true
			}
		}
	}
	return stored
}

// broadcast tells contacts, and the user's other resources, of a session that
// they were told is gone.
func (r *Router) broadcast(s *session) {
	for _, c := range r.roster(s.user.name) {
		if c.From {
			r.toContact(s.presence, c.Contact)
		}
	}
	for _, other := range s.user.sessions {
		if other.presence != nil && other != s {
			r.deliver(other, addressed(s.presence, other.jid.String()))
		}
	}
}
