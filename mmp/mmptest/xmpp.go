// Package mmptest has in-memory twins of the services that the console asks
// over control sockets, for tests. They refuse what the services refuse, with
// the same problems, and do nothing else.
package mmptest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/services/config"
	"parley/services/problem"
	"parley/services/xmpp/jid"
	"parley/services/xmpp/xmppapi"
)

// XMPP is the twin of the XMPP service. Secrets and state changes are the same
// in each run.
type XMPP struct {
	// Config is what Reload takes.
	Config *config.Store
	// Refuse, when set, is what Reload returns.
	Refuse error

	mu      sync.Mutex
	taken   config.XMPP
	bridges []xmppapi.CallBridge
	users   map[string]string
	changed int
	// Restarts counts calls of Restart.
	Restarts int
}

var _ xmppapi.API = (*XMPP)(nil)

// Fingerprint is all that changes of the state, as text.
func (x *XMPP) Fingerprint() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return fmt.Sprint(x.taken, x.bridges, x.users, x.Restarts)
}

// Status implements xmppapi.API.
func (x *XMPP) Status(context.Context) (xmppapi.Status, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := xmppapi.Status{Running: x.taken.Enabled, State: "LEADER", LastIndex: uint64(x.changed), Accounts: len(x.users)}
	if x.taken.Enabled {
		s.Addresses = []string{"10.106.81.30:5222", "10.106.81.30:5223"}
		s.Expires = time.Date(2036, 11, 22, 0, 0, 0, 0, time.UTC)
	}
	return s, nil
}

// Reload implements xmppapi.API.
func (x *XMPP) Reload(context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.Refuse != nil {
		return x.Refuse
	}
	d, err := x.Config.Load()
	x.taken = d.XMPP
	return err
}

// Restart implements xmppapi.API.
func (x *XMPP) Restart(context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.Restarts++
	return nil
}

// Reset implements xmppapi.API.
func (x *XMPP) Reset(context.Context) (string, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.bridges, x.users, x.changed = nil, nil, 0
	return "", nil
}

// Cluster implements xmppapi.API.
func (x *XMPP) Cluster(context.Context) (xmppapi.Cluster, error) { return xmppapi.Cluster{}, nil }

// ClusterInitialize implements xmppapi.API.
func (x *XMPP) ClusterInitialize(context.Context, bool) error { return nil }

// ClusterJoin implements xmppapi.API.
func (x *XMPP) ClusterJoin(context.Context, string, bool) error { return nil }

// ClusterLeave implements xmppapi.API.
func (x *XMPP) ClusterLeave(context.Context) error { return nil }

// ClusterRemove implements xmppapi.API.
func (x *XMPP) ClusterRemove(context.Context, string) error { return nil }

// AddCallBridge implements xmppapi.API.
func (x *XMPP) AddCallBridge(_ context.Context, name, secret string) (xmppapi.CallBridge, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
	switch {
	case name == "" || strings.Trim(name, allowed) != "":
		return xmppapi.CallBridge{}, problem.New(problem.BridgeName, "name", name)
	case x.bridge(name) >= 0:
		return xmppapi.CallBridge{}, problem.New(problem.BridgeExists, "name", name)
	case secret != "" && (len(secret) < 8 || strings.ContainsAny(secret, " \t")):
		return xmppapi.CallBridge{}, problem.New(problem.BridgeSecret, "name", name)
	case secret == "":
		secret = fmt.Sprintf("kvgP1SRzWVabhi%02dAb1", len(x.bridges)+1)
	}
	x.bridges = append(x.bridges, xmppapi.CallBridge{Name: name, Secret: secret})
	return x.bridges[len(x.bridges)-1], nil
}

func (x *XMPP) bridge(name string) int {
	return slices.IndexFunc(x.bridges, func(b xmppapi.CallBridge) bool { return b.Name == name })
}

// DelCallBridge implements xmppapi.API.
func (x *XMPP) DelCallBridge(_ context.Context, name string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	i := x.bridge(name)
	if i < 0 {
		return problem.New(problem.BridgeUnknown, "name", name)
	}
	x.bridges = slices.Delete(x.bridges, i, i+1)
	return nil
}

// CallBridges implements xmppapi.API.
func (x *XMPP) CallBridges(context.Context) ([]xmppapi.CallBridge, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.bridges), nil
}

// AddUser implements xmppapi.API.
func (x *XMPP) AddUser(ctx context.Context, u xmppapi.Credential) error {
	return x.ImportUsers(ctx, []xmppapi.Credential{u})
}

// DelUser implements xmppapi.API.
func (x *XMPP) DelUser(_ context.Context, name string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.users[name]; !ok {
		return problem.New(problem.UserUnknown, "name", name)
	}
	delete(x.users, name)
	return nil
}

// SetPassword implements xmppapi.API.
func (x *XMPP) SetPassword(_ context.Context, u xmppapi.Credential) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.users[u.Name]; !ok {
		return problem.New(problem.UserUnknown, "name", u.Name)
	}
	if u.Password == "" {
		return problem.New(problem.UserPassword, "name", u.Name)
	}
	x.users[u.Name] = u.Password
	return nil
}

// Password returns what SetPassword and ImportUsers were given.
func (x *XMPP) Password(name string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.users[name]
}

// Users implements xmppapi.API.
func (x *XMPP) Users(context.Context) ([]xmppapi.User, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var us []xmppapi.User
	for name := range x.users {
		us = append(us, xmppapi.User{Name: name})
	}
	slices.SortFunc(us, func(a, b xmppapi.User) int { return cmp.Compare(a.Name, b.Name) })
	return us, nil
}

// ImportUsers implements xmppapi.API.
func (x *XMPP) ImportUsers(_ context.Context, us []xmppapi.Credential) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	next := maps.Clone(x.users)
	if next == nil {
		next = map[string]string{}
	}
	for _, u := range us {
		if l, err := jid.Local(u.Name); err != nil || l != u.Name {
			return problem.New(problem.UserName, "name", u.Name)
		}
		if _, twice := next[u.Name]; twice {
			return problem.New(problem.UserExists, "name", u.Name)
		}
		if u.Password == "" {
			return problem.New(problem.UserPassword, "name", u.Name)
		}
		next[u.Name] = u.Password
	}
	x.users = next
	return nil
}
