package edge

import (
	"context"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strings"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// negotiateComponent goes from the first byte to the handshake of XEP-0114 §3.
func (p *peer) negotiateComponent() (*session, error) {
	p.content = stanza.NSComponent
	if err := p.begin(); err != nil {
		return nil, err
	}
	first, err := p.wire.peek()
	if err != nil {
		return nil, err
	}
	p.scanner = stream.NewScanner(p.wire, stanza.NSComponent, strangerXML)
	if !isTLS(first) {
		return nil, &stream.Error{Condition: stream.PolicyViolation, Text: "this port takes TLS from the first byte"}
	}
	t, err := p.startTLS(p.edge.componentTLS)
	if err != nil {
		return nil, err
	}
	p.scanner = stream.NewScanner(t, stanza.NSComponent, strangerXML)
	// XEP-0114 has the server's from be the component's own name.
	h, id, err := p.open(func(h stream.Header) string {
		if h.To == "" {
			return p.edge.domain
		}
		return h.To
	})
	if err != nil {
		return nil, err
	}
	address, secret, err := p.component(h.To)
	if err != nil {
		return nil, err
	}
	e, err := p.scanner.Next()
	if err != nil {
		return nil, err
	}
	if !e.Is(stanza.NSClient, "handshake") || !handshakeIs(e.Text(), id, secret) {
		p.edge.log.Warn("component refused: wrong secret", "addr", p.addr, "jid", address.String())
		return nil, &stream.Error{Condition: stream.NotAuthorized}
	}
	p.scanner.SetLimits(sessionXML)
	s, err := p.openSession(link.Open{Kind: link.Component, JID: address}, h.Lang, func(jid.JID) []byte {
		return []byte("<handshake/>")
	})
	var refused *link.Refusal
	if errors.As(err, &refused) {
		return nil, &stream.Error{Condition: stream.Condition(refused.Condition)}
	}
	return s, err
}

// component finds the component that a header is addressed to.
func (p *peer) component(to string) (jid.JID, string, error) {
	unknown := &stream.Error{Condition: stream.HostUnknown, Text: "no component of this name"}
	address, err := jid.Parse(to)
	if err != nil || address.Local() != "" || !address.IsBare() {
		return jid.JID{}, "", unknown
	}
	name, ok := strings.CutSuffix(address.Domain(), "."+p.edge.domain)
	if !ok || name == "" {
		return jid.JID{}, "", unknown
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.edge.limits.Auth)
	defer cancel()
	secret, ok, err := p.edge.deps.Secrets.Secret(ctx, name)
	if err != nil {
		p.edge.log.Warn("secret not readable", "jid", address.String(), "err", err)
		return jid.JID{}, "", &stream.Error{Condition: stream.InternalServerError}
	}
	if !ok {
		p.edge.log.Warn("component refused: unknown name", "addr", p.addr, "jid", address.String())
		return jid.JID{}, "", unknown
	}
	return address, secret.Reveal(), nil
}

// handshakeIs checks the digest of XEP-0114 §3.
func handshakeIs(text, id, secret string) bool {
	sum := sha1.Sum([]byte(id + secret))
	want := hex.EncodeToString(sum[:])
	got := strings.ToLower(strings.TrimSpace(text))
	return secret != "" && subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}
