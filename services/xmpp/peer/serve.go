package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const (
	// maxRefusing bounds the strangers that are being told why, at once;
	// more are closed without a word.
	maxRefusing = 16
	// farewell is how long a stranger has to read why.
	farewell = time.Second
)

// ServerTLS is for one connection whose ClientHello offers ALPN. Any client
// certificate passes; Serve checks it, also where a session is resumed.
func (n *Net) ServerTLS() *tls.Config {
	// The certificate and the key of tickets are of one moment, or a ticket
	// could outlive the certificate that it stands for.
	id, err := n.deps.Identity()
	if err == nil && id.Certificate == nil {
		err = errors.New("this node has no certificate")
	}
	cfg := &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		NextProtos:                  []string{ALPN},
		SessionTicketsDisabled:      err != nil,
		DynamicRecordSizingDisabled: true,
		ClientAuth:                  tls.RequireAnyClientCert,
		GetCertificate:              func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return id.Certificate, err },
	}
	if err == nil {
		_, key := n.sessions.with(id)
		cfg.SetSessionTicketKeys([][32]byte{key})
	}
	return cfg
}

// Serve takes over an accepted connection whose handshake by ServerTLS is done. It
// returns when the connection is handed on to whom it is for, or over; the caller
// does nothing more with it.
func (n *Net) Serve(t *tls.Conn) {
	tune(t.NetConn())
	t.SetDeadline(time.Now().Add(n.cfg.Wait))
	if err := n.accept(t); err != nil {
		t.NetConn().Close()
		if host := hostOf(t); n.once(host + err.Error()) {
			n.log.Info("connection of a node ended at its start", "addr", host, "err", err)
		}
	}
}

func (n *Net) accept(t *tls.Conn) error {
	if err := t.Handshake(); err != nil {
		return err
	}
	id, err := n.deps.Identity()
	if err != nil {
		return fmt.Errorf("own certificate: %w", err)
	}
	s := t.ConnectionState()
	if s.NegotiatedProtocol != ALPN {
		return errors.New("not a node's connection")
	}
	if err := id.check(s.PeerCertificates, false, time.Now()); err != nil {
		d, ok := errors.AsType[*Distrust](err)
		if ok {
			d.Of = hostOf(t)
			if n.once(err.Error()) {
				n.log.Warn("a node was refused", "err", err)
			}
			n.refuse(t, answer{Untrusted: strings.Replace(d.Reason, "the trust bundle", "its trust bundle", 1)})
		}
		t.NetConn().Close()
		return nil
	}
	var o opening
	if err := readFrame(t, maxOpening, &o); err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	return n.admit(t, id, o)
}

// admit answers an opening, and hands the connection on to whom it is for.
func (n *Net) admit(t *tls.Conn, id Identity, o opening) error {
	if err := o.Hello.check(); err != nil {
		return err
	}
	self := n.hello()
	if o.To != "" && o.To != self.ID {
		return n.decline(t, fmt.Sprintf("this is node %s and not %s", self.ID, o.To))
	}
	serve, reason := n.server(o.Kind, o.Hello, self)
	if serve == nil {
		return n.decline(t, reason)
	}
	c, ok := n.newConn(t, false, o.Kind, t.RemoteAddr().String(), o.Hello, id)
	if !ok {
		return n.decline(t, "this node is starting or stopping")
	}
	if err := writeFrame(t, maxOpening, answer{Hello: &self}); err != nil {
		c.abort()
		return err
	}
	t.SetDeadline(time.Time{})
	n.hear(o.Hello, c.since)
	if !n.spawn(func(ctx context.Context) { serve(ctx, c) }) {
		c.abort()
	}
	return nil
}

// hostOf is where a connection comes from, without the port, which says nothing.
func hostOf(t *tls.Conn) string {
	addr := t.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// server finds who serves a kind; else why nobody does.
func (n *Net) server(kind string, from, self Hello) (serve func(context.Context, *conn), reason string) {
	switch kind {
	case kindPing:
		return n.servePings, ""
	case kindSpare:
		return n.serveSpare, ""
	case "call":
		return n.serveCalls, ""
	case "raft":
		if from.Cluster != "" && self.Cluster != "" && from.Cluster != self.Cluster {
			return nil, "this node is of another cluster"
		}
		n.mu.Lock()
		layer := n.layer
		n.mu.Unlock()
		if layer == nil {
			return nil, "Raft does not run here"
		}
		return layer.take, ""
	}
	f, ok := n.handlers[kind]
	if !ok {
		return nil, "no such kind of connection here"
	}
	return func(ctx context.Context, c *conn) {
		defer c.Close()
		f(ctx, c, c.peer)
	}, ""
}

// decline tells a trusted node why not. The error is for the log.
func (n *Net) decline(t *tls.Conn, reason string) error {
	n.refuse(t, answer{Refused: reason})
	return fmt.Errorf("declined: %s", reason)
}

// refuse sends why and waits for the other side to read it, without looking at
// anything that comes from it.
func (n *Net) refuse(t *tls.Conn, why answer) {
	select {
	case n.refusing <- struct{}{}:
		defer func() { <-n.refusing }()
	default:
		return
	}
	t.SetDeadline(time.Now().Add(farewell))
	if writeFrame(t, maxOpening, why) != nil || t.CloseWrite() != nil {
		return
	}
	// Closing with bytes unread would send a reset, which may overtake the
	// refusal.
	t.NetConn().SetReadDeadline(time.Now().Add(farewell))
	io.Copy(io.Discard, io.LimitReader(t.NetConn(), 2*maxOpening))
}
