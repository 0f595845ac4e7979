package database

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"parley/services/database/databaseapi"
	"parley/services/problem"
	"parley/services/xmpp/membership"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// joinWait is how long a join may go without any progress.
const joinWait = 15 * time.Second

// Join implements databaseapi.API. What this node has stays until the cluster's
// data is here; then one write makes the join final.
func (s *Server) Join(ctx context.Context, node string) error {
	end, err := s.begin("another change of the database cluster")
	if err != nil {
		return err
	}
	defer end()
	return s.noted("database cluster join "+node, s.join(ctx, node))
}

func (s *Server) join(ctx context.Context, node string) error {
	old, was := s.current()
	d := *old.conf.Load()
	if was.Mode != databaseapi.Alone {
		return problem.New(problem.DatabaseClustered, "command", "database cluster join "+node)
	}
	if err := s.ready(d, true); err != nil {
		return err
	}
	own, err := s.addressOf(d)
	if err != nil {
		return err
	}
	if membership.WithPort(node, Port) == own {
		return problem.New(problem.DatabaseSelf, "node", node)
	}
	st := old.State()
	req := joinRequest{Node: node, Hello: peer.Hello{
		ID: st.ID, Address: own, Version: s.cfg.Version, Protocol: protocol, Time: time.Now(),
	}}
	s.now("asking " + node + " whether this node may join")
	leader, err := s.preflight(ctx, req)
	if err != nil {
		return err
	}
	if leader == own {
		return problem.New(problem.DatabaseSelf, "node", node)
	}
	p := place{Mode: databaseapi.Member, Folder: was.nextFolder(), Last: was.Last}
	folder := filepath.Join(s.cfg.Paths.Database(), p.Folder)
	s.mu.Lock()
	err = s.replace(p, func() error {
		_, err := store.CreateMember(folder)
		return err
	})
	c := s.core
	if err == nil {
		c.joining.Store(true)
		s.place = p
		err = s.listen(ctx, c)
	}
	s.mu.Unlock()
	if err == nil {
		err = s.fill(ctx, c, leader, req)
	}
	if err == nil {
		err = p.save(s.cfg.Paths.Database())
	}
	if err != nil {
		return errors.Join(explain(err), s.undoJoin(ctx, c, was, folder, leader))
	}
	c.joining.Store(false)
	if err := os.RemoveAll(filepath.Join(s.cfg.Paths.Database(), was.Folder)); err != nil {
		s.log.Warn("the store of before the join is left", "err", err)
	}
	return s.awaitVote(ctx, c)
}

// preflight asks whether this node may join, until the leader is named.
func (s *Server) preflight(ctx context.Context, req joinRequest) (leader string, err error) {
	c, _ := s.current()
	d := *c.conf.Load()
	net := peer.New(peer.Config{}, peer.Deps{
		Identity: func() (peer.Identity, error) { return loadIdentity(s.cfg.Paths.Files(), d) },
		Self:     func() peer.Hello { return req.Hello }, DialContext: s.dial(), Log: s.deps.Log,
	})
	ctx, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	for {
		if err = net.Call(ctx, membership.WithPort(req.Node, Port), callJoinCheck, req, &leader); err == nil {
			return leader, nil
		}
		if problem.CodeOf(err) != problem.DatabaseNoLeader || ctx.Err() != nil {
			return "", explain(err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// fill has the leader take this node in, and waits until the cluster's data is
// on its disk.
func (s *Server) fill(ctx context.Context, c *core, leader string, req joinRequest) error {
	s.now("asking " + membership.Host(leader) + " to take this node in")
	wait, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	for {
		req.Hello.Time = time.Now()
		err := c.peers.Call(wait, leader, callJoin, req, nil)
		if err == nil {
			break
		}
		if problem.CodeOf(err) != problem.DatabaseNoLeader || wait.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
		if now, err := s.preflight(wait, req); err == nil {
			leader = now
		}
	}
	doing := "waiting for " + membership.Host(leader) + " to send its data"
	var index uint64
	moved := time.Now()
	for {
		st := c.State()
		if st.AppliedIndex > index {
			index, moved = st.AppliedIndex, time.Now()
			doing = fmt.Sprintf("catching up with %s, at change %d", membership.Host(leader), index)
		}
		s.now(doing)
		if c.record.Look(c.Store).ID != "" && slices.ContainsFunc(st.Members, func(m store.Member) bool { return m.ID == st.ID }) {
			return c.Flush()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Since(moved) > joinWait:
			return problem.New(problem.DatabaseLate, "doing", doing)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// awaitVote waits until this node counts; where that takes long it goes on by
// itself.
func (s *Server) awaitVote(ctx context.Context, c *core) error {
	s.now("catching up")
	ctx, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	for {
		changed := c.Changed()
		st := c.State()
		if slices.ContainsFunc(st.Members, func(m store.Member) bool { return m.ID == st.ID && m.Voter }) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// undoJoin puts the store of before back.
func (s *Server) undoJoin(ctx context.Context, c *core, was place, folder, leader string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.joining.Load() {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWait)
		defer cancel()
		if err := c.peers.Call(undo, leader, callRemove, c.State().ID, nil); err != nil {
			s.log.Info("cluster not told of the join that failed", "err", err)
		}
	}
	s.place = was
	return s.replace(was, func() error {
		if err := os.RemoveAll(folder); err != nil {
			return fmt.Errorf("remove the store of a join: %w", err)
		}
		return nil
	})
}

// Connect implements databaseapi.API.
func (s *Server) Connect(ctx context.Context, node string) error {
	end, err := s.begin("another change of the database cluster")
	if err != nil {
		return err
	}
	defer end()
	return s.noted("database cluster connect "+node, s.connect(ctx, node))
}

func (s *Server) connect(ctx context.Context, node string) error {
	c, p := s.current()
	if p.Mode != databaseapi.Alone {
		return problem.New(problem.DatabaseClustered, "command", "database cluster connect "+node)
	}
	d := *c.conf.Load()
	if err := s.ready(d, false); err != nil {
		return err
	}
	first := membership.WithPort(node, Port)
	if own, err := s.addressOf(d); err == nil && own == first {
		return problem.New(problem.DatabaseSelf, "node", node)
	}
	id := c.State().ID
	net := peer.New(peer.Config{}, peer.Deps{
		Identity: func() (peer.Identity, error) { return loadIdentity(s.cfg.Paths.Files(), d) },
		Self: func() peer.Hello {
			return peer.Hello{ID: id, Version: s.cfg.Version, Protocol: protocol, Time: time.Now()}
		}, DialContext: s.dial(), Log: s.deps.Log,
	})
	var nodes []databaseapi.Node
	wait, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	if err := net.Call(wait, first, callNodes, nil, &nodes); err != nil {
		return explain(err)
	}
	return s.become(place{Mode: databaseapi.Connected, Folder: p.Folder, Servers: serversOf(first, nodes)})
}

// serversOf are the addresses to ask, the primary first: it takes changes
// without passing them on. What was typed comes last, and finds the cluster
// again if all have moved.
func serversOf(typed string, nodes []databaseapi.Node) []string {
	var all []string
	add := func(a string) {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	for _, primary := range []bool{true, false} {
		for _, n := range nodes {
			if n.Primary == primary {
				add(membership.WithPort(n.Address, Port))
			}
		}
	}
	add(typed)
	return all
}
