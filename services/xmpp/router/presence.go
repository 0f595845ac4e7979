package router

import (
	"slices"
	"strconv"
	"strings"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
	"parley/services/xmpp/stream"
)

var subscriptionTypes = []string{"subscribe", "subscribed", "unsubscribe", "unsubscribed"}

func isSubscription(e *stanza.Element) bool {
	return e.Name.Local == "presence" && slices.Contains(subscriptionTypes, e.Attr("type"))
}

// changesRoster says that a stanza may change rosters.
func changesRoster(e *stanza.Element) bool {
	return isSubscription(e) || isRosterSet(e)
}

// presence plans a presence stanza (RFC 6121 §3, §4).
func (p *planned) presence() {
	r, s, e, to := p.r, p.s, p.e, p.to
	kind := e.Attr("type")
	switch {
	case isSubscription(e):
		p.subscription()
	case kind != "" && kind != "unavailable" && kind != "probe" && kind != "error":
		p.refuse(stanza.BadRequest, "presence type not known")
	case to.IsZero() && s.kind == link.Client && (kind == "" || kind == "unavailable"):
		if _, ok := priority(e); !ok {
			p.refuse(stanza.BadRequest, "priority not between -128 and 127")
			return
		}
		p.then(func([]store.Result) {
			switch {
			case !r.lives(s):
			case kind == "":
				r.available(s, e)
			default:
				r.unavailable(s, e)
			}
		})
	case to.IsZero():
		p.then(func([]store.Result) {})
	case kind == "probe":
		p.then(func([]store.Result) { r.probe(s, e, to) })
	default:
		p.then(func([]store.Result) { r.direct(s, e, to, kind) })
	}
}

// subscription plans the four types that change rosters. They are between bare
// JIDs (RFC 6121 §3.1.2).
func (p *planned) subscription() {
	r, s, e := p.r, p.s, p.e
	if p.to.IsZero() {
		p.refuse(stanza.BadRequest, "")
		return
	}
	to := p.to.Bare()
	from, err := jid.Parse(e.Attr("from"))
	if err != nil || from.Bare() == to || to.Local() == "" && to.Domain() == r.domain {
		p.then(func([]store.Result) {})
		return
	}
	if _, ok := r.componentName(to.Domain()); !ok && to.Domain() != r.domain {
		p.refuse(r.unreachable(to.Domain()))
		return
	}
	e.SetAttr("from", from.Bare().String())
	e.SetAttr("to", to.String())
	p.thenAlone(func(rs []store.Result) {
		if rs[0].Err != nil {
			r.reply(s, stanza.ErrorReply(e, stanza.BadRequest, ""))
			return
		}
		r.effects(rs[0].Effects, e)
	}, &store.Subscription{
		Domain: r.domain, From: from.Bare().String(), To: to.String(), Type: e.Attr("type"), Stanza: e.Append(nil, ""),
	})
}

// priority reads a presence's priority (RFC 6121 §4.7.2.3).
func priority(e *stanza.Element) (int, bool) {
	c := e.Child(stanza.NSClient, "priority")
	if c == nil {
		return 0, true
	}
	n, err := strconv.ParseInt(strings.TrimSpace(c.Text()), 10, 8)
	return int(n), err == nil
}

// addressed returns a copy of e with another to.
func addressed(e *stanza.Element, to string) *stanza.Element {
	c := e.Clone()
	c.SetAttr("to", to)
	return c
}

// gone is the unavailable presence that the server sends for a resource.
func gone(s *session) *stanza.Element {
	return stanza.New(stanza.NSClient, "presence", "type", "unavailable", "from", s.jid.String())
}

// roster reads entries for presence; an unreadable roster is logged.
func (r *Router) roster(account string) []store.Entry {
	es, _, err := r.store.Roster(account)
	if err != nil {
		r.log.Error("roster not readable", "account", account, "err", err)
	}
	return es
}

// available takes a session's initial or changed presence (RFC 6121 §4.2,
// §4.4).
func (r *Router) available(s *session, e *stanza.Element) {
	initial := s.presence == nil
	before := s.priority
	s.presence = e
	s.priority, _ = priority(e)
	r.remember(s)
	u := s.user
	entries := r.roster(u.name)
	for i := range entries {
		if c := &entries[i]; c.From {
			r.toContact(e, c.Contact)
		}
	}
	for _, other := range u.sessions {
		if other.presence == nil {
			continue
		}
		r.deliver(other, addressed(e, other.jid.String()))
		if initial && other != s {
			r.deliver(s, addressed(other.presence, s.jid.String()))
		}
	}
	if initial {
		r.initial(s, entries)
	}
	if initial || before != s.priority {
		r.reconsider(u)
	}
}

// initial brings a resource that has just become available what it missed: the
// presence of contacts, and the requests that wait.
func (r *Router) initial(s *session, entries []store.Entry) {
	for i := range entries {
		c := &entries[i]
		if c.To {
			r.probeFor(s, c.Contact)
		}
		if c.Request == nil {
			continue
		}
		request, err := stream.Parse(c.Request)
		if err != nil {
			r.log.Error("subscription request not readable", "account", s.user.name, "contact", c.Contact, "err", err)
			continue
		}
		r.deliver(s, request)
	}
}

// probeFor brings a session its contact's presence.
func (r *Router) probeFor(s *session, contact string) {
	j, err := jid.Parse(contact)
	if err != nil {
		return
	}
	if j.Domain() != r.domain {
		if c := r.components[j.Domain()]; c != nil {
			r.deliver(c, stanza.New(stanza.NSClient, "presence", "type", "probe", "from", s.jid.String(), "to", contact))
		}
		return
	}
	if u := r.userOf(j.Local()); u != nil && r.allows(u.name, s.jid.Bare()) {
		for _, cs := range u.sessions {
			if cs.presence != nil {
				r.deliver(s, addressed(cs.presence, s.jid.String()))
			}
		}
	}
}

// allows says whether an account's presence may be seen by contact.
func (r *Router) allows(account string, contact jid.JID) bool {
	e, err := r.store.Entry(account, contact.String())
	return err == nil && e.From
}

// toContact sends presence to all of a contact's available resources, or to a
// component.
func (r *Router) toContact(e *stanza.Element, contact string) {
	j, err := jid.Parse(contact)
	if err != nil {
		return
	}
	if j.Domain() != r.domain {
		if c := r.components[j.Domain()]; c != nil {
			r.deliver(c, addressed(e, contact))
		}
		return
	}
	u := r.userOf(j.Local())
	if u == nil {
		return
	}
	b := wire(addressed(e, contact))
	for _, s := range u.sessions {
		if s.presence != nil {
			r.send(s, link.Delivery{Bytes: b})
		}
	}
}

// unavailable takes a session's unavailable presence, or, where e is nil,
// makes one for a session that is gone (RFC 6121 §4.5).
func (r *Router) unavailable(s *session, e *stanza.Element) {
	closing := e == nil
	if closing {
		e = gone(s)
	}
	was := s.presence != nil
	s.presence, s.priority = nil, 0
	r.remember(s)
	told := map[string]bool{s.jid.Bare().String(): true}
	if was {
		for _, c := range r.roster(s.user.name) {
			if c.From {
				told[c.Contact] = true
				r.toContact(e, c.Contact)
			}
		}
	}
	for to := range s.directed {
		if !told[to.Bare().String()] {
			r.toContactOrResource(e, to)
		}
	}
	clear(s.directed)
	if !was {
		return
	}
	for _, other := range s.user.sessions {
		if other.presence != nil || other == s && !closing {
			r.deliver(other, addressed(e, other.jid.String()))
		}
	}
	if !closing {
		r.reconsider(s.user)
	}
}

func (r *Router) toContactOrResource(e *stanza.Element, to jid.JID) {
	if to.Domain() == r.domain && !to.IsBare() {
		if u := r.userOf(to.Local()); u != nil {
			if at := u.resource(to.Resource()); at != nil {
				r.deliver(at, addressed(e, to.String()))
			}
		}
		return
	}
	r.toContact(e, to.String())
}

// direct takes presence to one address (RFC 6121 §4.6). Where the session goes
// offline it is followed by unavailable presence.
func (r *Router) direct(s *session, e *stanza.Element, to jid.JID, kind string) {
	if s.kind == link.Client && r.lives(s) {
		switch {
		case kind == "unavailable":
			delete(s.directed, to)
			r.remember(s)
		case kind == "" && len(s.directed) < maxDirected:
			s.directed[to] = struct{}{}
			r.remember(s)
		case kind == "":
			if _, known := s.directed[to]; !known {
				r.reply(s, stanza.ErrorReply(e, stanza.ResourceConstraint, "presence sent to too many addresses"))
				return
			}
		}
	}
	if to.Domain() == r.domain || r.components[to.Domain()] != nil {
		r.toContactOrResource(e, to)
		return
	}
	if kind == "" {
		c, text := r.unreachable(to.Domain())
		r.reply(s, stanza.ErrorReply(e, c, text))
	}
}

// probe answers a request for presence (RFC 6121 §4.3.2).
func (r *Router) probe(s *session, e *stanza.Element, to jid.JID) {
	if to.Domain() != r.domain {
		if c := r.components[to.Domain()]; c != nil {
			r.deliver(c, e)
		}
		return
	}
	from, err := jid.Parse(e.Attr("from"))
	if err != nil || !r.lives(s) || !r.store.Account(to.Local()) {
		return
	}
	if from.Bare() != to.Bare() && !r.allows(to.Local(), from.Bare()) {
		r.deliver(s, stanza.New(stanza.NSClient, "presence", "type", "unsubscribed", "from", to.Bare().String(), "to", from.Bare().String()))
		return
	}
	if u := r.userOf(to.Local()); u != nil {
		for _, cs := range u.sessions {
			if cs.presence != nil && (to.IsBare() || to == cs.jid) {
				r.deliver(s, addressed(cs.presence, from.String()))
			}
		}
	}
}

// effects sends what the store says follows from a roster's change. original
// is the stanza that caused it, nil where there is none.
func (r *Router) effects(effects []store.Effect, original *stanza.Element) {
	for i := range effects {
		switch ef := &effects[i]; ef.Kind {
		case store.Push:
			r.push(ef)
		case store.Send:
			e := original
			if e == nil || e.Attr("type") != ef.Type || e.Attr("from") != ef.From {
				e = stanza.New(stanza.NSClient, "presence", "type", ef.Type, "from", ef.From, "to", ef.To)
			}
			r.sendSubscription(e, ef)
		case store.Available, store.Unavailable:
			r.sendPresence(ef)
		}
	}
}

// sendSubscription delivers a stanza of a subscription: a request to available
// resources, the others to those that know the roster (RFC 6121 §3).
func (r *Router) sendSubscription(e *stanza.Element, ef *store.Effect) {
	to, err := jid.Parse(ef.To)
	if err != nil {
		return
	}
	if to.Domain() != r.domain {
		if c := r.components[to.Domain()]; c != nil {
			r.deliver(c, e)
		}
		return
	}
	u := r.userOf(to.Local())
	if u == nil {
		return
	}
	b := wire(e)
	for _, s := range u.sessions {
		if s.presence != nil || s.interested && ef.Type != "subscribe" {
			r.send(s, link.Delivery{Bytes: b})
		}
	}
}

// sendPresence sends each available resource's presence, or its end, to To.
func (r *Router) sendPresence(ef *store.Effect) {
	from, err := jid.Parse(ef.From)
	if err != nil || from.Domain() != r.domain {
		return
	}
	u := r.userOf(from.Local())
	if u == nil {
		return
	}
	for _, s := range u.sessions {
		switch {
		case s.presence == nil:
		case ef.Kind == store.Available:
			r.toContact(s.presence, ef.To)
		default:
			r.toContact(gone(s), ef.To)
		}
	}
}
