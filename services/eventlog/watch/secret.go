package watch

import (
	"strings"

	"parley/services/config"
	"parley/services/diagnosis"
	"parley/services/eventlog/eventlogapi"
	"parley/services/xmpp/xmppapi"
)

// Keys of conditions of Call Bridges' secrets; that of two that are alike ends
// in the second one's name.
const (
	keySecrets = "xmpp.secret."
	keySecret  = keySecrets + "own"
	keyTwin    = keySecrets + "twin."
)

// secrets compares the Call Bridges' secrets with each other, and with that of
// this node's own, where it is of the same deployment.
func secrets(d config.Document, bridges []xmppapi.CallBridge) []finding {
	if !d.XMPP.Enabled {
		return nil
	}
	var found []finding
	for _, t := range diagnosis.Twins(bridges) {
		found = append(found, raise(keyTwin+t.Second, eventlogapi.Warning, "Call Bridges "+t.First+" and "+t.Second+" have the same secret",
			"type 'xmpp callbridge del "+t.Second+"', then 'xmpp callbridge add "+t.Second+"', and on its appliance 'callbridge xmpp secret'"))
	}
	link := d.CallBridge.XMPP
	if !d.CallBridge.Enabled || link.Name == "" || link.Secret == "" || !strings.EqualFold(link.Domain, d.XMPP.Domain) {
		return found
	}
	const compare = "see 'xmpp callbridge list', then type 'callbridge xmpp secret'"
	wrong := func(message, hint string) {
		found = append(found, raise(keySecret, eventlogapi.Error, message, hint))
	}
	switch match, other := diagnosis.MatchSecret(link, bridges); match {
	case diagnosis.Unregistered:
		wrong("Call Bridge "+link.Name+" of this node is not registered", "type 'xmpp callbridge add-secret "+link.Name+"', or correct 'callbridge xmpp name'")
	case diagnosis.SecretOfOther:
		wrong("Call Bridge "+link.Name+" of this node was given the secret of "+other, compare)
	case diagnosis.SecretUnknown:
		wrong("Call Bridge "+link.Name+" of this node has another secret than it is registered with", compare)
	}
	return found
}
