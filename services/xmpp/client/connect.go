package client

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

const (
	nsTLS    = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL   = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsBind   = "urn:ietf:params:xml:ns:xmpp-bind"
	nsErrors = "urn:ietf:params:xml:ns:xmpp-streams"
)

// negotiation takes one connection from its first byte to a session.
type negotiation struct {
	*Client
	w *wire
}

// negotiate returns a connection with a session on it, bound or resumed.
func (c *Client) negotiate(ctx context.Context, addr string) (w *wire, resumed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Attempt)
	defer cancel()
	raw, err := c.deps.Dial(ctx, addr)
	if err != nil {
		return nil, false, err
	}
	n := negotiation{c, newWire(addr, raw)}
	// A context that ends closes the connection under the negotiation.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	resumed, err = n.run(ctx)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		n.w.close()
		return nil, false, err
	}
	return n.w, resumed, nil
}

func (n *negotiation) run(ctx context.Context) (resumed bool, err error) {
	if n.cfg.StartTLS {
		if err := n.startTLS(); err != nil {
			return false, fmt.Errorf("STARTTLS: %w", err)
		}
	}
	conn := tls.Client(n.w.raw, &tls.Config{ServerName: n.cfg.Domain, RootCAs: n.cfg.Roots, NextProtos: []string{"xmpp-client"}})
	if err := conn.HandshakeContext(ctx); err != nil {
		return false, fmt.Errorf("TLS: %w", err)
	}
	n.w.conn = conn
	n.w.begin(conn)
	if err := n.authenticate(); err != nil {
		return false, err
	}
	n.w.scanner.Restart()
	features, err := n.open(conn)
	if err != nil {
		return false, err
	}
	if n.session.resumable() {
		if done, err := n.resume(); err != nil || done {
			return done, err
		}
	}
	return false, n.bind(features)
}

// open opens a stream and returns the features.
func (n *negotiation) open(conn net.Conn) (*stanza.Element, error) {
	if _, err := conn.Write(stream.Header{Content: stanza.NSClient, To: n.cfg.Domain, Version: "1.0"}.Append(nil)); err != nil {
		return nil, err
	}
	if _, err := n.w.scanner.Header(); err != nil {
		return nil, err
	}
	return n.next(stanza.NSStreams, "features")
}

// next reads one element; another than was asked for is an error, in words.
func (n *negotiation) next(space, local string) (*stanza.Element, error) {
	e, err := n.w.scanner.Next()
	if err != nil {
		return nil, err
	}
	if err := n.streamError(e); err != nil {
		return nil, err
	}
	if !e.Is(space, local) {
		return nil, fmt.Errorf("%s instead of %s", e, local)
	}
	return e, nil
}

func (n *negotiation) write(e *stanza.Element) error {
	_, err := n.w.conn.Write(e.Append(nil, stanza.NSClient))
	return err
}

func (n *negotiation) startTLS() error {
	n.w.begin(n.w.raw)
	if _, err := n.open(n.w.raw); err != nil {
		return err
	}
	if _, err := n.w.raw.Write(stanza.New(nsTLS, "starttls").Append(nil, stanza.NSClient)); err != nil {
		return err
	}
	if _, err := n.next(nsTLS, "proceed"); err != nil {
		return err
	}
	n.w.scanner.Release()
	return nil
}

func (n *negotiation) authenticate() error {
	if _, err := n.open(n.w.conn); err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString([]byte("\x00" + n.cfg.User + "\x00" + n.cfg.Password))
	if err := n.write(stanza.New(nsSASL, "auth", "mechanism", "PLAIN").AddText(text)); err != nil {
		return err
	}
	e, err := n.w.scanner.Next()
	switch {
	case err != nil:
		return err
	case e.Is(nsSASL, "success"):
		return nil
	case e.Is(nsSASL, "failure") && e.Child(nsSASL, "not-authorized") != nil:
		return ErrPassword
	}
	if err := n.streamError(e); err != nil {
		return err
	}
	return fmt.Errorf("%s instead of success", e)
}

// resumable says whether there is something to resume; only Run's goroutine
// changes it.
func (s *session) resumable() bool { return s.id != "" }

// resume says whether the server has carried the session over. An error leaves
// the session as it is, to be resumed elsewhere.
func (n *negotiation) resume() (bool, error) {
	n.mu.Lock()
	id, handled := n.id, n.handled
	n.mu.Unlock()
	if err := n.write(stanza.New(stanza.NSSM, "resume", "previd", id, "h", strconv.FormatUint(uint64(handled), 10))); err != nil {
		return false, err
	}
	e, err := n.w.scanner.Next()
	if err != nil {
		return false, err
	}
	if err := n.streamError(e); err != nil {
		return false, err
	}
	h, hErr := strconv.ParseUint(e.Attr("h"), 10, 32)
	switch {
	case e.Is(stanza.NSSM, "resumed") && hErr == nil:
		return true, n.acknowledged(uint32(h))
	case !e.Is(stanza.NSSM, "failed"):
		return false, fmt.Errorf("%s instead of resumed", e)
	}
	// Only what cannot get better ends the session.
	gone := false
	for _, condition := range []stanza.Condition{stanza.ItemNotFound, "unexpected-request", "feature-not-implemented"} {
		gone = gone || e.Child(stanza.NSStanzas, string(condition)) != nil
	}
	if !gone {
		return false, fmt.Errorf("not resumed: %s", e)
	}
	if hErr == nil {
		if err := n.acknowledged(uint32(h)); err != nil {
			return false, err
		}
	}
	n.mu.Lock()
	n.id = ""
	n.mu.Unlock()
	return false, nil
}

// bind makes a new session.
func (n *negotiation) bind(features *stanza.Element) error {
	request := stanza.New(nsBind, "bind")
	if n.cfg.Resource != "" {
		request.Add(stanza.New(nsBind, "resource").AddText(n.cfg.Resource))
	}
	if err := n.write(stanza.New(stanza.NSClient, "iq", "type", "set", "id", "bind").Add(request)); err != nil {
		return err
	}
	e, err := n.next(stanza.NSClient, "iq")
	if err != nil {
		return err
	}
	answer := e.Child(nsBind, "bind")
	if e.Attr("type") != "result" || answer == nil || answer.Child(nsBind, "jid") == nil {
		return fmt.Errorf("binding was answered with %s", e)
	}
	jid := answer.Child(nsBind, "jid").Text()
	if features.Child(stanza.NSSM, "sm") == nil {
		return errors.New("the server does not offer XEP-0198")
	}
	if err := n.write(stanza.New(stanza.NSSM, "enable", "resume", "true")); err != nil {
		return err
	}
	n.deps.Changed(Event{Kind: Bound, Addr: n.w.addr})
	enabled, err := n.enabled()
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.jid = jid
	n.id, n.location = "", ""
	if r := enabled.Attr("resume"); r == "true" || r == "1" {
		n.id, n.location = enabled.Attr("id"), enabled.Attr("location")
	}
	n.acked, n.handled = 0, 0
	return nil
}

// enabled reads up to the answer to <enable/>. Stanzas that come before it are
// not counted by either side.
func (n *negotiation) enabled() (*stanza.Element, error) {
	for {
		e, err := n.w.scanner.Next()
		switch {
		case err != nil:
			return nil, err
		case e.Is(stanza.NSSM, "enabled"):
			return e, nil
		case e.Name.Space == stanza.NSClient:
			n.deps.Received(e)
			continue
		}
		if err := n.streamError(e); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s instead of enabled", e)
	}
}

// streamError is the error that e is, or nil.
func (c *Client) streamError(e *stanza.Element) error {
	if !e.Is(stanza.NSStreams, "error") {
		return nil
	}
	fault := &stream.Error{}
	for _, child := range e.Children() {
		switch {
		case child.Is(nsErrors, "text"):
			fault.Text = child.Text()
		case child.Name.Space == nsErrors:
			fault.Condition = stream.Condition(child.Name.Local)
			if child.Name.Local == "see-other-host" {
				c.mu.Lock()
				c.elsewhere = withPort(child.Text())
				c.mu.Unlock()
			}
		default:
			fault.Specific = child
		}
	}
	if fault.Condition == stream.Conflict {
		// The server has ended the session, not only the connection.
		c.mu.Lock()
		c.id = ""
		c.mu.Unlock()
	}
	return fault
}

// withPort adds the usual port where there is none.
func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil || host == "" {
		return host
	}
	return net.JoinHostPort(host, "5222")
}

// connection is one connection from dialling to its end. It says whether there
// was a session on it.
func (c *Client) connection(ctx context.Context, addr string) (established bool, err error) {
	w, resumed, err := c.negotiate(ctx, addr)
	if err != nil {
		return false, err
	}
	defer w.close()
	c.established(w, resumed)
	defer func() {
		c.mu.Lock()
		c.wire = nil
		c.mu.Unlock()
	}()
	parted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(parted)
		c.part(w)
	})
	err = c.read(w)
	if !stop() {
		<-parted
	}
	return true, err
}

// partTime is what parting may take.
const partTime = 2 * time.Second

// part closes our stream, and the connection where the server does not follow.
func (c *Client) part(w *wire) {
	c.mu.Lock()
	c.wire = nil
	c.mu.Unlock()
	w.append(func(b []byte) []byte { return append(b, stream.End...) })
	w.parting = time.AfterFunc(partTime, func() { w.raw.Close() })
	w.flush()
}
