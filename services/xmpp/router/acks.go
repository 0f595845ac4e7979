package router

import (
	"context"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/store"
)

const (
	// ackDelay is how long acknowledgements wait for a batch to share an
	// fsync with. A crash meanwhile costs duplicates in a new session.
	ackDelay = 20 * time.Millisecond
	maxAcks  = 1024
	// endDelay is how long the numbers of sessions wait for others' company.
	endDelay = time.Second
	// ackRetry is the pause after the store refused them.
	ackRetry = time.Second
	// lastWait bounds the last try, which must not hold up the next leader.
	lastWait = 100 * time.Millisecond
)

// acks are what may be removed from the store: items, and the numbers of
// sessions that have ended.
type acks struct {
	items map[string][]link.Item
	n     int
	ended []link.SessionID
	// waiting sessions have acknowledged some of items.
	waiting []*session
	// timer runs while there are some, until at.
	timer *time.Timer
	at    time.Time
	// expired: the delay is over.
	expired bool
	// retry is set after the store refused them: then they do not go with
	// other changes, which may be why.
	retry time.Duration
}

func (a *acks) add(account string, item link.Item) {
	a.items[account] = append(a.items[account], item)
	if a.n++; a.n == 1 && a.retry == 0 {
		a.dueIn(ackDelay)
	}
}

// end adds a session whose numbers are of no use any more.
func (a *acks) end(id link.SessionID) {
	a.ended = append(a.ended, id)
	a.dueIn(endDelay)
}

// wait counts an item of a session that the store does not know to be done.
func (a *acks) wait(s *session) {
	if s.unremoved++; s.unremoved == 1 {
		a.waiting = append(a.waiting, s)
	}
}

func (a *acks) dueIn(d time.Duration) {
	at := time.Now().Add(d)
	switch {
	case a.timer == nil:
		a.timer = time.NewTimer(d)
	case at.Before(a.at):
		a.timer.Reset(d)
	default:
		return
	}
	a.at = at
}

func (a *acks) empty() bool { return a.n == 0 && len(a.ended) == 0 }

// due is nil while there are none.
func (a *acks) due() <-chan time.Time {
	if a.timer == nil {
		return nil
	}
	return a.timer.C
}

// isDue says that a commit of their own is due.
func (a *acks) isDue() bool {
	return !a.empty() && (a.expired || a.n >= maxAcks && a.retry == 0)
}

// ops appends them to a batch's.
func (a *acks) ops(ops []store.Op) []store.Op {
	for account, items := range a.items {
		ops = append(ops, &store.Delivered{Account: account, Items: items})
	}
	if len(a.ended) > 0 {
		ops = append(ops, &store.SessionEnd{IDs: a.ended})
	}
	return ops
}

// applyAcks removes from the store what is acknowledged, or tries again later.
func (r *Router) applyAcks(ctx context.Context, wait time.Duration) {
	if r.acks.empty() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if _, err := r.store.Apply(ctx, r.acks.ops(nil)...); err != nil {
		r.log.Warn("acknowledged messages not removed", "messages", r.acks.n, "err", err)
		r.acks.timer.Stop()
		r.acks.timer, r.acks.expired, r.acks.retry = nil, false, ackRetry
		r.acks.dueIn(ackRetry)
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
	for _, s := range r.acks.waiting {
		s.unremoved = 0
		if r.lives(s) && s.behind && s.room() {
			r.hungry[s] = struct{}{}
		}
	}
	r.acks.timer.Stop()
	r.acks = acks{items: map[string][]link.Item{}}
}

// lastAcks removes at the end what is acknowledged: it would be delivered
// again otherwise.
func (r *Router) lastAcks() {
	if r.acks.n > 0 {
		r.applyAcks(context.Background(), lastWait)
	}
}
