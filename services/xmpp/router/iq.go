package router

import (
	"maps"
	"slices"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// Namespaces of IQs that the server answers.
const (
	nsSession = "urn:ietf:params:xml:ns:xmpp-session"
	nsBind    = "urn:ietf:params:xml:ns:xmpp-bind"
	nsTime    = "urn:xmpp:time"
	nsVCard   = "vcard-temp"
)

// features are the server's (XEP-0030), only what it has.
var features = []string{
	stanza.NSDiscoInfo, stanza.NSDiscoItems, stanza.NSPing, stanza.NSRoster, stanza.NSVersion, nsTime,
	// Messages are kept for those who are away (XEP-0160).
	"msgoffline",
}

// iq plans an IQ (RFC 6120 §8.2.3, RFC 6121 §8.5).
func (p *planned) iq() {
	r, s, e, to := p.r, p.s, p.e, p.to
	kind := e.Attr("type")
	request := kind == "get" || kind == "set"
	if !request && kind != "result" && kind != "error" || e.Attr("id") == "" || request && len(e.Children()) != 1 {
		p.refuse(stanza.BadRequest, "")
		return
	}
	if p.authentication() {
		return
	}
	own := s.kind == link.Client && (to.IsZero() || to == s.jid.Bare())
	switch {
	case own && isRosterSet(e):
		p.rosterSet()
	case own, to.IsZero(), to.Domain() == r.domain && to.Local() == "":
		p.then(func([]store.Result) {
			if request && r.lives(s) {
				r.reply(s, r.answer(s, e, to, own))
			}
		})
	case to.Domain() != r.domain:
		p.then(func([]store.Result) { r.elsewhere(s, e, to.Domain()) })
	case to.IsBare():
		p.then(func([]store.Result) { r.reply(s, r.answerFor(e, to)) })
	default:
		p.then(func([]store.Result) {
			if u := r.userOf(to.Local()); u != nil {
				if at := u.resource(to.Resource()); at != nil {
					r.once(at, wire(e))
					return
				}
			}
			r.reply(s, stanza.ErrorReply(e, stanza.ServiceUnavailable, ""))
		})
	}
}

// answer is the server's own, or, for a client's own bare JID, the account's.
// nil is a roster result that was sent already.
func (r *Router) answer(s *session, e *stanza.Element, to jid.JID, own bool) *stanza.Element {
	q := e.First()
	get := e.Attr("type") == "get"
	account := own && !to.IsZero()
	switch {
	case own && get && q.Is(stanza.NSRoster, "query"):
		r.rosterGet(s, e)
		return nil
	case q.Is(stanza.NSRoster, "query"):
		return stanza.ErrorReply(e, stanza.Forbidden, "")
	case get && q.Is(stanza.NSDiscoInfo, "query"):
		if q.Attr("node") != "" {
			return stanza.ErrorReply(e, stanza.ItemNotFound, "")
		}
		if account {
			return accountInfo(e)
		}
		return r.serverInfo(e)
	case get && q.Is(stanza.NSDiscoItems, "query"):
		if q.Attr("node") != "" {
			return stanza.ErrorReply(e, stanza.ItemNotFound, "")
		}
		if account {
			return stanza.Result(e).Add(stanza.New(stanza.NSDiscoItems, "query"))
		}
		return r.serverItems(e)
	case own && !get && q.Is(nsBind, "bind"):
		return stanza.ErrorReply(e, stanza.NotAllowed, "a resource is bound already")
	case get && q.Is(stanza.NSPing, "ping"), !get && q.Is(nsSession, "session"):
		return stanza.Result(e)
	case get && q.Is(stanza.NSVersion, "query"):
		return stanza.Result(e).Add(stanza.New(stanza.NSVersion, "query").Add(
			stanza.New(stanza.NSVersion, "name").AddText("Parley"),
			stanza.New(stanza.NSVersion, "version").AddText(r.version)))
	case get && q.Is(nsTime, "time"):
		return stanza.Result(e).Add(stanza.New(nsTime, "time").Add(
			stanza.New(nsTime, "tzo").AddText("Z"),
			stanza.New(nsTime, "utc").AddText(time.Now().UTC().Format("2006-01-02T15:04:05Z"))))
	case own && get && q.Is(nsVCard, "vCard"):
		// There is none, as nobody can set one (XEP-0054 §3.1).
		return stanza.ErrorReply(e, stanza.ItemNotFound, "")
	}
	return stanza.ErrorReply(e, stanza.ServiceUnavailable, "")
}

// answerFor is the answer for another account. To who is not subscribed all
// accounts look alike, those too that do not exist.
func (r *Router) answerFor(e *stanza.Element, to jid.JID) *stanza.Element {
	q := e.First()
	if q.Is(stanza.NSRoster, "query") {
		return stanza.ErrorReply(e, stanza.Forbidden, "")
	}
	from, err := jid.Parse(e.Attr("from"))
	if err == nil && e.Attr("type") == "get" && q.Is(stanza.NSDiscoInfo, "query") && q.Attr("node") == "" && r.allows(to.Local(), from.Bare()) {
		return accountInfo(e)
	}
	return stanza.ErrorReply(e, stanza.ServiceUnavailable, "")
}

func info(e *stanza.Element, category, kind, name string, features ...string) *stanza.Element {
	query := stanza.New(stanza.NSDiscoInfo, "query").Add(stanza.New(stanza.NSDiscoInfo, "identity", "category", category, "type", kind, "name", name))
	for _, f := range features {
		query.Add(stanza.New(stanza.NSDiscoInfo, "feature", "var", f))
	}
	return stanza.Result(e).Add(query)
}

func accountInfo(e *stanza.Element) *stanza.Element {
	return info(e, "account", "registered", "", stanza.NSDiscoInfo, stanza.NSDiscoItems)
}

func (r *Router) serverInfo(e *stanza.Element) *stanza.Element {
	return info(e, "server", "im", "Parley", features...)
}

// serverItems lists the components that can be reached.
func (r *Router) serverItems(e *stanza.Element) *stanza.Element {
	query := stanza.New(stanza.NSDiscoItems, "query")
	for _, domain := range slices.Sorted(maps.Keys(r.components)) {
		query.Add(stanza.New(stanza.NSDiscoItems, "item", "jid", domain))
	}
	return stanza.Result(e).Add(query)
}
