package edge

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wire is the connection below TLS. Its next byte can be looked at, and it
// remembers the certificate that was shown on it, for tls-server-end-point.
type wire struct {
	net.Conn
	leaf   *x509.Certificate
	first  [1]byte
	peeked bool
	// closed, where not nil, is called by Close.
	closed func()
}

// Close implements net.Conn.
func (w *wire) Close() error {
	if w.closed != nil {
		w.closed()
	}
	return w.Conn.Close()
}

// NetConn is the connection itself, for whoever sets its options.
func (w *wire) NetConn() net.Conn { return w.Conn }

// peek returns the next byte, which Read returns again.
func (w *wire) peek() (byte, error) {
	for {
		n, err := w.Conn.Read(w.first[:])
		if n == 1 {
			w.peeked = true
			return w.first[0], nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// skipSpace drops the white space before the ClientHello: some clients end
// <starttls/> with a line feed.
func (w *wire) skipSpace() error {
	for {
		b, err := w.peek()
		if err != nil || !strings.ContainsRune(" \t\r\n", rune(b)) {
			return err
		}
	}
}

// watch calls gone if the peer closes the connection, until stop is called. What
// the peer has sent stays to be read; the read deadline is lost.
func (w *wire) watch(gone func()) (stop func()) {
	c, ok := w.Conn.(syscall.Conn)
	if !ok {
		return func() {}
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return func() {}
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		closed := false
		raw.Read(func(fd uintptr) bool {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
			n, err := unix.Poll(fds, 0)
			closed = err == nil && n > 0
			return closed
		})
		if closed {
			gone()
		}
	}()
	return func() {
		w.SetReadDeadline(time.Now())
		<-over
	}
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if w.peeked && len(p) > 0 {
		w.peeked = false
		p[0] = w.first[0]
		return 1, nil
	}
	return w.Conn.Read(p)
}

// closeWrite ends the sending side, so that what was sent arrives even though
// the peer is still sending.
func (w *wire) closeWrite() {
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
}

// isTLS tells a ClientHello from an XML stream: 22 is the content type of a
// handshake (RFC 8446 §5.1), and no character of XML.
func isTLS(first byte) bool { return first == 0x16 }

// tlsConfig is the server's. There are no session tickets: a resumed session
// shows no certificate, so tls-server-end-point would have nothing to bind to.
func tlsConfig(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true,
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := certificate(h)
			if err != nil {
				return nil, err
			}
			if w, ok := h.Conn.(*wire); ok && len(cert.Certificate) > 0 {
				if w.leaf = cert.Leaf; w.leaf == nil {
					if w.leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
						return nil, err
					}
				}
			}
			return cert, nil
		},
	}
}

// tuneTCP has the kernel notice a peer that is gone, whether or not there is
// something to send to it. Go has Nagle's algorithm off already.
func tuneTCP(c net.Conn, userTimeout time.Duration) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4})
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
	})
}
