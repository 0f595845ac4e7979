package xmpp

import (
	"context"
	"crypto/rand"
	"strings"

	"parley/services/problem"
	"parley/services/xmpp/router"
	"parley/services/xmpp/store"
	"parley/services/xmpp/xmppapi"
)

// secretEnd closes every generated secret: with it there are an upper-case
// letter, a lower-case one and a digit, whatever the random part is.
const secretEnd = "Ab1"

// newSecret returns 16 random characters (95 bits) and secretEnd.
func newSecret() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	var b strings.Builder
	var random [1]byte
	for b.Len() < 16 {
		// crypto/rand.Read never fails. Values above the largest
		// multiple of 62 would favour some letters.
		rand.Read(random[:])
		if random[0] < 4*62 {
			b.WriteByte(alphabet[random[0]%62])
		}
	}
	return b.String() + secretEnd
}

// checkBridge says whether name and a given secret may be a Call Bridge's: the
// name is one label of the component's domain.
func checkBridge(name, secret string) error {
	label := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-')
	}
	if name == "" || len(name) > 63 || strings.ContainsFunc(name, label) || strings.Trim(name, "-") != name {
		return problem.New(problem.BridgeName, "name", name)
	}
	printable := func(r rune) bool { return r <= ' ' || r > '~' }
	if secret != "" && (len(secret) < 8 || len(secret) > 200 || strings.ContainsFunc(secret, printable)) {
		return problem.New(problem.BridgeSecret, "name", name)
	}
	return nil
}

// AddCallBridge implements xmppapi.API.
func (s *Server) AddCallBridge(ctx context.Context, name, secret string) (xmppapi.CallBridge, error) {
	name = strings.ToLower(name)
	if err := checkBridge(name, secret); err != nil {
		return xmppapi.CallBridge{}, err
	}
	if secret == "" {
		secret = newSecret()
	}
	if err := s.apply(ctx, &store.BridgeAdd{Name: name, Secret: secret}); err != nil {
		return xmppapi.CallBridge{}, err
	}
	return xmppapi.CallBridge{Name: name, Secret: secret}, nil
}

// DelCallBridge implements xmppapi.API. What is said of it goes first, so that
// another one of the name does not get it.
func (s *Server) DelCallBridge(ctx context.Context, name string) error {
	if err := s.forgetDescription(ctx, name); err != nil {
		return err
	}
	return s.routed(ctx, callDeleteCallBridge, name, func(ctx context.Context, r *router.Router) error { return r.DeleteCallBridge(ctx, name) },
		&store.BridgeDel{Name: name})
}
