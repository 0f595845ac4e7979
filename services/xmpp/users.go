package xmpp

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"parley/services/problem"
	"parley/services/xmpp/jid"
	"parley/services/xmpp/sasl"
	"parley/services/xmpp/store"
	"parley/services/xmpp/xmppapi"
)

// derive prepares a name and makes what is kept of a password.
func derive(u xmppapi.Credential) (name string, verifiers []byte, err error) {
	if name, err = jid.Local(u.Name); err != nil {
		return "", nil, problem.New(problem.UserName, "name", u.Name)
	}
	v, err := sasl.NewVerifiers(u.Password)
	if err != nil {
		return "", nil, problem.New(problem.UserPassword, "name", u.Name)
	}
	if verifiers, err = v.MarshalBinary(); err != nil {
		return "", nil, fmt.Errorf("encode verifiers of %s: %w", name, err)
	}
	return name, verifiers, nil
}

// AddUser implements xmppapi.API.
func (s *Server) AddUser(ctx context.Context, u xmppapi.Credential) error {
	name, verifiers, err := derive(u)
	if err != nil {
		return err
	}
	return s.apply(ctx, &store.AccountAdd{Name: name, Verifiers: verifiers})
}

// SetPassword implements xmppapi.API. Sessions that are open stay so.
func (s *Server) SetPassword(ctx context.Context, u xmppapi.Credential) error {
	name, verifiers, err := derive(u)
	if err != nil {
		return err
	}
	return s.apply(ctx, &store.AccountSet{Name: name, Verifiers: verifiers})
}

// ImportUsers implements xmppapi.API. Deriving takes about a millisecond each,
// so all cores share it.
func (s *Server) ImportUsers(ctx context.Context, us []xmppapi.Credential) error {
	accounts := make([]store.AccountAdd, len(us))
	errs := make([]error, len(us))
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(us) && ctx.Err() == nil; i += workers {
				accounts[i].Name, accounts[i].Verifiers, errs[i] = derive(us[i])
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return s.apply(ctx, &store.AccountImport{Accounts: accounts})
}
