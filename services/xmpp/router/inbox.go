package router

import (
	"context"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
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
	// inflight items were delivered and not acknowledged; with their sizes.
	inflight map[link.Item]int
	bytes    int
	// cursor: all items up to it have been considered for this session.
	cursor link.Item
	// behind: there may be items after cursor. Then nothing is delivered
	// past it, or order would be lost.
	behind bool
}

func newWindow() window { return window{inflight: map[link.Item]int{}} }

func (w *window) room() bool { return len(w.inflight) < windowItems && w.bytes < windowBytes }

// handed is an item that a session has, or that is acknowledged.
type handed struct {
	// holders have it in flight.
	holders int
	// done: one has acknowledged it. removed: the store knows.
	done, removed bool
}

// hand delivers an item to a session that has room.
func (r *Router) hand(s *session, item link.Item, size int, e *stanza.Element) {
	u := s.user
	h := u.items[item]
	if h == nil {
		h = &handed{}
		u.items[item] = h
		u.held++
	}
	h.holders++
	s.inflight[item] = size
	s.bytes += size
	s.cursor = max(s.cursor, item)
	s.edge.Deliver(s.id, link.Delivery{Stanza: e, Item: item})
}

// offer delivers a new item, or leaves it to be read from the store.
func (r *Router) offer(s *session, item link.Item, size int, e *stanza.Element) {
	if s.behind || !s.room() {
		s.behind = true
		return
	}
	r.hand(s, item, size, e)
}

// delivered takes a session's acknowledgements.
func (r *Router) delivered(id link.SessionID, items []link.Item) {
	s := r.sessions[id]
	if s == nil || s.user == nil {
		return
	}
	for _, item := range items {
		size, ok := s.inflight[item]
		if !ok {
			continue
		}
		delete(s.inflight, item)
		s.bytes -= size
		h := s.user.items[item]
		h.holders--
		if !h.done {
			h.done = true
			r.acks.add(s.user.name, item)
		}
		r.drop(s.user, item, h)
	}
	if s.behind && s.room() {
		r.hungry[s] = struct{}{}
	}
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
	for item := range s.inflight {
		h := s.user.items[item]
		h.holders--
		r.drop(s.user, item, h)
	}
	s.window = newWindow()
}

// reconsider lets all of a user's sessions look through the inbox from its
// start, after a change of who is to have what.
func (r *Router) reconsider(u *user) {
	if len(u.sessions) == 0 {
		return
	}
	n, err := r.store.Pending(u.name)
	if err != nil {
		r.log.Error("inbox not readable", "account", u.name, "err", err)
		return
	}
	if n <= u.held {
		return
	}
	for _, s := range u.sessions {
		s.cursor, s.behind = 0, true
		r.hungry[s] = struct{}{}
	}
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
		if !s.behind || !s.room() {
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
			if u.items[m.Item] != nil || !eligible(u, s, top, m.Resource) {
				continue
			}
			e, err := stream.Parse(m.Stanza)
			if err != nil {
				// Only damage can do this; it must not stop the rest.
				r.log.Error("message not readable", "account", u.name, "item", m.Item, "err", err)
				r.discard(u.name, m.Item)
				continue
			}
			e.Add(stanza.New(stanza.NSDelay, "delay", "from", r.domain, "stamp", m.Stamp.UTC().Format("2006-01-02T15:04:05.000Z")))
			r.hand(s, m.Item, len(m.Stanza), e)
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

const (
	// ackDelay is how long acknowledgements wait for a batch to share an
	// fsync with. A crash meanwhile costs duplicates in a new session.
	ackDelay = 20 * time.Millisecond
	maxAcks  = 1024
	// ackRetry is the pause after the store refused them.
	ackRetry = time.Second
)

// acks are items to be removed from the store.
type acks struct {
	items map[string][]link.Item
	n     int
	// timer runs while there are some.
	timer *time.Timer
	// expired: the delay is over.
	expired bool
	// retry is set after the store refused them: then they do not go with
	// other changes, which may be why.
	retry time.Duration
}

func (a *acks) add(account string, item link.Item) {
	a.items[account] = append(a.items[account], item)
	a.n++
	if a.timer == nil {
		a.timer = time.NewTimer(ackDelay)
	}
}

// due is nil while there are none.
func (a *acks) due() <-chan time.Time {
	if a.timer == nil {
		return nil
	}
	return a.timer.C
}

// isDue says that a commit of their own is due.
func (a *acks) isDue() bool {
	return a.n > 0 && (a.expired || a.n >= maxAcks && a.retry == 0)
}

// ops appends them to a batch's.
func (a *acks) ops(ops []store.Op) []store.Op {
	for account, items := range a.items {
		ops = append(ops, &store.Delivered{Account: account, Items: items})
	}
	return ops
}

// applyAcks removes from the store what is acknowledged, or tries again later.
func (r *Router) applyAcks(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, applyWait)
	defer cancel()
	if _, err := r.store.Apply(ctx, r.acks.ops(nil)...); err != nil {
		r.log.Warn("acknowledged messages not removed", "messages", r.acks.n, "err", err)
		r.acks.timer.Stop()
		r.acks.expired, r.acks.retry = false, ackRetry
		r.acks.timer = time.NewTimer(ackRetry)
		return
	}
	r.acked()
}

// acked is called when the store has removed them.
func (r *Router) acked() {
	for account, items := range r.acks.items {
		u := r.users[account]
		if u == nil {
			continue
		}
		for _, item := range items {
			if h := u.items[item]; h != nil {
				h.removed = true
				u.held--
				r.drop(u, item, h)
			}
		}
		r.forget(u)
	}
	r.acks.timer.Stop()
	r.acks = acks{items: map[string][]link.Item{}}
}

// lastAcks removes at the end what is acknowledged: it would be delivered
// again otherwise.
func (r *Router) lastAcks() {
	if r.acks.n > 0 {
		r.applyAcks(context.Background())
	}
}
