package router

import (
	"errors"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// planStanza plans what a session sends. Whatever becomes of it, it is
// confirmed when its job has run.
func (r *Router) planStanza(b *batch, s *session, seq uint64, e *stanza.Element) {
	if seq <= s.seen {
		// It was sent again by a relay that does not know.
		b.do(func() { r.mark(s, s.seq) })
		return
	}
	if seq != s.seen+1 {
		// Confirmed, the next one would cover what never came.
		b.do(func() { r.end(s, "internal-server-error") })
		return
	}
	s.seen = seq
	if s.kind == link.Component && !r.fromComponent(s, e) {
		b.do(func() { r.end(s, "invalid-from") })
		return
	}
	if s.kind == link.Client {
		e.SetAttr("from", s.jid.String())
	}
	p := planned{r: r, b: b, s: s, seq: seq, e: e}
	if s.kind == link.Component && e.Attr("to") == "" {
		p.refuse(stanza.BadRequest, "a component's stanzas need a to")
		return
	}
	if to := e.Attr("to"); to != "" {
		var err error
		if p.to, err = jid.Parse(to); err != nil {
			p.refuse(stanza.JIDMalformed, "")
			return
		}
	}
	if e.Name.Space != stanza.NSClient {
		p.refuse(stanza.FeatureNotImplemented, "")
		return
	}
	switch e.Name.Local {
	case "message":
		p.message()
	case "presence":
		p.presence()
	case "iq":
		p.iq()
	default:
		p.refuse(stanza.FeatureNotImplemented, "")
	}
}

// planned is a stanza while it is planned.
type planned struct {
	r   *Router
	b   *batch
	s   *session
	seq uint64
	e   *stanza.Element
	// to is zero where the stanza has none.
	to jid.JID
}

// then plans f, which is run when the ops are committed. Where the store has
// refused for now, the sender is told instead.
func (p *planned) then(f func([]store.Result), ops ...store.Op) {
	p.b.add(p.job(f), ops...)
}

// thenAlone is then for changes of rosters.
func (p *planned) thenAlone(f func([]store.Result), ops ...store.Op) {
	p.b.alone(p.job(f), ops...)
}

func (p *planned) job(f func([]store.Result)) func([]store.Result) {
	s, seq, r, e := p.s, p.seq, p.r, p.e
	return func(rs []store.Result) {
		r.running = running{s.ref.ID, seq, e}
		if len(rs) > 0 && errors.Is(rs[0].Err, errHeld) {
			r.reply(s, stanza.ErrorReply(e, stanza.ResourceConstraint, "the server cannot keep this at the moment"))
		} else {
			f(rs)
		}
		r.running = running{}
		r.mark(s, seq)
	}
}

// refuse plans an error reply.
func (p *planned) refuse(c stanza.Condition, text string) {
	p.then(func([]store.Result) { p.r.reply(p.s, stanza.ErrorReply(p.e, c, text)) })
}

// reply sends an error or a result back, of which there is one at most; nil is
// nothing to send.
func (r *Router) reply(s *session, e *stanza.Element) {
	if e != nil && r.lives(s) {
		r.once(s, wire(e))
	}
}

// mark has the session's stanzas up to seq confirmed at the end of the batch.
func (r *Router) mark(s *session, seq uint64) {
	s.seq = max(s.seq, seq)
	if !s.marked {
		s.marked = true
		r.marked = append(r.marked, s)
	}
}
