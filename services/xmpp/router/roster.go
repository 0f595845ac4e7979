package router

import (
	"errors"
	"strconv"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// Limits of a roster item, in bytes.
const (
	maxItemName   = 1023
	maxItemGroups = 64
)

// isRosterSet says that e would change a roster.
func isRosterSet(e *stanza.Element) bool {
	return e.Name.Local == "iq" && e.Attr("type") == "set" && e.First().Is(stanza.NSRoster, "query")
}

// rosterSet plans a change of the sender's roster (RFC 6121 §2.3 to §2.5).
func (p *planned) rosterSet() {
	r, s, e := p.r, p.s, p.e
	op, c := rosterOp(e.First(), s.jid.Bare(), r.domain)
	if c != "" {
		p.refuse(c, "")
		return
	}
	p.thenAlone(func(rs []store.Result) {
		switch err := rs[0].Err; {
		case errors.Is(err, store.ErrNoEntry):
			r.reply(s, stanza.ErrorReply(e, stanza.ItemNotFound, ""))
		case err != nil:
			r.reply(s, stanza.ErrorReply(e, stanza.NotAcceptable, ""))
		default:
			r.effects(rs[0].Effects, nil)
			r.reply(s, stanza.Result(e))
		}
	}, op)
}

// rosterOp reads a roster set; the condition says what is wrong with it.
func rosterOp(query *stanza.Element, owner jid.JID, domain string) (store.Op, stanza.Condition) {
	items := query.Children()
	if len(items) != 1 || !items[0].Is(stanza.NSRoster, "item") {
		return nil, stanza.BadRequest
	}
	item := items[0]
	contact, err := jid.Parse(item.Attr("jid"))
	if err != nil {
		return nil, stanza.JIDMalformed
	}
	contact = contact.Bare()
	if contact == owner {
		return nil, stanza.NotAllowed
	}
	if item.Attr("subscription") == "remove" {
		return &store.RosterRemove{Account: owner.Local(), Domain: domain, Contact: contact.String()}, ""
	}
	op := &store.RosterSet{Account: owner.Local(), Contact: contact.String(), Name: item.Attr("name")}
	if len(op.Name) > maxItemName {
		return nil, stanza.NotAcceptable
	}
	seen := map[string]bool{}
	for _, g := range item.Children() {
		if !g.Is(stanza.NSRoster, "group") {
			continue
		}
		name := g.Text()
		switch {
		case name == "" || len(name) > maxItemName || len(op.Groups) >= maxItemGroups:
			return nil, stanza.NotAcceptable
		case seen[name]:
			return nil, stanza.BadRequest
		}
		seen[name] = true
		op.Groups = append(op.Groups, name)
	}
	return op, ""
}

// rosterGet answers with the roster (RFC 6121 §2.1.3); where the client has
// this version already, with nothing (§2.6).
func (r *Router) rosterGet(s *session, e *stanza.Element) {
	entries, ver, err := r.store.Roster(s.user.name)
	if err != nil {
		r.log.Error("roster not readable", "account", s.user.name, "err", err)
		r.reply(s, stanza.ErrorReply(e, stanza.InternalServerError, ""))
		return
	}
	if !s.interested {
		s.interested = true
		r.remember(s)
	}
	res := stanza.Result(e)
	version := strconv.FormatUint(ver, 10)
	if e.First().Attr("ver") != version {
		query := stanza.New(stanza.NSRoster, "query", "ver", version)
		for i := range entries {
			if entries[i].Shown() {
				query.Add(rosterItem(&entries[i]))
			}
		}
		res.Add(query)
	}
	r.reply(s, res)
}

func rosterItem(e *store.Entry) *stanza.Element {
	item := stanza.New(stanza.NSRoster, "item", "jid", e.Contact, "name", e.Name, "subscription", e.Subscription())
	if e.Ask && !e.Removed {
		item.SetAttr("ask", "subscribe")
	}
	for _, g := range e.Groups {
		item.Add(stanza.New(stanza.NSRoster, "group").AddText(g))
	}
	return item
}

// push tells an account's interested resources of a change (RFC 6121 §2.1.6).
func (r *Router) push(ef *store.Effect) {
	u := r.userOf(ef.Account)
	if u == nil {
		return
	}
	query := stanza.New(stanza.NSRoster, "query", "ver", strconv.FormatUint(ef.Entry.Ver, 10)).Add(rosterItem(&ef.Entry))
	for _, s := range u.sessions {
		if s.interested {
			r.pushes++
			r.deliver(s, stanza.New(stanza.NSClient, "iq", "type", "set", "id", "push"+strconv.FormatUint(r.pushes, 10), "to", s.jid.String()).Add(query))
		}
	}
}
