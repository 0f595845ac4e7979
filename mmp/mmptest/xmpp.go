// Package mmptest has in-memory twins of the services that the console asks
// over control sockets, for tests. They refuse what the services refuse, with
// the same problems, and do nothing else.
package mmptest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parley/services/config"
	"parley/services/problem"
	"parley/services/xmpp/jid"
	"parley/services/xmpp/xmppapi"
)

// XMPP is the twin of the XMPP service of one node of a Site. Secrets and
// state changes are the same in each run. The exported fields may be set
// before the twin is used.
type XMPP struct {
	// Config is what Reload takes.
	Config *config.Store
	// Refuse, when set, is what Reload returns.
	Refuse error
	// Says, when set, is what Cluster returns.
	Says *xmppapi.Cluster
	// Version and Clock are what other nodes see; Clock is ahead of Now.
	Version string
	Clock   time.Duration
	// Distrusts, when set, is why TLS of others with this node fails.
	Distrusts string
	// JoinSteps are what a join of this node waits for. With TooLate it
	// succeeds although it was given up.
	JoinSteps []JoinStep
	TooLate   bool
	// Examiner is this node's, for the other members.
	Examiner func(context.Context, json.RawMessage) (json.RawMessage, error)
	// Expires and TrustExpires, when set, are those of Status.
	Expires, TrustExpires time.Time

	// The rest is guarded by the site's mutex.
	site          *Site
	name, address string
	data          *data
	activity      string
	taken         config.XMPP
	// Restarts counts calls of Restart.
	Restarts int
}

// JoinStep is a part of a join that takes some time.
type JoinStep struct {
	Activity string
	Takes    time.Duration
}

var (
	_ xmppapi.API      = (*XMPP)(nil)
	_ xmppapi.Examiner = (*XMPP)(nil)
)

// Fingerprint is all that changes of the state, as text.
func (x *XMPP) Fingerprint() string {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	return fmt.Sprint(x.taken, *x.data, x.Restarts)
}

// Status implements xmppapi.API.
func (x *XMPP) Status(context.Context) (xmppapi.Status, error) {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	s := xmppapi.Status{
		Running: x.taken.Enabled, State: "LEADER", LastIndex: uint64(x.data.changed), Accounts: len(x.data.users),
		Clustered: x.member(),
	}
	until := time.Date(2036, 11, 22, 0, 0, 0, 0, time.UTC)
	if x.taken.Enabled {
		ip := strings.TrimSuffix(x.address, ":5222")
		s.Addresses = []string{ip + ":5222", ip + ":5223"}
		s.Expires = orTime(x.Expires, until)
		if x.taken.Cluster.Trust != "" {
			s.TrustExpires = orTime(x.TrustExpires, until)
		}
	}
	return s, nil
}

func orTime(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t
}

// Reload implements xmppapi.API.
func (x *XMPP) Reload(context.Context) error {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	if x.Refuse != nil {
		return x.Refuse
	}
	d, err := x.Config.Load()
	x.taken = d.XMPP
	return err
}

// Restart implements xmppapi.API.
func (x *XMPP) Restart(context.Context) error {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	x.Restarts++
	return nil
}

// AddCallBridge implements xmppapi.API.
func (x *XMPP) AddCallBridge(_ context.Context, name, secret string) (xmppapi.CallBridge, error) {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
	switch {
	case name == "" || strings.Trim(name, allowed) != "":
		return xmppapi.CallBridge{}, problem.New(problem.BridgeName, "name", name)
	case x.bridge(name) >= 0:
		return xmppapi.CallBridge{}, problem.New(problem.BridgeExists, "name", name)
	case secret != "" && (len(secret) < 8 || strings.ContainsAny(secret, " \t")):
		return xmppapi.CallBridge{}, problem.New(problem.BridgeSecret, "name", name)
	case secret == "":
		secret = fmt.Sprintf("kvgP1SRzWVabhi%02dAb1", len(x.data.bridges)+1)
	}
	if err := x.writable(); err != nil {
		return xmppapi.CallBridge{}, err
	}
	x.data.bridges = append(x.data.bridges, xmppapi.CallBridge{Name: name, Secret: secret})
	return x.data.bridges[len(x.data.bridges)-1], nil
}

func (x *XMPP) bridge(name string) int {
	return slices.IndexFunc(x.data.bridges, func(b xmppapi.CallBridge) bool { return b.Name == name })
}

// DescribeCallBridge implements xmppapi.API.
func (x *XMPP) DescribeCallBridge(_ context.Context, name string, d xmppapi.Description) error {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	i := x.bridge(name)
	if i < 0 {
		return problem.New(problem.BridgeUnknown, "name", name)
	}
	x.data.bridges[i].Description = d
	return nil
}

// DelCallBridge implements xmppapi.API.
func (x *XMPP) DelCallBridge(_ context.Context, name string) error {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	i := x.bridge(name)
	if i < 0 {
		return problem.New(problem.BridgeUnknown, "name", name)
	}
	if err := x.writable(); err != nil {
		return err
	}
	x.data.bridges = slices.Delete(x.data.bridges, i, i+1)
	return nil
}

// CallBridges implements xmppapi.API.
func (x *XMPP) CallBridges(context.Context) ([]xmppapi.CallBridge, error) {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	return slices.Clone(x.data.bridges), nil
}

// AddUser implements xmppapi.API.
func (x *XMPP) AddUser(ctx context.Context, u xmppapi.Credential) error {
	return x.ImportUsers(ctx, []xmppapi.Credential{u})
}

// DelUser implements xmppapi.API.
func (x *XMPP) DelUser(_ context.Context, name string) error {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	if _, ok := x.data.users[name]; !ok {
		return problem.New(problem.UserUnknown, "name", name)
	}
	if err := x.writable(); err != nil {
		return err
	}
	delete(x.data.users, name)
	return nil
}

// SetPassword implements xmppapi.API.
func (x *XMPP) SetPassword(_ context.Context, u xmppapi.Credential) error {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	if _, ok := x.data.users[u.Name]; !ok {
		return problem.New(problem.UserUnknown, "name", u.Name)
	}
	if u.Password == "" {
		return problem.New(problem.UserPassword, "name", u.Name)
	}
	if err := x.writable(); err != nil {
		return err
	}
	x.data.users[u.Name] = u.Password
	return nil
}

// Password returns what SetPassword and ImportUsers were given.
func (x *XMPP) Password(name string) string {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	return x.data.users[name]
}

// Listed is a directory's list of who exists.
func (x *XMPP) Listed(names ...string) {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	if x.data.users == nil {
		x.data.users = map[string]string{}
	}
	x.data.left = map[string]bool{}
	for name := range x.data.users {
		x.data.left[name] = !slices.Contains(names, name)
	}
	for _, name := range names {
		if _, ok := x.data.users[name]; !ok {
			x.data.users[name] = ""
		}
	}
}

// Users implements xmppapi.API.
func (x *XMPP) Users(context.Context) ([]xmppapi.User, error) {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	var us []xmppapi.User
	for name := range x.data.users {
		directory := x.data.users[name] == ""
		us = append(us, xmppapi.User{Name: name, Directory: directory, Left: directory && x.data.left[name]})
	}
	slices.SortFunc(us, func(a, b xmppapi.User) int { return cmp.Compare(a.Name, b.Name) })
	return us, nil
}

// ImportUsers implements xmppapi.API.
func (x *XMPP) ImportUsers(_ context.Context, us []xmppapi.Credential) error {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	next := maps.Clone(x.data.users)
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
	if err := x.writable(); err != nil {
		return err
	}
	x.data.users = next
	return nil
}
