package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/store"
)

// retryPause is between tries while the store does not answer.
const retryPause = 20 * time.Millisecond

// errHeld stands for the store's answer where it takes nothing at the moment.
var errHeld = errors.New("store takes no changes")

// commit has the store keep what the batch asks for, runs its jobs and
// confirms. Run's goroutine waits meanwhile, and the queue collects. False: the
// leadership has ended, and nothing of the batch is to be seen.
func (r *Router) commit(ctx context.Context, b *batch) bool {
	for {
		results, ok := r.apply(ctx, b)
		if !ok {
			return false
		}
		for _, j := range b.jobs {
			rs := results[:j.n:j.n]
			results = results[j.n:]
			j.run(rs)
		}
		r.reap()
		r.feed()
		r.reap()
		r.note()
		r.confirm()
		held := b.held
		b.reset()
		if held == nil {
			return true
		}
		r.plan(b, *held)
	}
}

// confirm tells the edges what is done; Memo has gone before.
func (r *Router) confirm() {
	for i, s := range r.marked {
		r.marked[i] = nil
		s.marked = false
		if r.lives(s) && s.edge != nil {
			s.edge.Confirm(s.ref, s.seq)
		}
	}
	r.marked = r.marked[:0]
}

// apply commits a batch's ops, and with them what acknowledgements there are.
// Where the store refuses, each result is errHeld. Where it does not answer, it
// is asked again until it does or the leadership ends: messages have numbers,
// so nothing is done twice, and their senders neither lose their streams nor
// are told what is not known.
func (r *Router) apply(ctx context.Context, b *batch) (results []store.Result, ok bool) {
	n := len(b.ops)
	if n == 0 {
		if r.acks.isDue() {
			r.applyAcks(ctx, applyWait)
		}
		return nil, true
	}
	ops := b.ops
	with := !r.acks.empty() && r.acks.retry == 0
	if with {
		ops = r.acks.ops(ops)
	}
	// sure: no try so far can have been kept.
	sure := true
	for try := 0; ; try++ {
		results, err := r.tryApply(ctx, ops)
		if err == nil {
			if with {
				r.acked()
			}
			r.again()
			return results[:n], true
		}
		if ctx.Err() != nil {
			return nil, false
		}
		if try == 0 {
			r.log.Warn("store refuses", "changes", n, "err", err)
		}
		silent := isSilent(err)
		unknown := silent && problem.CodeOf(err) != problem.NoLeader
		if b.service || sure && !silent {
			r.doubt = r.doubt || unknown
			if with && !unknown {
				// Alone they may be let through: they free room.
				r.applyAcks(ctx, applyWait)
			}
			results = make([]store.Result, n)
			for i := range results {
				results[i].Err = fmt.Errorf("%w: %w", errHeld, err)
			}
			return results, true
		}
		sure = sure && !unknown
		if !silent && r.acks.retry == 0 {
			r.applyAcks(ctx, applyWait)
		}
		if !pause(ctx, retryPause) {
			return nil, false
		}
	}
}

func (r *Router) tryApply(ctx context.Context, ops []store.Op) ([]store.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, applyWait)
	defer cancel()
	return r.store.Apply(ctx, ops...)
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// isSilent tells the errors of a store that has lost its leader from a refusal.
func isSilent(err error) bool {
	return problem.CodeOf(err) == problem.NoLeader || errors.Is(err, store.ErrOutcome) || errors.Is(err, store.ErrClosed) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// again ends the sessions of accounts that are gone although it was not known
// that they would be.
func (r *Router) again() {
	if !r.doubt {
		return
	}
	r.doubt = false
	for _, s := range r.sessions {
		if !r.mayBe(s.kind, s.jid) {
			r.end(s, "not-authorized")
		}
	}
}
