package callbridge

import (
	"context"
	"errors"
	"io"
	"math"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"parley/services/config"
	"parley/services/xmpp/stream"
)

// The DNS may name better servers than the one that is connected: of better
// priority, or any where it names this one no more. They are looked at each
// lookEvery; one that has answered each time for the patience is moved to: the
// new connection is made, and it is the server that ends the old one then, so
// there is no gap.
//
// The patience doubles with each move, and is the first one again only after a
// connection that was moved to has lasted for calm. So servers that come and go
// are moved to seven times in the first two hours, and less than once an hour
// after that.
const (
	lookEvery                   = 15 * time.Second
	firstPatience, mostPatience = time.Minute, 64 * time.Minute
	calm                        = time.Hour
)

// home is what is kept from connection to connection of one configuration.
type home struct {
	// patience is how long a better server has to have answered; 0 is the
	// first.
	patience time.Duration
	// again is what the last server has not acknowledged.
	again [][]byte
}

// moved is after a move.
func (h *home) moved() { h.patience = min(2*max(h.patience, firstPatience), mostPatience) }

// left is after a connection that was moved to has lasted so long.
func (h *home) left(lived time.Duration) {
	if lived >= calm {
		h.patience = 0
	}
}

// stay lives on a connection, and on those that it moves to, until there is
// none. It returns why the last one was lost, where, and how long it lasted.
func (b *Bridge) stay(ctx context.Context, conf config.CallBridge, w *way, c *wire, h *home) (f *failure, lived time.Duration) {
	for moved := false; ; moved = true {
		begun := time.Now()
		c.attendant = b.attend(c, w)
		next, err := b.liveOn(ctx, conf, w, c, h)
		h.again = c.unsent()
		lived = max(time.Since(begun), 1)
		if moved {
			h.left(lived)
		}
		f = w.refused(err).at(c.target, c.addr)
		if _, said := errors.AsType[*stream.Error](err); said || err == io.EOF || next != nil || ctx.Err() != nil {
			c.close()
		} else {
			c.drop()
		}
		if next == nil || ctx.Err() != nil {
			if next != nil {
				next.close()
			}
			return f, lived
		}
		h.moved()
		b.log.Info("moved to a better server", "from", c.target.String(), "to", next.target.String())
		c = next
	}
}

// liveOn lives on a connection until it is lost, or there is one to a better
// server, which is returned then.
func (b *Bridge) liveOn(ctx context.Context, conf config.CallBridge, w *way, c *wire, h *home) (next *wire, err error) {
	run, stop := context.WithCancel(ctx)
	defer stop()
	looking, cancel := context.WithCancel(ctx)
	defer cancel()
	var joining atomic.Bool
	found := make(chan *wire, 1)
	go func() {
		next := b.seek(looking, conf, c, max(h.patience, firstPatience), &joining)
		if next != nil {
			stop()
		}
		found <- next
	}()
	err = c.live(run, w.address(), w.link.Domain, h.again)
	// The server ends the old connection when it knows of the new one, which
	// this end may not know yet.
	if !isConflict(err) || !joining.Load() {
		cancel()
	}
	return <-found, err
}

func isConflict(err error) bool {
	e, ok := errors.AsType[*stream.Error](err)
	return ok && e.Condition == stream.Conflict
}

// seek looks for a server that is better than c's, and returns a connection to
// it, nil where ctx ends before. joining is set while the secret is shown.
func (b *Bridge) seek(ctx context.Context, conf config.CallBridge, c *wire, patience time.Duration, joining *atomic.Bool) *wire {
	if conf.XMPP.Server != "" {
		return nil
	}
	// since is when a server began to answer each time.
	since := map[netip.AddrPort]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(chance(lookEvery)):
		}
		w, err := b.way(conf)
		if err != nil {
			continue
		}
		now, answering := time.Now(), map[netip.AddrPort]time.Time{}
		var next *wire
		for _, s := range w.better(ctx, c) {
			if next != nil || !w.answers(ctx, s) {
				continue
			}
			begun, ok := since[s.addr]
			if !ok {
				begun = now
			}
			answering[s.addr] = begun
			if now.Sub(begun) < patience {
				continue
			}
			joining.Store(true)
			if next = b.move(ctx, w, s); next == nil {
				delete(answering, s.addr)
			}
			joining.Store(false)
		}
		if next != nil {
			return next
		}
		since = answering
	}
}

// place is a target at one of its addresses.
type place struct {
	target target
	addr   netip.AddrPort
}

// better are the servers that the DNS names now and that are better than c's,
// the best first.
func (w *way) better(ctx context.Context, c *wire) (found []place) {
	targets, _ := w.targets(ctx)
	priority := math.MaxInt
	at := slices.IndexFunc(targets, func(t target) bool { return t.name == c.target.name && t.port == c.target.port })
	if at >= 0 {
		// An address that is not known now is as good as another.
		if addrs, f := w.addresses(ctx, targets[at]); f != nil || slices.Contains(addrs, c.addr) {
			priority = targets[at].priority
		}
	}
	for _, t := range targets {
		if t.priority >= priority {
			continue
		}
		addrs, _ := w.addresses(ctx, t)
		for _, a := range addrs {
			if a != c.addr {
				found = append(found, place{t, a})
			}
		}
	}
	return found
}

// answers says whether a server could be had for this component: it takes
// streams, and knows the name. The secret is not shown.
func (w *way) answers(ctx context.Context, s place) bool {
	raw, f := w.reach(ctx, s.target, s.addr)
	if f != nil {
		return false
	}
	c, f := w.open(ctx, s.target, s.addr, raw)
	if f != nil {
		return false
	}
	defer c.close()
	return w.knows(ctx, c) == nil
}

// knows asks a server by a stream that was opened whether it knows the name and
// would go on: whom it refuses it tells so before it answers the stream's end.
func (w *way) knows(ctx context.Context, c *wire) *failure {
	ctx, cancel := context.WithTimeout(ctx, negotiationTime)
	defer cancel()
	err := c.during(ctx, func() error {
		if err := c.send([]byte(stream.End)); err != nil {
			return err
		}
		_, err := c.next()
		return err
	})
	if err == io.EOF {
		return nil
	}
	return w.refused(err).at(c.target, c.addr)
}

// move makes a connection while there is another.
func (b *Bridge) move(ctx context.Context, w *way, s place) *wire {
	select {
	case b.making <- struct{}{}:
		defer func() { <-b.making }()
	case <-ctx.Done():
		return nil
	}
	c, f := w.join(ctx, s.target, s.addr)
	if f != nil {
		b.tried(ctx, nil, f)
		return nil
	}
	b.connected(w.link, c)
	return c
}
