package xmpp

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/router"
	"parley/services/xmpp/store"
)

// Methods that nodes call of one another. Changes are made by the leader; a
// node that does not lead asks it to, and answers only when its own copy has
// the change, so that who has changed something also sees it.
const (
	callApply            = "apply"
	callDeleteAccount    = "delete-account"
	callDeleteCallBridge = "delete-callbridge"
	callConnected        = "connected"
)

// forwardWait bounds a change from the console, elections included.
const forwardWait = 8 * time.Second

// applied is the leader's answer: the problem of the first op that was
// refused, and the index that the change has in the log.
type applied struct {
	Refused *problem.Problem `json:"refused,omitempty"`
	Index   uint64           `json:"index"`
}

// handleCalls offers c's part to the other nodes.
func (s *Server) handleCalls(c *core) {
	c.peers.HandleCall(callApply, func(ctx context.Context, _ peer.Hello, in json.RawMessage) (any, error) {
		var data []byte
		if err := json.Unmarshal(in, &data); err != nil {
			return nil, err
		}
		ops, err := store.DecodeOps(data)
		if err != nil {
			return nil, err
		}
		return c.applyHere(ctx, ops)
	})
	routed := func(method string, f func(context.Context, *router.Router, string) error) {
		c.peers.HandleCall(method, func(ctx context.Context, _ peer.Hello, in json.RawMessage) (any, error) {
			var name string
			if err := json.Unmarshal(in, &name); err != nil {
				return nil, err
			}
			r := s.routerHere()
			if r == nil {
				return nil, problem.New(problem.NoLeader)
			}
			var a applied
			if err := f(ctx, r, name); err != nil && !errors.As(err, &a.Refused) {
				return nil, err
			}
			a.Index = c.State().AppliedIndex
			return a, nil
		})
	}
	routed(callDeleteAccount, func(ctx context.Context, r *router.Router, name string) error { return r.DeleteAccount(ctx, name) })
	routed(callDeleteCallBridge, func(ctx context.Context, r *router.Router, name string) error { return r.DeleteCallBridge(ctx, name) })
	c.peers.HandleCall(callConnected, func(ctx context.Context, _ peer.Hello, _ json.RawMessage) (any, error) {
		r := s.routerHere()
		if r == nil {
			return nil, problem.New(problem.NoLeader)
		}
		return r.Connected(ctx)
	})
	c.peers.Handle(kindLink, func(ctx context.Context, conn net.Conn, from peer.Hello) {
		if l := s.part.Load(); l != nil && l.core == c {
			l.doors.relay.Serve(ctx, conn, from.Address)
		}
	})
	s.handlePasswords(c)
	s.handleMembership(c)
}

// routerHere is the router while this node leads with open doors. It is called
// by other nodes' calls, so it must not wait for doors that are being closed.
func (s *Server) routerHere() *router.Router {
	if l := s.part.Load(); l != nil {
		return l.current()
	}
	return nil
}

// applyHere does ops in this node's store, which must lead.
func (c *core) applyHere(ctx context.Context, ops []store.Op) (a applied, err error) {
	results, index, err := c.ApplyAt(ctx, ops...)
	if errors.Is(err, store.ErrOutcome) {
		return a, problem.New(problem.ChangeUnknown)
	}
	if err != nil {
		return a, err
	}
	a.Index = index
	for _, r := range results {
		if r.Err == nil {
			continue
		}
		if !errors.As(r.Err, &a.Refused) {
			return a, r.Err
		}
		break
	}
	return a, nil
}

// change has the leader do something, wherever it is. here does it on this
// node; elsewhere, method does with in. Elections are waited for. What is not
// known to have been done is not tried again.
func (s *Server) change(ctx context.Context, here func(context.Context) (applied, error), method string, in any) error {
	ctx, cancel := context.WithTimeout(ctx, forwardWait)
	defer cancel()
	s.mu.RLock()
	c := s.core
	s.mu.RUnlock()
	for {
		changed := c.Changed()
		st := c.State()
		var a applied
		var err error
		switch {
		case st.Ready || c.peers == nil:
			a, err = here(ctx)
		case st.LeaderAddr == "" || st.LeaderID == st.ID:
			err = problem.New(problem.NoLeader)
		default:
			err = c.peers.Call(ctx, st.LeaderAddr, method, in, &a)
		}
		switch {
		case err == nil:
			if a.Refused != nil {
				return a.Refused
			}
			return c.WaitApplied(ctx, a.Index)
		case errors.Is(err, peer.ErrOutcome):
			return problem.New(problem.ChangeUnknown)
		case problem.CodeOf(err) != problem.NoLeader && problem.CodeOf(err) != problem.ClusterRoute || c.peers == nil:
			return err
		}
		tick := time.NewTimer(100 * time.Millisecond)
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return problem.New(problem.NoLeader)
		}
		tick.Stop()
	}
}

// apply does ops in the store; the error of the first that was refused is
// returned.
func (s *Server) apply(ctx context.Context, ops ...store.Op) error {
	return s.change(ctx, func(ctx context.Context) (applied, error) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return s.core.applyHere(ctx, ops)
	}, callApply, store.EncodeOps(ops))
}

// routed does something by the router, or with shut doors by op alone.
func (s *Server) routed(ctx context.Context, method, name string, f func(context.Context, *router.Router) error, op store.Op) error {
	return s.change(ctx, func(ctx context.Context) (a applied, err error) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		r := s.routerHere()
		switch {
		case r != nil:
			if err = f(ctx, r); errors.Is(err, router.ErrStopped) {
				err = problem.New(problem.NoLeader)
			}
			if errors.As(err, &a.Refused) && a.Refused.Code != problem.NoLeader {
				err = nil
			}
			a.Index = s.core.State().AppliedIndex
		case s.doors != nil:
			err = problem.New(problem.NoLeader)
		case op != nil:
			return s.core.applyHere(ctx, []store.Op{op})
		}
		return a, err
	}, method, name)
}

// connected is who is connected, in the whole cluster; nobody while the doors
// are shut or there is no leader.
func (s *Server) connected(ctx context.Context) (router.Connected, error) {
	s.mu.RLock()
	c, doors := s.core, s.doors
	s.mu.RUnlock()
	if doors == nil {
		return router.Connected{}, nil
	}
	if r := s.routerHere(); r != nil {
		conn, err := r.Connected(ctx)
		if errors.Is(err, router.ErrStopped) {
			return router.Connected{}, nil
		}
		return conn, err
	}
	var conn router.Connected
	if st := c.State(); c.peers != nil && st.LeaderAddr != "" && st.LeaderID != st.ID {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if err := c.peers.Call(ctx, st.LeaderAddr, callConnected, nil, &conn); err != nil {
			s.log.Debug("leader does not tell who is connected", "err", err)
		}
	}
	return conn, nil
}
