package edge

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// peer is a connection. Until it has a session it belongs to the goroutine
// that negotiates, but for stop.
type peer struct {
	edge *Edge
	addr netip.Addr
	wire *wire
	// conn is wire, or TLS over it.
	conn    net.Conn
	scanner *stream.Scanner
	// opened says that our stream header has been sent.
	opened bool
	// stranger says that it is counted as one.
	stranger bool
	// content is the content namespace.
	content string

	mu      sync.Mutex
	session *session
	stopped *stream.Error
	// deadline of the negotiation.
	deadline time.Time
	// cancel, where not nil, ends a call to the leader.
	cancel context.CancelFunc
	// node says that the connection is another node's.
	node bool
}

// errGone ends a negotiation that needs no last word.
var errGone = errors.New("connection gone")

// stop ends a connection from any goroutine, but for a node's, which hangUp is
// for.
func (p *peer) stop(why *stream.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.node || p.stopped != nil {
		return
	}
	p.stopped = why
	if p.session != nil {
		p.session.dismiss(why)
		return
	}
	if p.cancel != nil {
		p.cancel()
	}
	p.wire.SetReadDeadline(time.Now())
}

// turnAway ends a session, or the wait for one, from any goroutine. Who has yet
// to ask for one is refused when it does.
func (p *peer) turnAway(why *stream.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.session != nil:
		p.session.dismiss(why)
	case p.cancel != nil:
		p.cancel()
	}
}

// over returns why there is no session to be had, or nil. The caller holds mu.
func (p *peer) over() *stream.Error {
	if p.stopped != nil {
		return p.stopped
	}
	return p.edge.shut.Load()
}

// asking returns the context of a call to the leader, which ends when the
// client has waited too long, is to go, or has gone: its answer must not take
// the session from a connection that it has opened since. errGone is the cause
// of the last.
func (p *peer) asking() (context.Context, context.CancelFunc) {
	limited, cancel := context.WithTimeout(context.Background(), p.edge.limits.Auth)
	ctx, end := context.WithCancelCause(limited)
	unwatch := p.wire.watch(func() { end(errGone) })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel = cancel
	if p.over() != nil {
		cancel()
	}
	return ctx, func() {
		unwatch()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.cancel = nil
		cancel()
	}
}

// bound hands the connection over to a session, unless it was stopped.
func (p *peer) bound(s *session) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if why := p.over(); why != nil {
		return why
	}
	p.session = s
	// The deadlines of the negotiation end here.
	return p.conn.SetDeadline(time.Time{})
}

// begin starts the clock of the negotiation.
func (p *peer) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped != nil {
		return p.stopped
	}
	p.deadline = time.Now().Add(p.edge.limits.Auth)
	return p.wire.SetDeadline(p.deadline)
}

// excuse does not count the time since begin, which was the leader's to wait
// for, against the peer's for the negotiation.
func (p *peer) excuse(begin time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped == nil {
		p.deadline = p.deadline.Add(time.Since(begin))
		p.wire.SetDeadline(p.deadline)
	}
}

// startTLS does the handshake.
func (p *peer) startTLS(cfg *tls.Config) (*tls.Conn, error) {
	t := tls.Server(p.wire, cfg)
	if err := t.HandshakeContext(context.Background()); err != nil {
		p.edge.log.Debug("TLS handshake failed", "addr", p.addr, "err", err)
		return nil, errGone
	}
	p.conn = t
	return t, nil
}

// open reads the peer's stream header and answers with ours, from being the
// address we serve. What is wrong with the header comes after ours, as
// RFC 6120 §4.9.1.2 asks for.
func (p *peer) open(from func(stream.Header) string) (h stream.Header, id string, err error) {
	p.opened = false
	h, err = p.scanner.Header()
	var fault *stream.Error
	if err != nil && !errors.As(err, &fault) {
		return h, "", err
	}
	id = newID()
	if err := p.sendHeader(from(h), id, h.From); err != nil {
		return h, "", err
	}
	if shut := p.edge.shut.Load(); shut != nil {
		return h, id, shut
	}
	return h, id, err
}

func (p *peer) sendHeader(from, id, to string) error {
	ours := stream.Header{Content: p.content, From: from, To: to, ID: id, Lang: "en"}
	if p.content == stanza.NSClient {
		ours.Version = "1.0"
	}
	p.opened = true
	return p.write(ours.Append(nil))
}

func (p *peer) write(b []byte) error {
	_, err := p.conn.Write(b)
	return err
}

func (p *peer) send(e *stanza.Element) error { return p.write(e.Append(nil, stanza.NSClient)) }

// part ends a connection that has no session, for the reason err.
func (p *peer) part(err error) {
	var fault *stream.Error
	p.mu.Lock()
	if p.stopped != nil && err != errGone {
		err = p.stopped
	}
	p.mu.Unlock()
	switch {
	case errors.As(err, &fault):
	case isTimeout(err):
		fault = &stream.Error{Condition: stream.ConnectionTimeout, Text: "not authenticated in time"}
	case !errors.Is(err, io.EOF):
		fault = nil
		err = errGone
	}
	p.edge.log.Debug("connection closed before it had a session", "addr", p.addr, "reason", err)
	if err != errGone && p.scanner != nil {
		p.wire.SetDeadline(time.Now().Add(p.edge.limits.Close))
		var b []byte
		if !p.opened {
			b = (stream.Header{Content: p.content, From: p.edge.domain, ID: newID(), Version: "1.0", Lang: "en"}).Append(b)
		}
		if fault != nil {
			b = appendFault(b, fault)
		}
		if p.write(append(b, stream.End...)) == nil {
			p.linger()
		}
	}
	if p.scanner != nil {
		p.scanner.Release()
	}
	p.wire.Close()
}

// linger lets what was sent arrive: a close while the peer's bytes are unread
// would reset the connection, and the last word be lost.
func (p *peer) linger() {
	if t, ok := p.conn.(*tls.Conn); ok {
		t.CloseWrite()
	}
	p.wire.closeWrite()
	io.CopyN(io.Discard, p.wire.Conn, lingerBytes)
}

// lingerBytes are the most that are thrown away for the sake of a last word.
const lingerBytes = 256 << 10

// seeOtherHost is the condition of RFC 6120 §4.9.3.19, whose element has the
// address as its text.
const seeOtherHost = stream.SeeOtherHost

// appendFault serialises a stream error.
func appendFault(b []byte, fault *stream.Error) []byte {
	if fault.Condition != seeOtherHost {
		return fault.Append(b)
	}
	host := stanza.New(nsStreamErrors, string(seeOtherHost)).AddText(fault.Text)
	return stanza.New(stanza.NSStreams, "error").Add(host).Append(b, stanza.NSClient)
}

const nsStreamErrors = "urn:ietf:params:xml:ns:xmpp-streams"

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// newID is a stream's id: unpredictable, as XEP-0114 §3 relies on.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
