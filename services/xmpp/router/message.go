package router

import (
	"time"

	"parley/services/problem"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// Namespaces of what a message may hold.
const (
	nsChatStates = "http://jabber.org/protocol/chatstates"
	nsHints      = "urn:xmpp:hints"
)

// messageType returns the type as RFC 6121 §5.2.2 has it: what is not known is
// normal.
func messageType(e *stanza.Element) string {
	switch t := e.Attr("type"); t {
	case "chat", "groupchat", "headline", "error":
		return t
	}
	return "normal"
}

// isDurable says whether a message is kept until it is delivered (XEP-0160):
// not what is only of the moment, nor what asks not to be (XEP-0334).
func isDurable(e *stanza.Element, kind string) bool {
	return (kind == "chat" || kind == "normal") && !isChatState(e) && e.Child(nsHints, "no-store") == nil
}

// isChatState says that a message has a chat state (XEP-0085) and nothing else.
func isChatState(e *stanza.Element) bool {
	state := false
	for _, c := range e.Children() {
		switch {
		case c.Name.Space == nsChatStates:
			state = true
		case c.Name.Space == nsHints, c.Is(stanza.NSClient, "thread"):
		default:
			return false
		}
	}
	return state
}

// message plans a message (RFC 6121 §8).
func (p *planned) message() {
	r, s, e := p.r, p.s, p.e
	if p.to.IsZero() {
		// As if to the sender's own bare JID (RFC 6120 §10.3.1).
		p.to = s.jid.Bare()
		e.SetAttr("to", p.to.String())
	}
	to := p.to
	if to.Domain() != r.domain || to.Local() == "" {
		p.then(func([]store.Result) { r.elsewhere(s, e, to.Domain()) })
		return
	}
	kind := messageType(e)
	if !isDurable(e, kind) {
		p.then(func([]store.Result) { r.passing(s, e, to.Local(), to.Resource(), kind) })
		return
	}
	text := e.Append(nil, "")
	p.b.bytes += len(text)
	s.numbered = true
	p.then(func(rs []store.Result) {
		r.kept(s, e, to.Local(), to.Resource(), kind, rs[0], text)
	}, &store.MessagePut{Session: s.ref.ID, Seq: p.seq, Account: to.Local(), Resource: to.Resource(), Stamp: time.Now(), Stanza: text})
}

// declared is what Append puts after the name where there is no default
// namespace in force.
const declared = " xmlns='" + stanza.NSClient + "'"

// bare is the stanza as wire makes it, of how it is kept.
func bare(text []byte, name string) []byte {
	n := 1 + len(name)
	return append(append(make([]byte, 0, len(text)-len(declared)), text[:n]...), text[n+len(declared):]...)
}

// kept delivers a message that is in the recipient's inbox.
func (r *Router) kept(s *session, e *stanza.Element, account, resource, kind string, res store.Result, text []byte) {
	if res.Again {
		// What there was to say was said when it was put, or is lost with the
		// leader that did; the message is in the inbox or delivered.
		if u := r.userOf(account); u != nil {
			r.reconsider(u)
		}
		return
	}
	if res.Err != nil {
		c := stanza.InternalServerError
		if problem.CodeOf(res.Err) == problem.UserUnknown {
			c = stanza.ServiceUnavailable
		}
		r.reply(s, stanza.ErrorReply(e, c, ""))
		return
	}
	u := r.userOf(account)
	if resource != "" {
		if u != nil {
			if at := u.resource(resource); at != nil {
				r.offer(at, res.Item, e.Attr("from"), bare(text, e.Name.Local))
				return
			}
		}
		if kind == "normal" {
			// Only chat goes on to other resources (RFC 6121 §8.5.3.2.1).
			r.discard(account, res.Item)
			r.reply(s, stanza.ErrorReply(e, stanza.ServiceUnavailable, ""))
			return
		}
	}
	if u == nil {
		return
	}
	top := u.top()
	if len(top) == 0 {
		for _, t := range u.sessions {
			// Those that are behind come to it when they read.
			if !t.behind {
				t.block(e.Attr("from"))
			}
		}
		return
	}
	b := bare(text, e.Name.Local)
	for _, t := range top {
		r.offer(t, res.Item, e.Attr("from"), b)
	}
}

// passing delivers a message that is not kept.
func (r *Router) passing(s *session, e *stanza.Element, account, resource, kind string) {
	u := r.userOf(account)
	if u != nil && resource != "" {
		if at := u.resource(resource); at != nil {
			r.once(at, wire(e))
			return
		}
	}
	switch kind {
	case "error":
		return
	case "headline":
		if u != nil && resource == "" {
			b := wire(e)
			for _, t := range u.sessions {
				if t.presence != nil && t.priority >= 0 {
					r.once(t, b)
				}
			}
		}
		return
	case "chat", "normal":
		if u != nil && (resource == "" || kind == "chat") {
			if top := u.top(); len(top) > 0 {
				b := wire(e)
				for _, t := range top {
					r.once(t, b)
				}
				return
			}
		}
		if isChatState(e) {
			return
		}
	}
	r.reply(s, stanza.ErrorReply(e, stanza.ServiceUnavailable, ""))
}

// elsewhere delivers a stanza to a component, or says why not. The server
// itself takes no messages.
func (r *Router) elsewhere(s *session, e *stanza.Element, domain string) {
	if c := r.components[domain]; c != nil {
		if b := wire(e); c.takes(len(b)) {
			r.once(c, b)
			return
		}
	}
	c, text := r.unreachable(domain)
	r.reply(s, stanza.ErrorReply(e, c, text))
}

// unreachable says what is wrong with a domain that has no component now.
func (r *Router) unreachable(domain string) (stanza.Condition, string) {
	if domain == r.domain {
		return stanza.ServiceUnavailable, ""
	}
	if name, ok := r.componentName(domain); ok {
		if _, ok, err := r.store.CallBridge(name); ok && err == nil {
			return stanza.RecipientUnavailable, name + " is not connected"
		}
	}
	return stanza.RemoteServerNotFound, "this server does not talk to other domains"
}
