package xmpp

import (
	"context"
	"fmt"

	"parley/services/config"
	"parley/services/xmpp/sasl"
	"parley/services/xmpp/store"
)

// directory is what the edge needs of the store to let somebody in.
type directory struct{ store *store.Store }

// Credentials returns what checks an account's password.
func (d directory) Credentials(_ context.Context, name string) (v sasl.Verifiers, ok bool, err error) {
	data, ok, err := d.store.Verifiers(name)
	if err != nil || !ok {
		return v, false, err
	}
	if err := v.UnmarshalBinary(data); err != nil {
		return v, false, fmt.Errorf("verifiers of %s: %w", name, err)
	}
	return v, true, nil
}

// Secret returns a Call Bridge's.
func (d directory) Secret(_ context.Context, name string) (config.Secret, bool, error) {
	b, ok, err := d.store.CallBridge(name)
	return config.Secret(b.Secret), ok, err
}
