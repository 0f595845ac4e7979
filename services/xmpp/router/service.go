package router

import (
	"context"
	"maps"
	"slices"

	"parley/services/xmpp/store"
)

// Connected is who is connected at one moment.
type Connected struct {
	// Sessions of clients, in number.
	Sessions int
	// Detached sessions wait for their clients to come back; they are in
	// neither Sessions nor Resources.
	Detached int
	// Resources by account, ordered; accounts without any are left out.
	Resources map[string][]string
	// Components are the names of connected Call Bridges, ordered.
	Components []string
	// Authenticators are those of them that check passwords.
	Authenticators []string
}

// Connected returns who is connected.
func (r *Router) Connected(ctx context.Context) (Connected, error) {
	// Where do fails it may still be written to.
	c := &Connected{Resources: map[string][]string{}}
	if err := r.do(ctx, nil, func(store.Result) { r.connected(c) }); err != nil {
		return Connected{}, err
	}
	return *c, nil
}

func (r *Router) connected(c *Connected) {
	for name, u := range r.users {
		for _, s := range u.sessions {
			if s.detached {
				c.Detached++
				continue
			}
			c.Resources[name] = append(c.Resources[name], s.jid.Resource())
			c.Sessions++
		}
		slices.Sort(c.Resources[name])
	}
	for _, domain := range slices.Sorted(maps.Keys(r.components)) {
		if r.components[domain].detached {
			continue
		}
		name, _ := r.componentName(domain)
		c.Components = append(c.Components, name)
	}
	for _, o := range r.offers() {
		c.Authenticators = append(c.Authenticators, o.Name)
	}
}

// DeleteAccount removes an account, tells its contacts and ends its sessions.
func (r *Router) DeleteAccount(ctx context.Context, name string) error {
	return r.do(ctx, &store.AccountDel{Name: name, Domain: r.domain}, func(res store.Result) {
		r.effects(res.Effects, nil)
		r.endAccount(name)
	})
}

// EndAccount ends the sessions of an account, as after a new password.
func (r *Router) EndAccount(ctx context.Context, name string) error {
	return r.do(ctx, nil, func(store.Result) { r.endAccount(name) })
}

func (r *Router) endAccount(name string) {
	if u := r.users[name]; u != nil {
		for _, s := range slices.Clone(u.sessions) {
			r.end(s, "not-authorized")
		}
	}
}

// DeleteCallBridge removes a Call Bridge and ends its session.
func (r *Router) DeleteCallBridge(ctx context.Context, name string) error {
	return r.do(ctx, &store.BridgeDel{Name: name}, func(store.Result) {
		if s := r.components[name+"."+r.domain]; s != nil {
			r.end(s, "not-authorized")
		}
	})
}

// DropAll ends all sessions with a stream error.
func (r *Router) DropAll(ctx context.Context, condition string) error {
	return r.do(ctx, nil, func(store.Result) {
		for _, s := range r.sessions {
			r.end(s, condition)
		}
	})
}
