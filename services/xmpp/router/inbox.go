package router

import (
	"strings"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// Bounds of a window.
const (
	windowItems = 256
	windowBytes = 1 << 20
	// readChunk is how many messages one read takes, and maxChunks how many
	// reads a session gets before others have their turn.
	readChunk = 128
	maxChunks = 4
)

// window is how far a session has come in its account's inbox. Memory holds
// only what is in flight; the rest stays in the store until there is room.
type window struct {
	// inflight items, of bytes in all, are in the queue; unremoved ones were
	// acknowledged, and the store does not know yet.
	inflight, bytes, unremoved int
	// cursor: all items up to it have been considered for this session.
	cursor link.Item
	// behind: there may be items after cursor. Then nothing is delivered
	// past it, or order would be lost.
	behind bool
	// blocked are senders of messages passed over because no resource may have
	// them yet. What they send to this resource waits behind those.
	blocked map[string]struct{}
}

// block notes a sender of whom something waits for a resource.
func (w *window) block(from string) {
	if w.blocked == nil {
		w.blocked = map[string]struct{}{}
	}
	w.blocked[sender(from)] = struct{}{}
}

func (w *window) blocks(from string) bool {
	_, ok := w.blocked[sender(from)]
	return ok
}

// sender is the bare JID of from.
func sender(from string) string {
	bare, _, _ := strings.Cut(from, "/")
	return bare
}

func (w *window) room() bool { return w.inflight+w.unremoved < windowItems && w.bytes < windowBytes }

// handed is an item that a session has, or that is acknowledged.
type handed struct {
	// holders have it in flight.
	holders int
	// done: one has acknowledged it. removed: it is not in the store.
	done, removed bool
}

// hand delivers an item to a session that has room.
func (r *Router) hand(s *session, item link.Item, b []byte) {
	u := s.user
	h := u.items[item]
	if h == nil {
		h = &handed{}
		u.items[item] = h
		u.held++
	}
	h.holders++
	s.inflight++
	s.bytes += len(b)
	s.cursor = max(s.cursor, item)
	r.send(s, link.Delivery{Item: item, Bytes: b})
}

// offer delivers a new item, or leaves it to be read from the store.
func (r *Router) offer(s *session, item link.Item, from string, b []byte) {
	switch {
	case s.behind || s.orphan || !s.room():
		s.behind = true
		if s.room() {
			r.hungry[s] = struct{}{}
		}
	case s.blocks(from):
		// It is read with what it waits for, when who gets what has changed.
	default:
		r.hand(s, item, b)
	}
}

// taken is called when a session's peer has an item.
func (r *Router) taken(s *session, d link.Delivery) {
	s.inflight--
	s.bytes -= len(d.Bytes)
	h := s.user.items[d.Item]
	h.holders--
	if !h.done {
		h.done = true
		r.acks.add(s.user.name, d.Item)
	}
	if !h.removed {
		r.acks.wait(s)
	}
	r.drop(s.user, d.Item, h)
}

// discard removes an item that nobody is to have.
func (r *Router) discard(account string, item link.Item) {
	if u := r.user(account); u.items[item] == nil {
		u.items[item] = &handed{done: true}
		u.held++
		r.acks.add(account, item)
	}
}

// drop forgets an item that is in no hands and not in the store, or that is
// free to be given to others.
func (r *Router) drop(u *user, item link.Item, h *handed) {
	if h.holders > 0 {
		return
	}
	if !h.done {
		u.held--
	}
	if !h.done || h.removed {
		delete(u.items, item)
	}
}

// release takes back what a session has in flight.
func (r *Router) release(s *session) {
	for _, d := range s.deliveries() {
		if d.Item != 0 {
			h := s.user.items[d.Item]
			h.holders--
			r.drop(s.user, d.Item, h)
		}
	}
	s.queue = queue{last: s.last}
	s.window = window{unremoved: s.unremoved}
}

// reconsider lets all of a user's sessions look through the inbox from its
// start, after a change of who is to have what.
func (r *Router) reconsider(u *user) {
	if len(u.sessions) == 0 || !r.settled {
		return
	}
	waiting := r.waits(u)
	for _, s := range u.sessions {
		s.blocked = nil
		if waiting {
			s.cursor, s.behind = 0, true
			r.hungry[s] = struct{}{}
		}
	}
}

// waits says whether the store may hold something that is in nobody's hands.
func (r *Router) waits(u *user) bool {
	n, err := r.store.Pending(u.name)
	if err != nil {
		r.log.Error("inbox not readable", "account", u.name, "err", err)
		return true
	}
	return n > u.held
}

// feed lets hungry sessions read on. It runs after the jobs of a batch, when
// each of its messages has found its first recipients.
func (r *Router) feed() {
	for s := range r.hungry {
		if !r.read(s) {
			delete(r.hungry, s)
		}
	}
}

// read hands out messages from the inbox while there is room; it says whether
// it should be called again although nothing has changed.
func (r *Router) read(s *session) (again bool) {
	u := s.user
	top := u.top()
	for range maxChunks {
		if !s.behind || s.orphan || !s.room() {
			return false
		}
		ms, err := r.store.Inbox(u.name, s.cursor, readChunk)
		if err != nil {
			r.log.Error("inbox not readable", "account", u.name, "err", err)
			return false
		}
		if len(ms) == 0 {
			s.behind = false
			return false
		}
		for i := range ms {
			m := &ms[i]
			if !s.room() {
				return false
			}
			s.cursor = m.Item
			may := eligible(u, s, top, m.Resource)
			stuck := !may && len(top) == 0 && (m.Resource == "" || u.resource(m.Resource) == nil)
			if u.items[m.Item] != nil || !may && !stuck {
				continue
			}
			e, err := stream.Parse(m.Stanza)
			if err != nil {
				// Only damage can do this; it must not stop the rest.
				r.log.Error("message not readable", "account", u.name, "item", m.Item, "err", err)
				r.discard(u.name, m.Item)
				continue
			}
			from := e.Attr("from")
			if stuck {
				s.block(from)
			}
			if stuck || s.blocks(from) {
				continue
			}
			e.Add(stanza.New(stanza.NSDelay, "delay", "from", r.domain, "stamp", m.Stamp.UTC().Format("2006-01-02T15:04:05.000Z")))
			r.hand(s, m.Item, wire(e))
		}
	}
	return true
}

// eligible says whether a session may have a message addressed to resource. It
// goes to others where that resource is not there, or not available and so not
// reading.
func eligible(u *user, s *session, top []*session, resource string) bool {
	if resource != "" {
		if at := u.resource(resource); at == s || at != nil && at.presence != nil {
			return at == s
		}
	}
	for _, t := range top {
		if t == s {
			return true
		}
	}
	return false
}
