package router

import (
	"slices"

	"parley/services/xmpp/authenticator"
	"parley/services/xmpp/jid"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// people plans what follows of a component's list of who exists elsewhere: new
// ones get accounts, and the sessions of those whom nobody lists any more end.
func (p *planned) people(l authenticator.Listing) {
	r, s, e := p.r, p.s, p.e
	name, _ := r.componentName(s.jid.Domain())
	names := slices.DeleteFunc(l.Names, func(name string) bool {
		local, err := jid.Local(name)
		return err != nil || local != name || name == ""
	})
	news, err := r.store.News(store.Listing{Bridge: name, Source: l.Source, After: l.After, Upto: l.Upto, Names: names})
	if err != nil {
		r.log.Warn("list of users not compared", "callbridge", name, "err", err)
		p.refuse(stanza.ResourceConstraint, "")
		return
	}
	if news == nil {
		p.then(func([]store.Result) { r.reply(s, stanza.Result(e)) })
		return
	}
	p.then(func(rs []store.Result) {
		if err := rs[0].Err; err != nil {
			r.log.Warn("list of users not taken", "callbridge", name, "err", err)
			r.reply(s, stanza.ErrorReply(e, stanza.Conflict, ""))
			return
		}
		for _, name := range rs[0].Gone {
			r.log.Info("user has left the directory", "user", name, "callbridge", s.jid.String())
			r.endAccount(name)
		}
		r.reply(s, stanza.Result(e))
	}, news)
}
