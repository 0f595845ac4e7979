package peer

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// userTimeout is how long the kernel waits for a peer's acknowledgement
	// of what was sent, or of a keep-alive. It is for machines that are gone;
	// of a frozen process the kernel goes on answering.
	userTimeout = 5 * time.Second
	// closeWait is how long closing may wait to say so.
	closeWait = 250 * time.Millisecond
)

// mark is what a certificate was checked against.
type mark struct {
	trust  [sha256.Size]byte
	domain string
}

// marks is an atomic mark.
type marks struct{ atomic.Value }

func (m *marks) Load() mark   { return m.Value.Load().(mark) }
func (m *marks) Store(v mark) { m.Value.Store(v) }

// conn is a connection to a trusted node after its opening.
type conn struct {
	*tls.Conn
	net  *Net
	kind string
	// dialed by this node, not accepted.
	dialed bool
	// addr is as dialed, or where it came from.
	addr string
	// peer is the other's Hello in the opening.
	peer  Hello
	chain []*x509.Certificate
	// since is the time of the handshake.
	since   time.Time
	checked marks
}

// newConn takes a connection in; false where the Net is over, and an accepted one
// also where it has not begun.
func (n *Net) newConn(t *tls.Conn, dialed bool, kind, addr string, peer Hello, id Identity) (*conn, bool) {
	c := &conn{Conn: t, net: n, kind: kind, dialed: dialed, addr: addr, peer: peer, chain: t.ConnectionState().PeerCertificates, since: time.Now()}
	c.checked.Store(mark{id.Trust.sum, id.Domain})
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || !dialed && n.ctx == nil {
		return nil, false
	}
	n.conns[c] = struct{}{}
	return c, true
}

// Close implements net.Conn. It is quick also where the peer takes nothing.
func (c *conn) Close() error {
	c.net.forget(c)
	stop := time.AfterFunc(closeWait, func() { c.NetConn().Close() })
	defer stop.Stop()
	return c.Conn.Close()
}

// abort ends a connection whose peer need not be told.
func (c *conn) abort() {
	c.net.forget(c)
	c.NetConn().Close()
}

func (n *Net) forget(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}

// tune has the kernel notice a peer that is gone, and try again evenly for a
// while, so that a short break is over when it is over. Go has Nagle's algorithm off already.
func tune(c net.Conn) {
	control(c, func(fd int) {
		unix.SetsockoptInt(fd, syscall.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		unix.SetsockoptInt(fd, syscall.IPPROTO_TCP, unix.TCP_KEEPIDLE, 5)
		unix.SetsockoptInt(fd, syscall.IPPROTO_TCP, unix.TCP_KEEPINTVL, 2)
		unix.SetsockoptInt(fd, syscall.IPPROTO_TCP, unix.TCP_KEEPCNT, 3)
		unix.SetsockoptInt(fd, syscall.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
		unix.SetsockoptInt(fd, syscall.IPPROTO_TCP, unix.TCP_THIN_LINEAR_TIMEOUTS, 1)
	})
}

// control calls f with the socket below c, if there is one.
func control(c net.Conn, f func(fd int)) {
	for {
		if s, ok := c.(syscall.Conn); ok {
			if raw, err := s.SyscallConn(); err == nil {
				raw.Control(func(fd uintptr) { f(int(fd)) })
			}
			return
		}
		below, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		c = below.NetConn()
	}
}

// quiet reports whether nothing has arrived on an idle connection, not even
// its end.
func (c *conn) quiet() bool {
	quiet := true
	control(c.NetConn(), func(fd int) {
		var b [1]byte
		_, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = err == unix.EAGAIN || err == unix.EINTR
	})
	return quiet
}

// closedByPeer tells an end that the other side's kernel or process made from
// silence and time-outs.
func closedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
