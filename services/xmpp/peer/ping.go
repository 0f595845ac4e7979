package peer

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

const (
	// stuck is how long a silent connection is kept, in case it answers
	// after all, as a frozen process's does.
	stuck = 15 * time.Second
	// promptly is within which a ping is answered that tells the clock: the
	// offset may be wrong by half the round trip, and that of a frozen node,
	// which answers when it goes on, is.
	promptly = time.Second
)

// kindPing is a connection that tells whether the other side lives.
const kindPing = "ping"

// member is one node that is pinged. watch runs in one goroutine; the fields
// below mu are the Net's.
type member struct {
	net   *Net
	id    string
	log   *slog.Logger
	nudge chan struct{}

	// Guarded by net.mu.
	cancel    context.CancelFunc
	addr      string
	state     State
	heard     time.Time
	refusedAt time.Time
	// spares are ready for Dial; stocking: more are being made.
	spares   []*conn
	stocking bool
	// doubted: the member fell silent, and it is not known yet whether the
	// connections that were there, and the spares, carry still.
	doubted bool
}

// poke has watch dial now.
func (m *member) poke() {
	select {
	case m.nudge <- struct{}{}:
	default:
	}
}

// take keeps a newer Hello and reports whether it says something new. net.mu is
// held.
func (m *member) take(h Hello) bool {
	old := m.state.Hello
	m.state.Hello = h
	if old.Address != h.Address && old.Address != "" {
		m.log.Info("a member's address has changed", "from", old.Address, "to", h.Address)
	}
	return old.ID != h.ID || old.Address != h.Address || old.Version != h.Version || old.LeaderID != h.LeaderID || old.Cluster != h.Cluster
}

// pong is what came of a ping, or the end of the connection.
type pong struct {
	*conn
	hello      Hello
	rtt, clock time.Duration
	err        error
}

// ping asks on c until c ends, which is its last report. It always reads, so that
// an end is noticed at once and not with the next ping.
func (m *member) ping(ctx context.Context, c *conn, to chan<- pong) {
	// asked has the time of the ping that waits for its answer.
	asked := make(chan time.Time, 1)
	done := make(chan struct{})
	asking := make(chan struct{})
	go func() {
		defer close(asking)
		m.ask(ctx, c, asked, done)
	}()
	var err error
	for err == nil {
		p := pong{conn: c}
		err = readFrame(c, maxOpening, &p.hello)
		if err == nil {
			err = p.hello.check()
		}
		if err == nil {
			select {
			case sent := <-asked:
				p.rtt = time.Since(sent)
				p.clock = p.hello.Time.Sub(sent.Add(p.rtt / 2))
				c.SetReadDeadline(time.Now().Add(m.net.cfg.Ping + stuck))
				to <- p
			default:
				err = fmt.Errorf("answer without a ping: %w", errFrame)
			}
		}
	}
	close(done)
	c.SetDeadline(time.Unix(1, 0))
	<-asking
	to <- pong{conn: c, err: err}
}

// ask sends pings, the next one when the last is answered.
func (m *member) ask(ctx context.Context, c *conn, asked chan time.Time, done <-chan struct{}) {
	c.SetDeadline(time.Now().Add(m.net.cfg.Ping + stuck))
	tick := time.NewTicker(m.net.cfg.Ping)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-done:
			return
		case <-ctx.Done():
			c.abort()
			return
		}
		if len(asked) > 0 {
			continue
		}
		ping := m.net.hello()
		c.SetWriteDeadline(time.Now().Add(stuck))
		asked <- time.Now()
		if writeFrame(c, maxOpening, ping) != nil {
			// Why is read better.
			return
		}
	}
}

// servePings answers a member's.
func (n *Net) servePings(_ context.Context, c *conn) {
	defer c.Close()
	for {
		c.SetDeadline(time.Now().Add(stuck))
		var h Hello
		if readFrame(c, maxOpening, &h) != nil || h.check() != nil {
			return
		}
		n.hear(h, c.since)
		if writeFrame(c, maxOpening, n.hello()) != nil {
			return
		}
	}
}
