package peer

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"parley/services/problem"
)

const (
	// minRedial and maxRedial bound the time between the starts of two
	// attempts to connect to a member. The longer is also what connecting
	// takes at most, since the kernel tries again more and more seldom. A
	// handshake has longer: begun anew it would take as long again.
	minRedial = 50 * time.Millisecond
	maxRedial = time.Second
	// resets of a connection before TLS count as refusal when there are
	// several, resetPause apart: the listener may be shut a moment after the
	// connections, and a full server closes strangers.
	resets     = 3
	resetPause = 5 * time.Millisecond
)

// dialed is what came of an attempt.
type dialed struct {
	*conn
	err error
}

// watcher is the state of watch.
type watcher struct {
	*member
	ctx context.Context
	// conns answer, or are silent and may yet answer.
	conns map[*conn]struct{}
	// way is the one of them that answered last.
	way   *conn
	pongs chan pong
	dials chan dialed
	// stop ends the attempt that is under way; nil is none.
	stop     context.CancelFunc
	attempts int
	backoff  time.Duration
	// started is when the last attempt did, next when another one may, and
	// redial fires then.
	started, next time.Time
	redial        *time.Timer
	// due is when the member is silent; restarted by each answer.
	due       time.Time
	silence   *time.Timer
	tolerance tolerance
	// broken: since the last answer the other side has closed a connection.
	broken bool
	// reset counts the attempts that were reset since then.
	reset int
	// told has what was logged since then.
	told map[string]bool
}

func newWatcher(ctx context.Context, m *member) *watcher {
	silence := m.net.cfg.Silence
	return &watcher{member: m, ctx: ctx, conns: make(map[*conn]struct{}), pongs: make(chan pong), dials: make(chan dialed), told: make(map[string]bool),
		backoff: minRedial, redial: time.NewTimer(0), due: time.Now().Add(silence), silence: time.NewTimer(silence),
		tolerance: tolerance{least: silence, limit: silence}}
}

// watch pings the member until ctx ends. One connection is pinged; while it is
// silent others are tried, and the first that carries pings stays.
func (m *member) watch(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	w := newWatcher(ctx, m)
	running := 0
	defer func() {
		cancel()
		for c := range w.conns {
			c.abort()
		}
		// Each goroutine has one last thing to say.
		for running > 0 {
			select {
			case d := <-w.dials:
				running--
				if d.err == nil {
					d.abort()
				}
			case p := <-w.pongs:
				if p.err != nil {
					running--
				}
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.nudge:
			w.hurry()
		case <-w.redial.C:
			if w.stop == nil && (len(w.conns) == 0 || !time.Now().Before(w.due)) {
				running++
				w.dial()
			}
		case d := <-w.dials:
			running--
			if w.dialed(d) {
				running++
				go m.ping(ctx, d.conn, w.pongs)
			}
		case p := <-w.pongs:
			if p.err != nil {
				running--
			}
			w.pong(p)
		case <-w.silence.C:
			w.silent()
		}
	}
}

// dial starts an attempt: at the address that is configured and at the one
// that the member last told of, in turn.
func (w *watcher) dial() {
	w.net.mu.Lock()
	addr := w.addr
	if a := w.state.Address; a != "" && (w.attempts%2 == 1 || addr == "") {
		addr = a
	}
	w.net.mu.Unlock()
	w.attempts++
	ctx, cancel := context.WithCancel(w.ctx)
	w.stop = cancel
	started := time.Now()
	w.started, w.next = started, started.Add(w.backoff)
	w.backoff = min(2*w.backoff, maxRedial)
	go func() {
		c, err := w.net.dial(ctx, addr, kindPing, "")
		if err != nil && time.Since(started) > maxRedial/2 && w.ctx.Err() == nil {
			w.log.Debug("dialing a member took long", "addr", addr, "err", err)
		}
		w.dials <- dialed{c, err}
	}()
}

// hurry has the next attempt start as soon as may be, or when the one under way
// has failed.
func (w *watcher) hurry() {
	w.backoff = minRedial
	w.next = w.started.Add(minRedial)
	w.redial.Reset(time.Until(w.next))
}

// dialed takes an attempt's outcome; true: ping this connection.
func (w *watcher) dialed(d dialed) bool {
	w.stop()
	w.stop = nil
	if len(w.conns) > 0 && time.Now().Before(w.due) {
		// Meanwhile an older connection has answered.
		if d.err == nil {
			d.abort()
		}
		return false
	}
	w.redial.Reset(time.Until(w.next))
	if d.err == nil && d.peer.ID != w.id {
		w.stranger(d.conn, d.peer)
		d.abort()
		return false
	}
	if d.err != nil {
		w.failed(d.err)
		return false
	}
	// The way that was there before may be late, and yet win.
	w.drop(w.way)
	w.conns[d.conn] = struct{}{}
	if !w.doubted {
		w.way = d.conn
	}
	w.answered(pong{conn: d.conn, hello: d.peer}, false)
	return true
}

// failed takes the error of an attempt.
func (w *watcher) failed(err error) {
	gone := false
	if w.broken && len(w.conns) == 0 && Refused(err) {
		if w.reset++; w.reset >= resets || isRefused(err) {
			gone = true
		} else {
			w.redial.Reset(resetPause)
		}
	}
	w.net.mu.Lock()
	s := &w.state
	s.Err = err
	s.Stranger, s.StrangerCluster = "", ""
	if gone && !s.Refused {
		s.Refused = true
		w.refusedAt = time.Now()
		w.tolerance.lost()
		w.doubted = false
		w.dropSpares()
		if s.Reachable {
			s.Reachable = false
			s.Since = w.refusedAt
		}
		w.net.announce()
	}
	reachable := s.Reachable
	w.net.mu.Unlock()
	if gone {
		w.say(slog.LevelWarn, "a member's process is gone", err)
	} else if !reachable {
		w.say(slog.LevelWarn, "a member is not reached", err)
	}
}

// stranger notes that another node has the member's address.
func (w *watcher) stranger(c *conn, h Hello) {
	err := fmt.Errorf("node %s answers at %s, not %s", h.ID, c.addr, w.id)
	w.net.mu.Lock()
	if w.state.Stranger != h.ID || w.state.StrangerCluster != h.Cluster {
		w.state.Stranger, w.state.StrangerCluster = h.ID, h.Cluster
		w.net.announce()
	}
	w.state.Err = err
	w.net.mu.Unlock()
	w.say(slog.LevelWarn, "another node has a member's address", err)
}

// pong takes an answer or the end of a connection.
func (w *watcher) pong(p pong) {
	if _, ok := w.conns[p.conn]; !ok {
		return
	}
	if p.err == nil && p.hello.ID == w.id {
		if w.stop != nil {
			w.stop()
		}
		w.proven(p.conn)
		w.answered(p, true)
		return
	}
	delete(w.conns, p.conn)
	p.abort()
	if p.err == nil {
		w.stranger(p.conn, p.hello)
	} else {
		w.log.Debug("connection to a member ended", "addr", p.addr, "err", p.err)
		if closedByPeer(p.err) {
			w.broken = true
			w.reset = 0
		}
	}
	if len(w.conns) == 0 {
		w.hurry()
	}
}

// proven notes that c carries there and back. If that was not so of the way
// before, other connections of its time do not carry either, and TCP would find
// out seconds later, when it tries again.
func (w *watcher) proven(c *conn) {
	w.drop(c)
	changed := w.way != c
	w.way = c
	w.backoff = minRedial
	w.next = w.started.Add(minRedial)
	if !w.doubted {
		return
	}
	w.net.mu.Lock()
	w.doubted = false
	if changed {
		w.dropSpares()
	}
	w.net.mu.Unlock()
	if changed {
		w.net.abortRaft(w.id)
	}
}

// answered notes that the member lives; timed: with a round trip.
func (w *watcher) answered(p pong, timed bool) {
	now := time.Now()
	if w.tolerance.answered(now) {
		w.log.Info("a member was late, not silent", "limit", w.tolerance.limit)
	}
	w.wait(now)
	w.broken, w.reset = false, 0
	clear(w.told)
	w.net.mu.Lock()
	s := &w.state
	w.heard = now
	changed := w.take(p.hello)
	s.Leniency = w.tolerance.times()
	if timed {
		s.RTT = p.rtt
		if p.rtt < promptly {
			s.Clock = p.clock
		}
	}
	if !s.Reachable {
		s.Reachable, s.Since, changed = true, now, true
		w.log.Info("a member is reachable", "addr", p.addr)
	}
	if s.Refused || s.Stranger != "" {
		s.Refused, s.Stranger, s.StrangerCluster, changed = false, "", "", true
	}
	s.Err = nil
	if changed {
		w.net.announce()
	}
	w.net.mu.Unlock()
}

// wait gives the member until it counts as silent.
func (w *watcher) wait(now time.Time) {
	w.due = now.Add(w.tolerance.limit)
	w.silence.Reset(w.tolerance.limit)
}

// silent notes that no answer came in time.
func (w *watcher) silent() {
	now := time.Now()
	if late := now.Sub(w.due); late > w.net.cfg.Silence/2 {
		// It was this process that stood still.
		w.wait(now)
		return
	} else if late < 0 {
		w.silence.Reset(-late)
		return
	}
	w.net.mu.Lock()
	s := &w.state
	was := s.Reachable
	if was {
		w.tolerance.alarm(now)
		w.doubted = true
		s.Reachable, s.Since = false, now
		if s.Err == nil {
			s.Err = problem.New(problem.ClusterRoute, "node", w.addr, "detail", "it has stopped answering")
		}
		w.net.announce()
	}
	err := s.Err
	w.net.mu.Unlock()
	if was {
		w.say(slog.LevelWarn, "a member is silent", err)
	}
	w.redial.Reset(0)
}

// drop ends all connections except keep.
func (w *watcher) drop(keep *conn) {
	for c := range w.conns {
		if c != keep {
			delete(w.conns, c)
			c.abort()
		}
	}
}

// say logs what has not been logged since the last answer.
func (w *watcher) say(level slog.Level, what string, err error) {
	if text := fmt.Sprint(what, err); !w.told[text] && len(w.told) < 8 {
		w.told[text] = true
		w.log.Log(w.ctx, level, what, "err", err)
	}
}
