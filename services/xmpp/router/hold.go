package router

import (
	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// A component whose connection is lost keeps its session for link.HoldTime, as
// a client does that may resume: what it is sent waits in the queue, of which
// its relay has a copy, so another leader has it as well. It does not resume: it
// connects anew, anywhere, and the new session is given what the old one has
// left. If it does not come, the senders are told.

// Bounds of what waits for a component that is away; more is refused.
const (
	maxHeld      = 1024
	maxHeldBytes = 1 << 20
)

// takes says whether a component is there for a stanza of n bytes, or it can
// be held.
func (s *session) takes(n int) bool {
	return !s.detached || len(s.deliveries()) < maxHeld && s.size+n <= maxHeldBytes
}

// unsent takes from a component's session what its peer is not known to have,
// and with it, without bytes, what it is known to have had.
func (s *session) unsent() []link.Delivery {
	left := append(s.learned(), s.deliveries()...)
	s.queue = queue{last: s.last}
	return left
}

// bequeath gives a component's session what another has left. What a relay
// knows to be delivered has no bytes any more.
func (r *Router) bequeath(left []link.Delivery, s *session) {
	s.learn(left)
	for _, d := range left {
		switch {
		case len(d.Bytes) == 0:
		case s.takes(len(d.Bytes)):
			r.send(s, link.Delivery{Cause: d.Cause, Bytes: d.Bytes})
		default:
			r.bounce(s.jid.Domain(), d.Bytes)
		}
	}
}

// bounce answers a stanza that a component does not get.
func (r *Router) bounce(domain string, b []byte) {
	if len(b) == 0 {
		return
	}
	e, err := stream.ParseStanza(b)
	if err != nil {
		r.log.Error("stanza not readable", "to", domain, "err", err)
		return
	}
	// Presence was of its moment.
	if e.Is(stanza.NSClient, "presence") {
		return
	}
	c, text := r.unreachable(domain)
	if reply := stanza.ErrorReply(e, c, text); reply != nil {
		r.returnTo(e.Attr("from"), reply)
	}
}

// returnTo delivers an error to who has sent what it is about, if that is still
// there.
func (r *Router) returnTo(from string, e *stanza.Element) {
	to, err := jid.Parse(from)
	if err != nil {
		return
	}
	if c := r.components[to.Domain()]; c != nil {
		r.deliver(c, e)
		return
	}
	if u := r.userOf(to.Local()); u != nil && to.Domain() == r.domain {
		if at := u.resource(to.Resource()); at != nil {
			r.deliver(at, e)
		}
	}
}
