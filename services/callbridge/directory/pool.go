package directory

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"

	"parley/services/config"
)

// errSilent is the cause of a context that ended because the server did not
// answer in time.
var errSilent = errors.New("no answer in time")

// errClosed is for calls after Close.
var errClosed = errors.New("the directory is closed")

// errTooLong is for answers of more octets than Limits.Answer.
var errTooLong = errors.New("the answer is too long")

// bounded is a connection from which only so much is read. It is what stands
// between a server and this process's memory.
type bounded struct {
	net.Conn
	left atomic.Int64
}

// Read implements net.Conn.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left.Load() <= 0 {
		return 0, errTooLong
	}
	n, err := b.Conn.Read(p)
	b.left.Add(-int64(n))
	return n, err
}

// conn is a connection, for one goroutine at a time.
type conn struct {
	ldap   *ldap.Conn
	wire   *bounded
	limits Limits
	// broken says that the connection cannot be used again.
	broken bool
	// used is when it was last given back.
	used time.Time
}

func newConn(wire net.Conn, secure bool, limits Limits) *conn {
	b := &bounded{Conn: wire}
	b.left.Store(int64(limits.Answer))
	c := &conn{ldap: ldap.NewConn(b, secure), wire: b, limits: limits}
	c.ldap.Start()
	return c
}

func (c *conn) close() {
	// An orderly goodbye could block on a server that takes nothing.
	c.wire.Close()
	c.ldap.Close()
}

// call runs f, which uses the connection, and ends it when time is up or ctx
// ends: go-ldap knows no contexts.
func (c *conn) call(ctx context.Context, limit time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSilent)
	defer cancel()
	c.wire.left.Store(int64(c.limits.Answer))
	stop := context.AfterFunc(ctx, func() { c.wire.Close() })
	err := f()
	if !stop() {
		c.broken = true
		return context.Cause(ctx)
	}
	// Busy and unavailable servers may have a brother at another address.
	if err != nil && (!fromServer(err) || ldap.IsErrorAnyOf(err, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable)) {
		c.broken = true
	}
	return err
}

func (c *conn) bind(ctx context.Context, name string, password config.Secret) error {
	return c.call(ctx, c.limits.Request, func() error { return c.ldap.Bind(name, password.Reveal()) })
}

func (c *conn) search(ctx context.Context, req *ldap.SearchRequest) (r *ldap.SearchResult, err error) {
	err = c.call(ctx, c.limits.Request, func() (err error) {
		r, err = c.ldap.Search(req)
		return err
	})
	return r, err
}

// pool keeps connections that were opened alike.
type pool struct {
	open  func(context.Context) (*conn, error)
	idle  time.Duration
	slots chan struct{}

	mu     sync.Mutex
	free   []*conn
	closed bool
}

func newPool(l Limits, open func(context.Context) (*conn, error)) *pool {
	return &pool{open: open, idle: l.Idle, slots: make(chan struct{}, l.Connections)}
}

// use runs f with a connection. If one that was kept turns out to be broken, f
// is run once more with a new one.
func (p *pool) use(ctx context.Context, f func(*conn) error) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c, err := p.take()
	if err != nil {
		return err
	}
	if c != nil {
		err := f(c)
		if p.give(c) || err == nil || ctx.Err() != nil {
			return err
		}
	}
	if c, err = p.open(ctx); err != nil {
		return err
	}
	defer p.give(c)
	return f(c)
}

// take returns a connection that was kept, or nil.
func (p *pool) take() (*conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	for len(p.free) > 0 {
		c := p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		if time.Since(c.used) < p.idle && !c.ldap.IsClosing() {
			return c, nil
		}
		c.close()
	}
	return nil, nil
}

// give keeps c for the next, or ends it if it is broken, which is false.
func (p *pool) give(c *conn) bool {
	c.used = time.Now()
	p.mu.Lock()
	keep := !c.broken && !p.closed
	if keep {
		p.free = append(p.free, c)
	}
	p.mu.Unlock()
	if !keep {
		c.close()
	}
	return !c.broken
}

func (p *pool) close() {
	p.mu.Lock()
	free := p.free
	p.free, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range free {
		c.close()
	}
}
