package database

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"parley/services/database/databaseapi"
	"parley/services/problem"
	"parley/services/xmpp/membership"
)

// Status implements databaseapi.API.
func (s *Server) Status(ctx context.Context) (databaseapi.Status, error) {
	s.mu.RLock()
	c, p := s.core, s.place
	out := databaseapi.Status{Mode: p.Mode, Last: p.Last, Activity: s.activity}
	s.mu.RUnlock()
	switch p.Mode {
	case databaseapi.Member:
		out.Nodes = c.nodes()
	case databaseapi.Connected:
		if err := c.ask(ctx, p.Servers, callNodes, nil, &out.Nodes); err != nil {
			out.Trouble = problem.Text(err)
			return out, nil
		}
		for i := range out.Nodes {
			// It was the other's view.
			out.Nodes[i].Self = false
		}
		s.follows(c, out.Nodes)
	default:
		return out, nil
	}
	voters, up := 0, 0
	for _, n := range out.Nodes {
		if n.Primary {
			out.InUse = n.Address
		}
		if !n.Learner {
			voters++
			if n.Connected {
				up++
			}
		}
	}
	if out.InUse == "" || up <= voters/2 {
		out.Trouble = problem.Text(problem.New(problem.DatabaseNoLeader))
	}
	return out, nil
}

// follows notes where the cluster is that this node is connected to.
func (s *Server) follows(c *core, nodes []databaseapi.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core != c || len(s.place.Servers) == 0 {
		return
	}
	p := s.place
	p.Servers = serversOf(p.Servers[len(p.Servers)-1], nodes)
	if slices.Equal(p.Servers, s.place.Servers) {
		return
	}
	if err := p.save(s.cfg.Paths.Database()); err != nil {
		s.log.Warn("the cluster's addresses are not kept", "err", err)
		return
	}
	s.place = p
}

// nodes are the members as this one knows them.
func (c *core) nodes() []databaseapi.Node {
	st := c.State()
	states := c.peers.Peers()
	last := st.LastIndex
	if p, ok := states[st.LeaderID]; ok {
		last = max(last, p.LastIndex)
	}
	var out []databaseapi.Node
	for _, m := range st.Members {
		n := databaseapi.Node{Address: membership.Host(m.Addr), Self: m.ID == st.ID, Primary: m.ID == st.LeaderID, Learner: !m.Voter}
		index := st.LastIndex
		if n.Connected = n.Self; !n.Self {
			p := states[m.ID]
			n.Connected, index = p.Reachable, p.LastIndex
		}
		n.Behind = last - min(last, index)
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b databaseapi.Node) int {
		x, errX := netip.ParseAddr(a.Address)
		y, errY := netip.ParseAddr(b.Address)
		if errX != nil || errY != nil {
			return cmp.Compare(a.Address, b.Address)
		}
		return x.Compare(y)
	})
	return out
}
