package xmpp

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/membership"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
	"parley/services/xmpp/xmppapi"
)

const (
	// leaveWait is what a node that is reset takes to tell the others.
	leaveWait = 6 * time.Second
	// removeWait bounds a change of the membership.
	removeWait = 10 * time.Second
)

// isMember says whether this node has been made, or taken into, a cluster.
func (s *Server) isMember() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.isMemberLocked()
}

func (s *Server) isMemberLocked() bool { return s.core.isMember() }

func (c *core) isMember() bool {
	return c.peers != nil && c.record.Load().ID != ""
}

// Cluster implements xmppapi.API.
func (s *Server) Cluster(context.Context) (xmppapi.Cluster, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := s.core
	st := c.State()
	out := xmppapi.Cluster{
		Member: s.isMemberLocked(), State: st.Role, StateChange: st.Since, Activity: s.activity.text(), Margin: -1,
	}
	if !out.Member {
		return out, nil
	}
	out.Outside = outside(st) && out.Activity == ""
	var states map[string]peer.State
	if c.peers != nil {
		states = c.peers.Peers()
	}
	last := st.LastIndex
	if p, ok := states[st.LeaderID]; ok {
		last = max(last, p.LastIndex)
	}
	for _, m := range st.Members {
		self := m.ID == st.ID
		n := xmppapi.Node{Address: m.Addr, Self: self, Leader: m.ID == st.LeaderID, Learner: !m.Voter}
		if self {
			n.Reachable, n.LastIndex, n.Version = true, st.LastIndex, s.cfg.Version
			if l := s.part.Load(); l != nil {
				now := l.census.Load()
				n.Sessions, n.CallBridges = now.clients, bridgeNames(now.components)
			}
		} else if p, ok := states[m.ID]; ok {
			n.Reachable, n.Since, n.LastIndex, n.Version, n.Clock = p.Reachable, p.Since, p.LastIndex, p.Version, p.Clock
			if p.Reachable {
				n.Sessions, n.CallBridges = p.Sessions, bridgeNames(p.Components)
			}
		}
		n.Lag = last - min(last, n.LastIndex)
		out.Leader = out.Leader || n.Leader && n.Reachable
		out.Nodes = append(out.Nodes, n)
	}
	// The original's order: this node stands last.
	slices.SortStableFunc(out.Nodes, func(a, b xmppapi.Node) int {
		if a.Self != b.Self {
			if a.Self {
				return 1
			}
			return -1
		}
		return compareAddress(a.Address, b.Address)
	})
	voters, up := membership.Voters(st, states)
	if majority := voters/2 + 1; up >= majority {
		out.Margin = up - majority
	}
	return out, nil
}

// bridgeNames are the names of Call Bridges by their domains.
func bridgeNames(domains []string) (names []string) {
	for _, d := range domains {
		name, _, _ := strings.Cut(d, ".")
		names = append(names, name)
	}
	return names
}

func compareAddress(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// ClusterInitialize implements xmppapi.API.
func (s *Server) ClusterInitialize(ctx context.Context, again bool) error {
	end, err := s.activity.begin(ctx, "the founding of a cluster")
	if err != nil {
		return err
	}
	defer end()
	s.mu.RLock()
	c := s.core
	s.mu.RUnlock()
	addr, err := s.ownAddress()
	switch {
	case c.peers == nil:
		return problem.New(problem.ClusterOff)
	case err != nil:
		return err
	case s.isMember() && !again:
		return problem.New(problem.ClusterMember)
	}
	d, err := s.deps.Config.Load()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isMemberLocked() {
		// A cluster of another name: members of the old one that come back
		// must not take this for one of theirs.
		s.closeDoors()
		if err := s.core.close(); err != nil {
			return err
		}
		if err := errors.Join(store.Refound(s.cfg.Paths.XMPP(), addr), s.openCoreLocked()); err != nil {
			return err
		}
	} else {
		// The store may have been opened just now.
		ready, cancel := context.WithTimeout(ctx, removeWait)
		defer cancel()
		if err := s.core.WaitReady(ready); err != nil {
			return problem.New(problem.NoLeader)
		}
		if err := s.core.Address(ctx, addr); err != nil {
			return err
		}
	}
	if err := s.name(ctx, store.Cluster{ID: membership.NewClusterID(), Domain: d.XMPP.Domain, SaltKey: s.core.saltKey}); err != nil {
		return err
	}
	return s.reload(context.WithoutCancel(ctx))
}

// name has this node's store, which is its own leader, keep the record.
func (s *Server) name(ctx context.Context, record store.Cluster) error {
	a, err := s.core.applyHere(ctx, []store.Op{&store.ClusterSet{Cluster: record}})
	if err == nil && a.Refused != nil {
		err = a.Refused
	}
	s.core.record.Look(s.core.Store)
	if err != nil {
		return err
	}
	// A node that starts knows by its store whose member it is.
	return s.core.Flush()
}

// ClusterLeave implements xmppapi.API.
func (s *Server) ClusterLeave(ctx context.Context) error {
	if !s.isMember() {
		return problem.New(problem.ClusterNotMember)
	}
	end, err := s.activity.begin(ctx, "leaving the cluster")
	if err != nil {
		return err
	}
	defer end()
	addr, err := s.ownAddress()
	if err != nil {
		return err
	}
	if err := s.leave(ctx); err != nil {
		return err
	}
	return s.standAlone(ctx, addr)
}

// standAlone makes a node that is no member any more one of its own, with a
// copy of what the cluster has.
func (s *Server) standAlone(ctx context.Context, addr string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = left{}
	if d := s.doors; d != nil {
		s.left = left{domain: d.conf.Domain, member: d.leading.location()}
	}
	s.closeDoors()
	if err := errors.Join(s.core.close(), store.Refound(s.cfg.Paths.XMPP(), addr), s.openCoreLocked()); err != nil {
		return err
	}
	if err := s.name(ctx, store.Cluster{}); err != nil {
		return err
	}
	return s.reload(context.WithoutCancel(ctx))
}

// leave has the others remove this node, if there are any.
func (s *Server) leave(ctx context.Context) error {
	s.mu.RLock()
	c := s.core
	s.mu.RUnlock()
	st := c.State()
	if len(st.Members) < 2 || outside(st) {
		// There is nobody to tell, or they have taken it out themselves.
		return nil
	}
	if st.LeaderID == st.ID {
		if err := c.needed(st.ID); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, transferWait)
		err := c.Transfer(ctx)
		cancel()
		if err != nil {
			s.log.Info("leadership not handed over before leaving", "err", err)
		}
	}
	return s.remove(ctx, c, st.ID)
}

// remove has the leader take a node out.
func (s *Server) remove(ctx context.Context, c *core, id string) error {
	ctx, cancel := context.WithTimeout(ctx, removeWait)
	defer cancel()
	asked := false
	for {
		changed := c.Changed()
		st := c.State()
		if asked && st.LeaderID != "" && !slices.ContainsFunc(st.Members, func(m store.Member) bool { return m.ID == id }) {
			return nil
		}
		err := c.leaderless(st)
		switch {
		case st.Ready && id != st.ID:
			err = askAgain(c.removeHere(ctx, id))
		case st.LeaderAddr != "" && st.LeaderID != st.ID:
			err = c.peers.Call(ctx, st.LeaderAddr, callRemove, id, nil)
			// A leader that is told to go may be gone before it has answered.
			asked = asked || errors.Is(err, peer.ErrOutcome) || problem.CodeOf(err) == problem.NoLeader
		}
		if err != nil && asked && id == st.ID && membership.RemovedBy(ctx, evictedAfter, c.peers, st) != "" {
			// Who was removed hears of no leader any more.
			return nil
		}
		switch code := problem.CodeOf(err); {
		case errors.Is(err, peer.ErrOutcome):
		case code == "":
			return err
		case !leaderMissing(err) && code != problem.ClusterRoute:
			return err
		}
		tick := time.NewTimer(200 * time.Millisecond)
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return c.leaderless(c.State())
		}
		tick.Stop()
	}
}

// ClusterRemove implements xmppapi.API.
func (s *Server) ClusterRemove(ctx context.Context, node string, living bool) error {
	if !s.isMember() {
		return problem.New(problem.ClusterNotMember)
	}
	s.mu.RLock()
	c := s.core
	s.mu.RUnlock()
	st := c.State()
	m, ok := membership.Find(ctx, s.deps.Names, st.Members, node, ClientPort)
	switch {
	case !ok:
		var members []string
		for _, m := range st.Members {
			members = append(members, m.Addr)
		}
		return problem.New(problem.ClusterNode, "node", node, "members", strings.Join(members, ", "))
	case m.ID == st.ID:
		return s.ClusterLeave(ctx)
	case !living && c.peers.Peers()[m.ID].Reachable:
		return problem.New(problem.ClusterLiving, "node", membership.Host(m.Addr))
	}
	end, err := s.activity.begin(ctx, "a removal")
	if err != nil {
		return err
	}
	defer end()
	return s.remove(ctx, c, m.ID)
}
