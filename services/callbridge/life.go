package callbridge

import (
	"context"
	"sync/atomic"
	"time"

	"parley/services/xmpp/stanza"
)

// A server that is frozen, or that has lost its power, says nothing, and TCP
// does not tell. One that acknowledges (XEP-0198) is asked for that each
// askEvery, which Parley's answers on the node itself, without a leader; one
// that then says nothing for lifeTime is given up. Together they are less
// than the 2 s within which the bridge shall be on another one.
//
// It is the bridge's own time that counts: while this process did not run, or
// did not wait for the server, what has come could not be seen. So time is
// counted in steps of lifeTick, of which a late one is two at most.
const (
	askEvery = 300 * time.Millisecond
	lifeTime = 1300 * time.Millisecond
	lifeTick = 50 * time.Millisecond
)

// life is what is known of whether the server lives.
type life struct {
	// heard counts what came, reading says that it is waited for.
	heard   atomic.Int64
	reading atomic.Bool
	// over: the connection was given up.
	over atomic.Bool
}

// watch asks for signs of life until ctx ends, and closes the connection under
// the reader when there is none.
func (w *wire) watch(ctx context.Context) {
	next := time.NewTimer(askEvery)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		if !w.lives(ctx) {
			w.life.over.Store(true)
			w.conn.NetConn().Close()
			return
		}
		next.Reset(askEvery)
	}
}

// lives asks for a sign of life and waits for it.
func (w *wire) lives(ctx context.Context) bool {
	heard := w.life.heard.Load()
	asked, none := w.ask()
	if none {
		return true
	}
	tick := time.NewTicker(lifeTick)
	defer tick.Stop()
	last := time.Now()
	for silent := time.Duration(0); silent < lifeTime; {
		select {
		case <-ctx.Done():
			return true
		case <-tick.C:
		}
		if w.life.heard.Load() != heard {
			return true
		}
		now := time.Now()
		if w.life.reading.Load() {
			silent += min(now.Sub(last), 2*lifeTick)
		}
		last = now
		if !asked {
			if asked, none = w.ask(); none {
				return true
			}
			if asked {
				silent = 0
			}
		}
	}
	return false
}

// ask asks for an acknowledgement, unless that was done. It is not asked while
// another writes, to a server that takes nothing perhaps: that is as good a
// question. none says that this server does not acknowledge, or not yet.
func (w *wire) ask() (asked, none bool) {
	if !w.mu.TryLock() {
		return false, false
	}
	defer w.mu.Unlock()
	if !w.acks.on {
		return false, true
	}
	if w.acks.asking {
		return true, false
	}
	w.acks.asking = true
	// Where it fails the connection is broken, and silent.
	_ = w.sendWithin(stanza.New(stanza.NSSM, "r").Append(nil, stanza.NSClient), lifeTime)
	return true, false
}
