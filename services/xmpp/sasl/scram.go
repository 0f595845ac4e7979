package sasl

import (
	"context"
	"strings"

	"github.com/xdg-go/scram"

	"parley/services/xmpp/jid"
)

// scramFirst answers client-first-message with the server's (RFC 5802 §7).
func (x *Exchange) scramFirst(ctx context.Context, in string) ([]byte, error) {
	flag, _, _ := strings.Cut(in, ",")
	bindingType, bound := strings.CutPrefix(flag, "p=")
	// A client that binds chooses -PLUS, and only such a one.
	if bound != x.plus {
		return nil, MalformedRequest
	}
	var lookupErr error
	lookup := func(username string) (scram.StoredCredentials, error) {
		var v Verifiers
		x.local = localPart(username)
		if v, _, lookupErr = x.verifier(ctx, x.local); lookupErr != nil {
			return scram.StoredCredentials{}, lookupErr
		}
		one := v.SHA256
		if x.hash == scramSHA1 {
			one = v.SHA1
		}
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(one.Salt), Iters: one.Iterations},
			StoredKey:  one.StoredKey, ServerKey: one.ServerKey,
		}, nil
	}
	hash := scram.SHA256
	if x.hash == scramSHA1 {
		hash = scram.SHA1
	}
	server, err := hash.NewServer(lookup)
	if err != nil {
		return nil, TemporaryFailure
	}
	// Without a binding the conversation is still told that -PLUS was
	// offered, so that it finds the downgrade in a client's "y".
	var binding scram.ChannelBinding
	for _, b := range x.channel.Bindings {
		if !bound || string(b.Type) == bindingType {
			binding = b
			break
		}
	}
	x.conversation = server.NewConversationWithChannelBinding(binding)
	out, err := x.conversation.Step(in)
	switch {
	case lookupErr != nil:
		return nil, lookupErr
	case err != nil:
		// A binding that was not offered, and a client's "y" where -PLUS was
		// (the downgrade of RFC 5802 §6), are here too. No password has been
		// tried, so this is not NotAuthorized.
		return nil, MalformedRequest
	}
	return []byte(out), x.checkAuthzid(x.conversation.AuthzID())
}

// scramFinal answers client-final-message. Whatever is wrong with a proof, the
// failure is the same.
func (x *Exchange) scramFinal(in string) ([]byte, error) {
	out, err := x.conversation.Step(in)
	if err != nil || !x.conversation.Valid() || x.local == "" {
		return nil, NotAuthorized
	}
	return []byte(out), nil
}

// checkAuthzid lets nobody act for another (RFC 6120 §6.3.8).
func (x *Exchange) checkAuthzid(authzid string) error {
	if authzid == "" {
		return nil
	}
	j, err := jid.Parse(authzid)
	if err != nil || j.Local() != x.local || j.Domain() != x.server.domain || !j.IsBare() {
		return InvalidAuthzid
	}
	return nil
}

// localPart prepares a user name; "" is for one that no account can have.
func localPart(username string) string {
	local, err := jid.Local(username)
	if err != nil {
		return ""
	}
	return local
}
