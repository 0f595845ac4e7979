package edge

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/sasl"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// Namespaces of the negotiation.
const (
	nsTLS      = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL     = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsBind     = "urn:ietf:params:xml:ns:xmpp-bind"
	nsSession  = "urn:ietf:params:xml:ns:xmpp-session"
	nsBindings = "urn:xmpp:sasl-cb:0"
)

// negotiateClient goes from the first byte to a bound session (RFC 6120 §4.3).
func (p *peer) negotiateClient() (*session, error) {
	p.content = stanza.NSClient
	if err := p.begin(); err != nil {
		return nil, err
	}
	first, err := p.wire.peek()
	if err != nil {
		return nil, err
	}
	if !isTLS(first) {
		p.scanner = stream.NewScanner(p.wire, stanza.NSClient, strangerXML)
		if err := p.negotiateTLS(); err != nil {
			return nil, err
		}
		if err := p.wire.skipSpace(); err != nil {
			return nil, errGone
		}
	}
	t, err := p.handshakeClient(isTLS(first))
	if err != nil {
		return nil, err
	}
	p.scanner, p.opened = stream.NewScanner(t, stanza.NSClient, strangerXML), false
	ch := sasl.NewChannel(t.ConnectionState(), p.wire.leaf)
	if p.addr.IsValid() {
		ch.From = p.addr.String()
	}
	local, err := p.authenticate(ch)
	if err != nil {
		return nil, err
	}
	p.known()
	p.scanner.Restart()
	return p.bind(local)
}

// handshakeClient does the handshake, direct where it is TLS from the first
// byte; a node's connection ends here.
func (p *peer) handshakeClient(direct bool) (*tls.Conn, error) {
	if !direct {
		return p.startTLS(p.edge.clientTLS)
	}
	t, node, err := p.handshakeDirect()
	if err == nil && node {
		err = p.handOver(t)
	}
	return t, err
}

// openClient opens a stream and checks the client's header (RFC 6120 §4.7).
func (p *peer) openClient() (stream.Header, error) {
	h, _, err := p.open(func(stream.Header) string { return p.edge.domain })
	if err != nil {
		return h, err
	}
	major, _, _ := strings.Cut(h.Version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 1 {
		return h, &stream.Error{Condition: stream.UnsupportedVersion}
	}
	if to, err := jid.Parse(h.To); err != nil || to.String() != p.edge.domain {
		return h, &stream.Error{Condition: stream.HostUnknown, Text: "this server is of " + p.edge.domain}
	}
	return h, nil
}

// negotiateTLS takes the stream before TLS, on which there is nothing else to
// be had (RFC 6120 §5).
func (p *peer) negotiateTLS() error {
	if _, err := p.openClient(); err != nil {
		return err
	}
	if err := p.send(stream.Features(stanza.New(nsTLS, "starttls").Add(stanza.New(nsTLS, "required")))); err != nil {
		return err
	}
	e, err := p.scanner.Next()
	if err != nil {
		return err
	}
	switch {
	case e.Is(nsTLS, "starttls"):
	case e.Is(nsSASL, "auth"):
		if err := p.send(failure(sasl.EncryptionRequired)); err != nil {
			return err
		}
		return &stream.Error{Condition: stream.PolicyViolation, Text: "TLS is required"}
	default:
		return &stream.Error{Condition: stream.NotAuthorized, Text: "TLS is required"}
	}
	// What was sent ahead of the handshake in the clear must not be taken for
	// what comes after it.
	if p.scanner.Buffered() > 0 {
		return &stream.Error{Condition: stream.PolicyViolation, Text: "data after starttls"}
	}
	p.scanner.Release()
	return p.send(stanza.New(nsTLS, "proceed"))
}

// authenticate takes the stream from TLS to success (RFC 6120 §6), and returns
// the local part.
func (p *peer) authenticate(ch sasl.Channel) (string, error) {
	if _, err := p.openClient(); err != nil {
		return "", err
	}
	if err := p.send(authFeatures(p.edge.sasl.Mechanisms(ch), ch)); err != nil {
		return "", err
	}
	wrong := 0
	for range maxExchanges {
		e, err := p.scanner.Next()
		if err != nil {
			return "", err
		}
		if !e.Is(nsSASL, "auth") {
			return "", &stream.Error{Condition: stream.NotAuthorized, Text: "authentication is required"}
		}
		local, success, err := p.exchange(e, ch)
		var f sasl.Failure
		if errors.As(err, &f) {
			p.edge.log.Warn("authentication failed", "addr", p.addr, "user", local, "mechanism", e.Attr("mechanism"), "reason", string(f))
			if err := p.send(failure(f)); err != nil {
				return "", err
			}
			if f == sasl.NotAuthorized {
				wrong++
			}
			if wrong >= p.edge.limits.Attempts {
				break
			}
			continue
		}
		if err != nil {
			return "", err
		}
		return local, p.send(success)
	}
	return "", &stream.Error{Condition: stream.PolicyViolation, Text: "too many attempts to authenticate"}
}

// maxExchanges on one connection. It leaves clients room to go through the
// mechanisms for one that they have in common with us: slixmpp before 1.8.5
// gets to PLAIN last, since it binds to tls-unique, which TLS 1.3 has not.
const maxExchanges = 10

func authFeatures(mechanisms []string, ch sasl.Channel) *stanza.Element {
	ms := stanza.New(nsSASL, "mechanisms")
	for _, m := range mechanisms {
		ms.Add(stanza.New(nsSASL, "mechanism").AddText(m))
	}
	f := stream.Features(ms)
	if types := ch.Types(); len(types) > 0 {
		// XEP-0440.
		b := stanza.New(nsBindings, "sasl-channel-binding")
		for _, t := range types {
			b.Add(stanza.New(nsBindings, "channel-binding", "type", t))
		}
		f.Add(b)
	}
	return f
}

// exchange runs one SASL exchange, begun by auth. A sasl.Failure is to be told
// to the client; local is then whom it claimed to be, as far as is known.
func (p *peer) exchange(auth *stanza.Element, ch sasl.Channel) (local string, success *stanza.Element, err error) {
	x, err := p.edge.sasl.Start(auth.Attr("mechanism"), ch)
	if err != nil {
		return "", nil, err
	}
	text := auth.Text()
	if text == "" {
		// No initial response: an empty challenge asks for it.
		if text, err = p.challenge(nil); err != nil {
			return "", nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.edge.limits.Auth)
	defer cancel()
	for {
		in, err := decode(text)
		if err != nil {
			return x.Local(), nil, err
		}
		out, done, err := x.Step(ctx, in)
		if err != nil {
			return x.Local(), nil, err
		}
		if done {
			success := stanza.New(nsSASL, "success")
			if len(out) > 0 {
				success.AddText(base64.StdEncoding.EncodeToString(out))
			}
			return x.Local(), success, nil
		}
		if text, err = p.challenge(out); err != nil {
			return x.Local(), nil, err
		}
	}
}

// challenge sends one and reads the response.
func (p *peer) challenge(out []byte) (string, error) {
	c := stanza.New(nsSASL, "challenge")
	if len(out) > 0 {
		c.AddText(base64.StdEncoding.EncodeToString(out))
	}
	if err := p.send(c); err != nil {
		return "", err
	}
	e, err := p.scanner.Next()
	switch {
	case err != nil:
		return "", err
	case e.Is(nsSASL, "abort"):
		return "", sasl.Aborted
	case e.Is(nsSASL, "response"):
		return e.Text(), nil
	}
	return "", sasl.MalformedRequest
}

// decode reads the text of auth and response (RFC 6120 §6.4.2), where a lone
// "=" stands for the empty message.
func decode(text string) ([]byte, error) {
	if text == "=" {
		return nil, nil
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, sasl.IncorrectEncoding
	}
	return b, nil
}

func failure(f sasl.Failure) *stanza.Element {
	return stanza.New(nsSASL, "failure").Add(stanza.New(nsSASL, string(f)))
}

// bind takes the authenticated stream to a bound resource (RFC 6120 §7), or to
// one that was bound before (XEP-0198 §5).
func (p *peer) bind(local string) (*session, error) {
	p.scanner.SetLimits(sessionXML)
	h, err := p.openClient()
	if err != nil {
		return nil, err
	}
	account, err := jid.New(local, p.edge.domain, "")
	if err != nil {
		return nil, &stream.Error{Condition: stream.InternalServerError}
	}
	if h.From != "" {
		if from, err := jid.Parse(h.From); err != nil || from.Bare() != account {
			return nil, &stream.Error{Condition: stream.InvalidFrom}
		}
	}
	features := stream.Features(stanza.New(nsBind, "bind"),
		stanza.New(nsSession, "session").Add(stanza.New(nsSession, "optional")),
		stanza.New(stanza.NSSM, "sm"))
	if err := p.send(features); err != nil {
		return nil, err
	}
	for {
		e, err := p.scanner.Next()
		if err != nil {
			return nil, err
		}
		request := e.Child(nsBind, "bind")
		switch {
		case e.Is(stanza.NSClient, "iq") && e.Attr("type") == "set" && request != nil:
			var resource string
			if r := request.Child(nsBind, "resource"); r != nil {
				resource = strings.Clone(r.Text())
			}
			s, err := p.openSession(link.Open{Kind: link.Client, JID: account, Resource: resource}, h.Lang, func(full jid.JID) []byte {
				return stanza.Result(e).Add(stanza.New(nsBind, "bind").Add(stanza.New(nsBind, "jid").AddText(full.String()))).Append(nil, stanza.NSClient)
			})
			var refused *link.Refusal
			if !errors.As(err, &refused) {
				return s, err
			}
			if err := p.send(stanza.ErrorReply(e, refused.Condition, "")); err != nil {
				return nil, err
			}
		case e.Is(stanza.NSSM, "resume"):
			s, failed, err := p.resume(account, e, h.Lang)
			if s != nil || err != nil {
				return s, err
			}
			if err := p.send(smFailed(failed)); err != nil {
				return nil, err
			}
		case e.Is(stanza.NSSM, "enable"):
			// Nothing is to be counted before there is a session.
			if err := p.send(smFailed(stanza.UnexpectedRequest)); err != nil {
				return nil, err
			}
		default:
			return nil, &stream.Error{Condition: stream.NotAuthorized, Text: "a resource must be bound first"}
		}
	}
}

// openSession announces a session to the leader, and begins it with the bytes
// of answer.
func (p *peer) openSession(o link.Open, lang string, answer func(jid.JID) []byte) (*session, error) {
	s := newSession(p, o.Kind, lang)
	s.jid = o.JID
	rand.Read(s.ref.ID[:])
	o.Ref = s.ref
	// The leader may call before Open returns; what it delivers waits for
	// the answer to be written.
	p.edge.sessions.add(s)
	var full jid.JID
	err := p.ask(func(ctx context.Context) (err error) {
		full, err = p.edge.deps.Leader.Open(ctx, o, p.edge)
		return err
	})
	if err != nil {
		p.edge.sessions.remove(s)
		// Given up by this side, it may yet come to be.
		p.edge.deps.Leader.Close(s.ref)
		var refused *link.Refusal
		var over *stream.Error
		if errors.As(err, &refused) || errors.As(err, &over) || err == errGone {
			return nil, err
		}
		p.edge.log.Warn("session not opened", "addr", p.addr, "jid", o.JID.String(), "err", err)
		return nil, &stream.Error{Condition: stream.InternalServerError, Text: "no session to be had at the moment"}
	}
	if err := p.bound(s); err != nil {
		p.edge.sessions.remove(s)
		p.edge.deps.Leader.Close(s.ref)
		return nil, err
	}
	s.begin(full, answer(full))
	return s, nil
}

// ask does a call to the leader. While there is none the peer waits: a new one
// is a matter of a second. What ends the wait is a *stream.Error where it is
// this side's wish, and errGone where it is the peer's.
func (p *peer) ask(call func(context.Context) error) error {
	defer p.excuse(time.Now())
	ctx, done := p.asking()
	defer done()
	for {
		err := call(ctx)
		if err == nil {
			return nil
		}
		if errors.Is(err, link.ErrNoLeader) {
			select {
			case <-ctx.Done():
			case <-time.After(retry):
				continue
			}
		}
		p.mu.Lock()
		why := p.over()
		p.mu.Unlock()
		switch {
		case why != nil:
			return why
		case context.Cause(ctx) == errGone:
			return errGone
		}
		return err
	}
}

// retry is the time to wait where there is no leader at all.
const retry = 100 * time.Millisecond
