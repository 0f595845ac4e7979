package client

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"parley/services/xmpp/stanza"
)

// Config says who logs in where.
type Config struct {
	// Addresses, host:port, are tried in turn, from the first on; after a
	// loss from the one that was in use on.
	Addresses []string
	Domain    string
	User      string
	Password  string
	// Resource to ask for; "" leaves it to the server.
	Resource string
	// Roots that the server's certificate, of the domain, must chain to.
	Roots *x509.CertPool
	// StartTLS upgrades a plain stream; otherwise TLS comes first (XEP-0368).
	StartTLS bool
	// Unavailable sends no presence, so no messages come.
	Unavailable bool
	// Stubborn tries on where its password was refused, for those who know
	// better; Lost has ErrPassword then.
	Stubborn bool
	// Window is how many stanzas may be unacknowledged before Send waits;
	// 0 is 256.
	Window int
	// AskEvery is after how many stanzas an <r/> is sent; 0 is 1.
	AskEvery int
	// Attempt is the time that one address has, from dialling to a bound
	// session; 0 is 5 s. Retry is the pause after all have failed; 0 is 100 ms.
	Attempt, Retry time.Duration
	// Silence is the time without a word from the server after which it is
	// asked, and after twice which the connection is given up; 0 is 30 s.
	Silence time.Duration
}

// Deps are what a client tells. The functions may be nil; they are called one
// at a time, from Run's goroutine, and must not call the client other than
// Send with room in the window, Addr or JID.
type Deps struct {
	// Received takes each stanza; only once it has returned is the stanza
	// counted in our <a/>. It may keep e.
	Received func(e *stanza.Element)
	// Acked tells that the server has a stanza, in the order of sending.
	Acked func(id string)
	// Repeated tells that a stanza is sent again in a new session, although
	// the old one may have delivered it.
	Repeated func(id string)
	// Changed tells of connections made and lost.
	Changed func(Event)
	// Dial replaces the usual one.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
}

// Kind of an Event.
type Kind int

// The kinds of event.
const (
	// Bound is a new session, of which what comes next is the first, and
	// Resumed the old one on a new connection.
	Bound Kind = iota
	Resumed
	// Lost is a connection that broke, or an attempt that failed.
	Lost
)

func (k Kind) String() string { return [...]string{"bound", "resumed", "lost"}[k] }

// Event is a change of the connection.
type Event struct {
	Kind Kind
	Addr string
	// Err is why it was lost.
	Err error
}

// Client is one account's session. Its methods may be called from any
// goroutine.
type Client struct {
	cfg  Config
	deps Deps

	mu sync.Mutex
	// change is closed and made anew when something that others wait for
	// has come: room, a session, the end.
	change chan struct{}
	// over says that Run has returned, or is about to.
	over bool
	// wire is the connection in use, nil between connections.
	wire *wire
	// session outlives connections.
	session
}

// ErrPassword is a password that was refused.
var ErrPassword = errors.New("the password is wrong")

// ErrOver is Send's answer once Run has ended.
var ErrOver = errors.New("the client has ended")

// New returns a client that does nothing until Run.
func New(cfg Config, deps Deps) *Client {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&cfg.Attempt, 5*time.Second)
	def(&cfg.Retry, 100*time.Millisecond)
	def(&cfg.Silence, 30*time.Second)
	if cfg.Window == 0 {
		cfg.Window = 256
	}
	if cfg.AskEvery == 0 {
		cfg.AskEvery = 1
	}
	if deps.Dial == nil {
		deps.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	if deps.Received == nil {
		deps.Received = func(*stanza.Element) {}
	}
	if deps.Acked == nil {
		deps.Acked = func(string) {}
	}
	if deps.Repeated == nil {
		deps.Repeated = func(string) {}
	}
	if deps.Changed == nil {
		deps.Changed = func(Event) {}
	}
	return &Client{cfg: cfg, deps: deps, change: make(chan struct{})}
}

// Run keeps the client connected until ctx ends, when it closes its stream in
// order and returns nil. It gives up only where another try cannot help: the
// password is wrong. A session that another client's took the resource of is
// ended by the server (conflict), and made anew.
func (c *Client) Run(ctx context.Context) error {
	defer func() {
		c.mu.Lock()
		c.over = true
		c.signal()
		c.mu.Unlock()
	}()
	if len(c.cfg.Addresses) == 0 {
		return errors.New("no address to connect to")
	}
	next, tried := 0, 0
	for {
		addr := c.hint()
		hinted := addr != ""
		if !hinted {
			addr = c.cfg.Addresses[next]
		}
		established, err := c.connection(ctx, addr)
		if ctx.Err() != nil {
			return nil
		}
		c.deps.Changed(Event{Kind: Lost, Addr: addr, Err: err})
		if errors.Is(err, ErrPassword) && !c.cfg.Stubborn {
			return fmt.Errorf("client %s: %w", c.cfg.User, err)
		}
		switch {
		case established && errors.Is(err, ErrSilent) && !hinted:
			// It would be silent to a new connection as well.
			tried = 0
			next = (next + 1) % len(c.cfg.Addresses)
		case established:
			tried = 0
		case hinted:
			// Whoever is sent on by where it was sent to goes by the list.
			c.unhint()
		default:
			tried++
			next = (next + 1) % len(c.cfg.Addresses)
		}
		if tried < len(c.cfg.Addresses) {
			continue
		}
		tried = 0
		// Clients that lost the same node do not all come back at once.
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.cfg.Retry/2 + rand.N(c.cfg.Retry)):
		}
	}
}

// Ready waits until there is a session.
func (c *Client) Ready(ctx context.Context) error {
	return c.await(ctx, func() bool { return c.wire != nil })
}

// Drained waits until the server has acknowledged all that was sent.
func (c *Client) Drained(ctx context.Context) error {
	return c.await(ctx, func() bool { return len(c.queue) == 0 })
}

// await waits for a condition, which is called with mu held.
func (c *Client) await(ctx context.Context, cond func() bool) error {
	for {
		c.mu.Lock()
		done, over, change := cond(), c.over, c.change
		c.mu.Unlock()
		switch {
		case done:
			return nil
		case over:
			return ErrOver
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("client %s: %w", c.cfg.User, ctx.Err())
		case <-change:
		}
	}
}

// signal wakes who waits. The caller holds mu.
func (c *Client) signal() {
	close(c.change)
	c.change = make(chan struct{})
}

// JID is the full JID, "" before there was a session.
func (c *Client) JID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.jid
}

// Addr is the address that the client is connected to, "" where it is not.
func (c *Client) Addr() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wire == nil {
		return ""
	}
	return c.wire.addr
}

// Break closes the connection, without a word to the server, as a lost network
// would; the client comes back, to addr first where that is not "".
func (c *Client) Break(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.elsewhere = addr
	if c.wire != nil {
		c.wire.raw.Close()
	}
}

// Room waits until Send would not wait.
func (c *Client) Room(ctx context.Context) error {
	return c.await(ctx, func() bool { return len(c.queue) < c.cfg.Window })
}
