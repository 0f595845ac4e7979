package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// ALPN tells nodes from clients on the one port.
const ALPN = "parley-peer"

// reviewEvery is how often connections are compared with the trust bundle.
const reviewEvery = 500 * time.Millisecond

// Identity is what this node shows and whom it trusts.
type Identity struct {
	Certificate *tls.Certificate
	Trust       Trust
	// Domain is the XMPP domain.
	Domain string
	// Client, unless nil, is what this node shows where it dials, in place of
	// Certificate; nodes are then told from others by ClientName, which is
	// what the certificate of a dialer has to name, while that of one that
	// is dialed need only be of an authority in Trust.
	Client     *tls.Certificate
	ClientName string
}

// shown is what this node shows where it dials.
func (id Identity) shown() *tls.Certificate {
	if id.Client != nil {
		return id.Client
	}
	return id.Certificate
}

// check is Trust.Check of a node that was dialed, or has dialed.
func (id Identity) check(chain []*x509.Certificate, dialed bool, now time.Time) error {
	switch {
	case id.Client == nil:
		return id.Trust.Check(chain, id.Domain, now)
	case dialed:
		return id.Trust.checkServer(chain, now)
	}
	return id.Trust.CheckClient(chain, id.ClientName, now)
}

// Config has the times; zero is the default.
type Config struct {
	// Ping is the time between two pings, 100 ms.
	Ping time.Duration
	// Silence without an answer makes a member unreachable, 400 ms.
	Silence time.Duration
	// Wait bounds connecting, and again handshake and opening, 3 s each.
	Wait time.Duration
}

// Deps are what a Net needs.
type Deps struct {
	// Identity is asked at each handshake and twice a second, by any
	// goroutine; it should be quick.
	Identity func() (Identity, error)
	// Self is this node now. It is asked for each ping and answer to one, by
	// any goroutine, and must be quick.
	Self func() Hello
	Log  *slog.Logger
	// DialContext makes TCP connections; nil is net.Dialer's.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Handler serves a connection of a kind and closes it. ctx ends with the Net.
type Handler func(ctx context.Context, conn net.Conn, from Hello)

// CallHandler answers a call. ctx ends with the caller's patience. An error that
// is a problem passes as it is, of others the text.
type CallHandler func(ctx context.Context, from Hello, in json.RawMessage) (any, error)

// Net is a node's end of all connections to other nodes. All methods may be
// called by any goroutine; Handle and HandleCall before Run.
type Net struct {
	cfg      Config
	deps     Deps
	log      *slog.Logger
	handlers map[string]Handler
	calls    map[string]CallHandler
	refusing chan struct{}
	sessions sessions

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before
	closed  bool
	wg      sync.WaitGroup // what runs for Run; grows only while !closed
	conns   map[*conn]struct{}
	idle    map[string][]*idleConn
	members map[string]*member
	layer   *streamLayer
	changed chan struct{}
	said    map[string]time.Time
}

// New returns a Net that does nothing until Run, except to dial.
func New(cfg Config, deps Deps) *Net {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&cfg.Ping, 100*time.Millisecond)
	set(&cfg.Silence, 400*time.Millisecond)
	set(&cfg.Wait, 3*time.Second)
	if deps.DialContext == nil {
		deps.DialContext = (&net.Dialer{}).DialContext
	}
	return &Net{cfg: cfg, deps: deps, log: deps.Log.With("component", "peer"), refusing: make(chan struct{}, maxRefusing),
		handlers: make(map[string]Handler), calls: make(map[string]CallHandler), conns: make(map[*conn]struct{}),
		idle: make(map[string][]*idleConn), members: make(map[string]*member), changed: make(chan struct{}), said: make(map[string]time.Time)}
}

// Handle has f serve connections of a kind.
func (n *Net) Handle(kind string, f func(ctx context.Context, conn net.Conn, from Hello)) {
	n.handlers[kind] = f
}

// HandleCall has f answer a method of Call.
func (n *Net) HandleCall(method string, f func(ctx context.Context, from Hello, in json.RawMessage) (any, error)) {
	n.calls[method] = f
}

// Run pings the members, and ends all connections with ctx. A Net runs once.
func (n *Net) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n.mu.Lock()
	if n.ctx != nil {
		n.mu.Unlock()
		return errors.New("peer: Run is called twice")
	}
	n.ctx = ctx
	for _, m := range n.members {
		n.start(m)
	}
	n.mu.Unlock()

	tick := time.NewTicker(reviewEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			n.review()
			n.stock()
			n.pruneIdle(idleKept)
		}
	}

	n.mu.Lock()
	n.closed = true
	layer := n.layer
	n.mu.Unlock()
	if layer != nil {
		layer.Close()
	}
	n.pruneIdle(0)
	var closing sync.WaitGroup
	for _, c := range n.open() {
		closing.Go(func() { c.Close() })
	}
	closing.Wait()
	n.wg.Wait()
	return nil
}

// spawn runs f for Run, unless that is over or has not begun.
func (n *Net) spawn(f func(ctx context.Context)) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx == nil || n.closed {
		return false
	}
	ctx := n.ctx
	n.wg.Go(func() { f(ctx) })
	return true
}

// open returns the connections that are open.
func (n *Net) open() []*conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]*conn, 0, len(n.conns))
	for c := range n.conns {
		all = append(all, c)
	}
	return all
}

// review closes the connections whose certificates a changed bundle no longer
// covers. A certificate that has expired since its handshake stays good
// for the connections that it has: a cluster must not fall apart at midnight.
func (n *Net) review() {
	id, err := n.deps.Identity()
	if err != nil {
		return
	}
	now := mark{id.Trust.sum, id.Domain}
	for _, c := range n.open() {
		if c.checked.Load() == now {
			continue
		}
		if err := id.check(c.chain, c.dialed, time.Now()); err != nil && id.check(c.chain, c.dialed, c.since) != nil {
			n.log.Warn("connection closed, the trust bundle has changed", "addr", c.addr, "kind", c.kind, "err", err)
			c.abort()
			continue
		}
		c.checked.Store(now)
	}
}

// once reports whether text was not said for a minute, so that a stranger who
// tries again and again does not fill the log.
func (n *Net) once(text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	if t, ok := n.said[text]; ok && now.Sub(t) < time.Minute {
		return false
	}
	if len(n.said) >= 64 {
		for k, t := range n.said {
			if now.Sub(t) >= time.Minute {
				delete(n.said, k)
			}
		}
		if len(n.said) >= 64 {
			return false
		}
	}
	n.said[text] = now
	return true
}
