package diagnosis

import (
	"slices"

	"parley/services/config"
	"parley/services/xmpp/xmppapi"
)

// Twin are two Call Bridges that are registered with the same secret.
type Twin struct{ First, Second string }

// Twins are all of them.
func Twins(bridges []xmppapi.CallBridge) []Twin {
	var all []Twin
	for i, b := range bridges {
		for _, other := range bridges[:i] {
			if b.Secret == other.Secret {
				all = append(all, Twin{other.Name, b.Name})
			}
		}
	}
	return all
}

// Match is how the secret that a Call Bridge was given compares with those that
// are registered.
type Match string

// The matches.
const (
	SecretRight  Match = "right"
	Unregistered Match = "not registered"
	// SecretOfOther: another Call Bridge is registered with it.
	SecretOfOther Match = "another's"
	SecretUnknown Match = "unknown"
)

// MatchSecret compares; other is whose secret it is, of SecretOfOther.
func MatchSecret(link config.BridgeLink, bridges []xmppapi.CallBridge) (m Match, other string) {
	secret := link.Secret.Reveal()
	at := slices.IndexFunc(bridges, func(b xmppapi.CallBridge) bool { return b.Name == link.Name })
	if at < 0 {
		return Unregistered, ""
	}
	if bridges[at].Secret == secret {
		return SecretRight, ""
	}
	if of := slices.IndexFunc(bridges, func(b xmppapi.CallBridge) bool { return b.Secret == secret }); of >= 0 {
		return SecretOfOther, bridges[of].Name
	}
	return SecretUnknown, ""
}
