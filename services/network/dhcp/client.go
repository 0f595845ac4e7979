// Package dhcp is a DHCP client for one interface (RFC 2131): it gets a lease,
// keeps it, and tells its owner when the lease changes or is lost. It sets no
// address and no route: that is the owner's.
package dhcp

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

var (
	// ErrNak: the server says that the address is not, or no longer, ours.
	ErrNak = errors.New("server refused the address")
	// ErrRelease, as the cause that ends the context of Run, gives the lease
	// back; with any other cause it stays.
	ErrRelease = errors.New("release the lease")

	errExpired = errors.New("lease expired")
)

const (
	// leastBackoff and mostBackoff bound the pause between attempts to get
	// a lease, before jitter.
	leastBackoff = time.Second
	mostBackoff  = 32 * time.Second
	// leastRetry is RFC 2131 §4.4.5: not sooner, unless the time is up.
	leastRetry = time.Minute
)

// Wire carries the messages; each call is one exchange with its own
// retransmissions. It is the client's outer edge; Sockets is the real one.
type Wire interface {
	// Acquire asks all servers for an address, hint if that is valid, and
	// takes the first offer.
	Acquire(ctx context.Context, hint netip.Addr) (Lease, error)
	// Verify asks all servers whether the lease still holds here, where
	// "here" may be another network than before (INIT-REBOOT).
	Verify(ctx context.Context, l Lease) (Lease, error)
	// Renew asks the lease's server, Rebind any, to extend it.
	Renew(ctx context.Context, l Lease) (Lease, error)
	Rebind(ctx context.Context, l Lease) (Lease, error)
	Release(l Lease) error
}

// Client keeps a lease. Run is called once.
type Client struct {
	wire   Wire
	hint   netip.Addr
	report func(*Lease)
	log    *slog.Logger
	// changed has an element if the carrier came or went since Run looked.
	changed chan struct{}

	// mu makes up and changed change as one.
	mu sync.Mutex
	up bool
}

// New returns a client that asks for hint, if valid, first. It calls report
// from Run's goroutine with each new or extended lease, and with nil when the
// lease is lost: then the address must not be used any more (§4.4.5).
func New(wire Wire, hint netip.Addr, report func(*Lease), log *slog.Logger) *Client {
	return &Client{wire: wire, hint: hint, report: report, log: log, changed: make(chan struct{}, 1)}
}

// Carrier tells whether the link has carrier; at first it has none. When it
// comes back the lease is verified, for it may be another network's link.
func (c *Client) Carrier(up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.up == up {
		return
	}
	c.up = up
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

func (c *Client) isUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.up
}

// Run gets and keeps a lease until ctx ends.
func (c *Client) Run(ctx context.Context) {
	hint := c.hint
	for {
		l, err := c.acquire(ctx, hint)
		if err != nil {
			return
		}
		c.log.Info("lease granted", "address", l.Address, "gateway", l.Gateway, "server", l.Server, "expires", l.Expires)
		c.report(&l)
		err = c.hold(ctx, &l)
		if ctx.Err() != nil {
			if errors.Is(context.Cause(ctx), ErrRelease) {
				if err := c.wire.Release(l); err != nil {
					c.log.Warn("lease not given back", "address", l.Address, "err", err)
				}
			}
			return
		}
		c.log.Warn("lease lost", "address", l.Address, "err", err)
		c.report(nil)
		hint = l.Address.Addr()
		if errors.Is(err, ErrNak) {
			hint = netip.Addr{}
		}
	}
}

// acquire tries until it has a lease; it fails only when ctx ends. Without
// carrier it waits for it, and carrier that comes ends a pause.
func (c *Client) acquire(ctx context.Context, hint netip.Addr) (Lease, error) {
	pause := leastBackoff
	for {
		for !c.isUp() {
			select {
			case <-c.changed:
			case <-ctx.Done():
				return Lease{}, ctx.Err()
			}
		}
		// What comes and goes from here on casts doubt on the lease; what
		// came before does not.
		select {
		case <-c.changed:
		default:
		}
		l, err := c.wire.Acquire(ctx, hint)
		if err == nil {
			return l, nil
		}
		if ctx.Err() != nil {
			return Lease{}, ctx.Err()
		}
		if errors.Is(err, ErrNak) {
			hint = netip.Addr{}
		}
		wait := jitter(pause)
		c.log.Warn("no lease", "err", err, "again", wait)
		select {
		case <-time.After(wait):
			pause = min(2*pause, mostBackoff)
		case <-c.changed:
			pause = leastBackoff
		case <-ctx.Done():
			return Lease{}, ctx.Err()
		}
	}
}

// jitter spreads the clients of a network that came up at once (§4.1).
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2)
}

// hold extends the lease until it is lost or ctx ends, and says why.
func (c *Client) hold(ctx context.Context, l *Lease) error {
	next := l.Renew
	for {
		var due <-chan time.Time
		if !l.forever() {
			due = time.After(time.Until(next))
		}
		var fresh Lease
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.changed:
			if !c.isUp() {
				continue
			}
			// Without an answer the lease stays as it is.
			fresh, err = c.wire.Verify(ctx, *l)
		case now := <-due:
			extend, end := c.wire.Renew, l.Rebind
			switch {
			case !now.Before(l.Expires):
				return errExpired
			case !now.Before(l.Rebind):
				extend, end = c.wire.Rebind, l.Expires
			}
			fresh, err = until(ctx, end, extend, *l)
			next = retry(time.Now(), end)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			c.log.Debug("lease extended", "address", fresh.Address, "expires", fresh.Expires)
			*l = fresh
			next = l.Renew
			c.report(l)
		case errors.Is(err, ErrNak):
			return err
		default:
			c.log.Warn("lease not extended", "address", l.Address, "err", err, "again", next)
		}
	}
}

func until(ctx context.Context, end time.Time, f func(context.Context, Lease) (Lease, error), l Lease) (Lease, error) {
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	return f(ctx, l)
}
