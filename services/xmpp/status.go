package xmpp

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/jid"
	"parley/services/xmpp/router"
	"parley/services/xmpp/store"
	"parley/services/xmpp/xmppapi"
)

// Status implements xmppapi.API.
func (s *Server) Status(context.Context) (xmppapi.Status, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	state := s.core.State()
	st := xmppapi.Status{State: state.Role, LastIndex: state.LastIndex, StateChange: state.Since, Clustered: s.isMemberLocked()}
	var err error
	if st.Accounts, st.Pending, err = s.core.Counts(); err != nil {
		return st, err
	}
	st.Directory, st.Left = s.core.Elsewhere(), s.core.Gone()
	if s.core.peers != nil {
		if trust, err := loadTrust(s.cfg.Paths.Files(), *s.core.conf.Load()); err == nil {
			st.TrustExpires = trust.Expires()
		}
	}
	if s.trouble != nil {
		st.Trouble = problem.Text(s.trouble)
	}
	if s.doors == nil {
		return st, nil
	}
	st.Running, st.Expires = s.doors.conf.Enabled, s.doors.expires()
	if s.core.peers != nil && st.Running && st.Trouble == "" {
		st.Trouble = s.untended(state, st.Clustered)
		st.Running = st.Trouble == ""
	}
	clients, components := s.doors.relay.Sessions()
	st.Sessions, st.Components = clients, len(components)
	for _, iface := range s.doors.conf.Listen {
		st.Addresses = append(st.Addresses, fmt.Sprintf("%s:%d", iface, ClientPort), fmt.Sprintf("%s:%d", iface, ComponentPort))
	}
	return st, nil
}

// untended says why a node in cluster mode does not serve clients.
func (s *Server) untended(st store.State, member bool) string {
	if !member {
		return problem.Text(problem.New(problem.ClusterNotMember))
	}
	if served, since := s.doors.relay.Served(); !served && time.Since(since) > time.Second {
		if outside(st) {
			return problem.Text(problem.New(problem.ClusterOutside))
		}
		return problem.Text(problem.New(problem.ClusterNoMajority))
	}
	return ""
}

// Users implements xmppapi.API.
func (s *Server) Users(ctx context.Context) ([]xmppapi.User, error) {
	connected, err := s.connected(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	accounts, err := s.core.Accounts()
	if err != nil {
		return nil, err
	}
	users := make([]xmppapi.User, len(accounts))
	for i, a := range accounts {
		users[i] = xmppapi.User{Name: a.Name, Pending: a.Pending, Sessions: connected.Resources[a.Name], Directory: a.Elsewhere, Left: a.Gone}
	}
	return users, nil
}

// CallBridges implements xmppapi.API.
func (s *Server) CallBridges(ctx context.Context) ([]xmppapi.CallBridge, error) {
	connected, err := s.connected(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	bridges, err := s.core.CallBridges()
	if err != nil {
		return nil, err
	}
	described, err := descriptions(s.core.Store)
	if err != nil {
		return nil, err
	}
	out := make([]xmppapi.CallBridge, len(bridges))
	for i, b := range bridges {
		out[i] = xmppapi.CallBridge{
			Name: b.Name, Secret: b.Secret, Connected: slices.Contains(connected.Components, b.Name),
			Authenticates: slices.Contains(connected.Authenticators, b.Name), Description: described[b.Name],
		}
	}
	return out, nil
}

// DelUser implements xmppapi.API. With open doors the router does it, which
// tells the contacts and ends the sessions.
func (s *Server) DelUser(ctx context.Context, name string) error {
	local, err := jid.Local(name)
	if err != nil {
		return problem.New(problem.UserUnknown, "name", name)
	}
	d, err := s.deps.Config.Load()
	if err != nil {
		return err
	}
	return s.routed(ctx, callDeleteAccount, local, func(ctx context.Context, r *router.Router) error { return r.DeleteAccount(ctx, local) },
		&store.AccountDel{Name: local, Domain: d.XMPP.Domain})
}
