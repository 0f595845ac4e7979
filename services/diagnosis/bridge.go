package diagnosis

import (
	"slices"
	"strings"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/xmpp/xmppapi"
)

// registered checks the Call Bridges that the XMPP servers know.
func (f *facts) registered() []Finding {
	const what = "Call Bridge secrets"
	switch {
	case f.bridgesErr != nil:
		return []Finding{of(Warn, what, f.bridgesErr)}
	case len(f.bridges) == 0:
		return []Finding{warn(what, "no Call Bridge is registered").by("xmpp callbridge add <name>")}
	}
	var all []Finding
	for i, b := range f.bridges {
		for _, other := range f.bridges[:i] {
			if b.Secret == other.Secret {
				all = append(all, fail(what, "%s and %s have the same secret", other.Name, b.Name).
					by("xmpp callbridge del "+b.Name, "xmpp callbridge add "+b.Name))
			}
		}
	}
	if len(all) == 0 {
		all = append(all, ok(what, "%s, no two alike", count(len(f.bridges), "Call Bridge")))
	}
	for _, b := range f.bridges {
		if b.Connected {
			all = append(all, ok("Call Bridge "+b.Name, "connected"))
		} else {
			all = append(all, warn("Call Bridge "+b.Name, "registered and not connected").first("on its appliance type 'callbridge test'").by("xmpp callbridge list"))
		}
	}
	return all
}

// ownBridge checks this node's own Call Bridge, if it is on.
func (f *facts) ownBridge() []Finding {
	const what = "own Call Bridge"
	b := f.doc.CallBridge
	if !b.Enabled {
		return nil
	}
	link := b.XMPP
	switch {
	case link.Name == "":
		return []Finding{fail(what, "it has no unique name").by("callbridge xmpp name <name>")}
	case link.Domain == "":
		return []Finding{fail(what, "it has no domain").by("callbridge xmpp domain " + orElse(f.doc.XMPP.Domain, "<domain>"))}
	case link.Secret == "":
		return []Finding{fail(what, "%s has no secret", link.Name).by("callbridge xmpp secret")}
	case f.doc.XMPP.Domain != "" && !strings.EqualFold(link.Domain, f.doc.XMPP.Domain):
		return []Finding{fail(what, "its domain is %s, and that of XMPP %s", link.Domain, f.doc.XMPP.Domain).by("callbridge xmpp domain " + f.doc.XMPP.Domain)}
	case strings.HasSuffix(link.Server, ":5222"):
		return []Finding{fail(what, "its server %s is the client port", link.Server).by("callbridge xmpp server " + strings.TrimSuffix(link.Server, "5222") + "5223")}
	}
	// With a server of another deployment the secrets here say nothing.
	if f.bridgesErr == nil && f.doc.XMPP.Enabled {
		if finding, wrong := f.ownSecret(); wrong {
			return []Finding{finding}
		}
	}
	switch {
	case f.bridgeErr != nil:
		return []Finding{of(Warn, what, f.bridgeErr)}
	case f.bridge.State == callbridgeapi.Connected:
		return []Finding{ok(what, "%s %s", link.Name, f.bridge.XMPPRow)}
	case f.bridge.State == callbridgeapi.Failed:
		return []Finding{fail(what, "%s: %s", link.Name, orElse(f.bridge.XMPPRow, string(f.bridge.Reason))).first(f.bridge.Hint).by("callbridge test")}
	}
	return []Finding{warn(what, "%s is %s", link.Name, f.bridge.State).by("callbridge test")}
}

// ownSecret compares the secret of this node's bridge with those registered.
func (f *facts) ownSecret() (Finding, bool) {
	const what = "own Call Bridge"
	link := f.doc.CallBridge.XMPP
	secret := link.Secret.Reveal()
	at := slices.IndexFunc(f.bridges, func(b xmppapi.CallBridge) bool { return b.Name == link.Name })
	if at < 0 {
		return fail(what, "%s is not registered", link.Name).by("xmpp callbridge add-secret " + link.Name), true
	}
	if f.bridges[at].Secret == secret {
		return Finding{}, false
	}
	for _, b := range f.bridges {
		if b.Secret == secret {
			return fail(what, "%s was given the secret of %s", link.Name, b.Name).by("xmpp callbridge list", "callbridge xmpp secret"), true
		}
	}
	return fail(what, "the secret of %s is not the one that it is registered with", link.Name).by("xmpp callbridge list", "callbridge xmpp secret"), true
}
