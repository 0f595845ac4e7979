package peer

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// StreamLayer is Raft's way to other nodes, by connections of kind "raft";
// addr is this node's address as the others dial it. A new layer takes the
// place of an older one. Close ends the layer's connections too, which
// raft.NetworkTransport does not.
func (n *Net) StreamLayer(addr func() string) raft.StreamLayer {
	l := &streamLayer{net: n, addr: addr, accepted: make(chan *conn), conns: make(map[net.Conn]struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	n.mu.Lock()
	defer n.mu.Unlock()
	n.layer = l
	return l
}

type streamLayer struct {
	net      *Net
	addr     func() string
	accepted chan *conn
	// ctx ends with the layer.
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

// take hands a connection to Accept.
func (l *streamLayer) take(ctx context.Context, c *conn) {
	r, ok := l.hold(c)
	if !ok {
		return
	}
	select {
	case l.accepted <- c:
		return
	case <-ctx.Done():
	case <-l.ctx.Done():
	case <-time.After(l.net.cfg.Wait):
	}
	r.Close()
}

// Accept implements net.Listener.
func (l *streamLayer) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return &raftConn{c, l}, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Dial implements raft.StreamLayer.
func (l *streamLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx := l.ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	c, err := l.net.dialReady(ctx, string(address), "raft")
	if err != nil {
		return nil, err
	}
	r, ok := l.hold(c)
	if !ok {
		return nil, net.ErrClosed
	}
	return r, nil
}

// abortRaft ends the connections that Raft has dialed to a node. It dials anew.
func (n *Net) abortRaft(id string) {
	for _, c := range n.open() {
		if c.kind == "raft" && c.dialed && c.peer.ID == id {
			c.abort()
		}
	}
}

// hold takes c in, or closes it where the layer is closed.
func (l *streamLayer) hold(c *conn) (*raftConn, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		c.abort()
		return nil, false
	}
	l.conns[c] = struct{}{}
	return &raftConn{c, l}, true
}

// Close implements net.Listener.
func (l *streamLayer) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.cancel()
	all := l.conns
	l.conns = nil
	l.mu.Unlock()
	for c := range all {
		c.Close()
	}
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	if l.net.layer == l {
		l.net.layer = nil
	}
	return nil
}

// Addr implements net.Listener.
func (l *streamLayer) Addr() net.Addr { return address(l.addr()) }

// raftConn is a connection that its layer knows of.
type raftConn struct {
	*conn
	layer *streamLayer
}

// Close implements net.Conn.
func (c *raftConn) Close() error {
	c.layer.mu.Lock()
	delete(c.layer.conns, c.conn)
	c.layer.mu.Unlock()
	return c.conn.Close()
}

// address is "ip:port".
type address string

// Network implements net.Addr.
func (address) Network() string { return "tcp" }

// String implements net.Addr.
func (a address) String() string { return string(a) }
