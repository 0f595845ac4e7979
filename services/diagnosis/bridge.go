package diagnosis

import (
	"strings"

	"parley/services/callbridge/callbridgeapi"
)

// home is the member on which a Call Bridge is set up.
type home struct {
	address string
	enabled bool
}

// registered checks the Call Bridges that the XMPP servers know. homes are those
// of the bridges that members have, by name.
func (f *facts) registered(homes map[string]home) []Finding {
	const what = "Call Bridge secrets"
	switch {
	case f.bridgesErr != nil:
		return []Finding{of(Warn, what, f.bridgesErr)}
	case len(f.bridges) == 0:
		return []Finding{warn(what, "no Call Bridge is registered").by("xmpp callbridge add <name>")}
	}
	var all []Finding
	for _, t := range Twins(f.bridges) {
		all = append(all, fail(what, "%s and %s have the same secret", t.First, t.Second).
			by("xmpp callbridge del "+t.Second, "xmpp callbridge add "+t.Second))
	}
	if len(all) == 0 {
		all = append(all, ok(what, "%s, no two alike", count(len(f.bridges), "Call Bridge")))
	}
	for _, b := range f.bridges {
		if b.Connected {
			all = append(all, ok("Call Bridge "+b.Name, "connected"))
		} else {
			all = append(all, f.absent(b.Name, homes))
		}
	}
	return all
}

// absent is the finding of a Call Bridge that is not connected.
func (f *facts) absent(name string, homes map[string]home) Finding {
	finding := warn("Call Bridge "+name, "registered and not connected")
	at, known := homes[name]
	if !known {
		return finding.first("on its appliance type 'callbridge test'").by("xmpp callbridge list")
	}
	if at.address != f.own() {
		finding.Node = at.address
	}
	if !at.enabled {
		finding.Detail += ": it is disabled"
		return finding.by("callbridge enable")
	}
	return finding.by("callbridge test")
}

// whatBridge is this node's bridge in findings.
const whatBridge = "own Call Bridge"

// ownBridge checks this node's own Call Bridge, if it is on.
func (f *facts) ownBridge() []Finding {
	const what = whatBridge
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
		return []Finding{f.failed()}
	}
	return []Finding{warn(what, "%s is %s", link.Name, f.bridge.State).by("callbridge test")}
}

// failed is that this node's bridge has reached no server.
func (f *facts) failed() Finding {
	link, b := f.doc.CallBridge.XMPP, f.bridge
	finding := fail(whatBridge, "%s: %s", link.Name, orElse(b.XMPPRow, string(b.Reason)))
	switch {
	case b.Reason == callbridgeapi.TLSFailure && f.bundleNotTrusted():
		return finding.by("callbridge trust " + f.doc.XMPP.Bundle)
	case b.Reason == callbridgeapi.TLSFailure && f.doc.CallBridge.Trust == "":
		return finding.first("put the certificates of the servers' authority").by("callbridge trust <bundle>")
	case link.Server != "" && (b.Reason == callbridgeapi.DNSError || b.Reason == callbridgeapi.ConnectionFailure):
		return finding.first("mend the way to " + link.Server + ", or, to have servers found by the DNS,").by("callbridge xmpp server none")
	}
	return finding.first(b.Hint).by("callbridge test")
}

// bundleNotTrusted: the XMPP servers' authority is known here, and not what the
// bridge trusts them by.
func (f *facts) bundleNotTrusted() bool {
	x := f.doc.XMPP
	return x.Bundle != "" && x.Bundle != f.doc.CallBridge.Trust && strings.EqualFold(x.Domain, f.doc.CallBridge.XMPP.Domain)
}

// ownSecret compares the secret of this node's bridge with those registered.
func (f *facts) ownSecret() (Finding, bool) {
	const what = whatBridge
	link := f.doc.CallBridge.XMPP
	switch match, other := MatchSecret(link, f.bridges); match {
	case Unregistered:
		return fail(what, "%s is not registered", link.Name).by("xmpp callbridge add-secret " + link.Name), true
	case SecretOfOther:
		return fail(what, "%s was given the secret of %s", link.Name, other).by("xmpp callbridge list", "callbridge xmpp secret"), true
	case SecretUnknown:
		return fail(what, "the secret of %s is not the one that it is registered with", link.Name).by("xmpp callbridge list", "callbridge xmpp secret"), true
	}
	return Finding{}, false
}
