package xmpp

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/services/problem"
	"parley/services/xmpp/jid"
	"parley/services/xmpp/router"
	"parley/services/xmpp/store"
	"parley/services/xmpp/xmppapi"
)

// Status implements xmppapi.API.
func (s *Server) Status(ctx context.Context) (xmppapi.Status, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	state := s.core.State()
	st := xmppapi.Status{State: state.Role, LastIndex: state.LastIndex, StateChange: state.Since}
	var err error
	if st.Accounts, st.Pending, err = s.core.Counts(); err != nil {
		return st, err
	}
	if s.trouble != nil {
		st.Trouble = problem.Text(s.trouble)
	}
	if s.doors == nil {
		return st, nil
	}
	connected, err := s.connected(ctx)
	if err != nil {
		return st, err
	}
	st.Running, st.Expires = true, s.doors.expires()
	st.Sessions, st.Components = connected.Sessions, len(connected.Components)
	for _, iface := range s.doors.conf.Listen {
		st.Addresses = append(st.Addresses, fmt.Sprintf("%s:%d", iface, ClientPort), fmt.Sprintf("%s:%d", iface, ComponentPort))
	}
	return st, nil
}

// connected is who is connected; nobody while the doors are shut. Call it with
// mu held.
func (s *Server) connected(ctx context.Context) (router.Connected, error) {
	if s.doors == nil {
		return router.Connected{}, nil
	}
	c, err := s.doors.router.Connected(ctx)
	if errors.Is(err, router.ErrStopped) {
		return router.Connected{}, nil
	}
	return c, err
}

// Users implements xmppapi.API.
func (s *Server) Users(ctx context.Context) ([]xmppapi.User, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	accounts, err := s.core.Accounts()
	if err != nil {
		return nil, err
	}
	connected, err := s.connected(ctx)
	if err != nil {
		return nil, err
	}
	users := make([]xmppapi.User, len(accounts))
	for i, a := range accounts {
		users[i] = xmppapi.User{Name: a.Name, Pending: a.Pending, Sessions: connected.Resources[a.Name]}
	}
	return users, nil
}

// CallBridges implements xmppapi.API.
func (s *Server) CallBridges(ctx context.Context) ([]xmppapi.CallBridge, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	bridges, err := s.core.CallBridges()
	if err != nil {
		return nil, err
	}
	connected, err := s.connected(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]xmppapi.CallBridge, len(bridges))
	for i, b := range bridges {
		out[i] = xmppapi.CallBridge{Name: b.Name, Secret: b.Secret, Connected: slices.Contains(connected.Components, b.Name)}
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
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.doors != nil {
		return s.doors.router.DeleteAccount(ctx, local)
	}
	d, err := s.deps.Config.Load()
	if err != nil {
		return err
	}
	return s.applyLocked(ctx, &store.AccountDel{Name: local, Domain: d.XMPP.Domain})
}

// DelCallBridge implements xmppapi.API.
func (s *Server) DelCallBridge(ctx context.Context, name string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.doors != nil {
		return s.doors.router.DeleteCallBridge(ctx, name)
	}
	return s.applyLocked(ctx, &store.BridgeDel{Name: name})
}
