package router

import (
	"strings"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/stanza"
)

// componentName returns the name in <name>.<domain>.
func (r *Router) componentName(domain string) (string, bool) {
	name, ok := strings.CutSuffix(domain, "."+r.domain)
	return name, ok && name != "" && !strings.Contains(name, ".")
}

// fromComponent checks the sender that a component has set: any address of its
// domain (XEP-0114 §3); none is the domain itself.
func (r *Router) fromComponent(s *session, e *stanza.Element) bool {
	from := s.jid
	if a := e.Attr("from"); a != "" {
		var err error
		if from, err = jid.Parse(a); err != nil || from.Domain() != s.jid.Domain() {
			return false
		}
	}
	e.SetAttr("from", from.String())
	return true
}
