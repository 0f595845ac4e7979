package database

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/problem"
	"parley/services/xmpp/membership"
	"parley/services/xmpp/store"
)

const (
	// readyWait is how long a store of one takes at most to elect itself.
	readyWait = 10 * time.Second
	// removeWait bounds a change of the membership.
	removeWait = 10 * time.Second
)

// Initialize implements databaseapi.API.
func (s *Server) Initialize(ctx context.Context, again bool) error {
	end, err := s.begin("another change of the database cluster")
	if err != nil {
		return err
	}
	defer end()
	return s.noted("database cluster initialize", s.initialize(ctx, again))
}

func (s *Server) initialize(ctx context.Context, again bool) error {
	const command = "database cluster initialize"
	c, p := s.current()
	d := *c.conf.Load()
	lost := false
	if again && p.Mode == databaseapi.Member {
		s, err := s.Status(ctx)
		if err != nil {
			return err
		}
		lost = s.Trouble != "" && !s.Majority()
	}
	if p.Mode != databaseapi.Alone && !lost {
		return problem.New(problem.DatabaseClustered, "command", command)
	}
	if err := s.ready(d, true); err != nil {
		return err
	}
	addr, err := s.addressOf(d)
	if err != nil {
		return err
	}
	was := p
	p.Mode = databaseapi.Member
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.replace(p, func() error {
		if was.Mode == databaseapi.Member {
			return store.Refound(filepath.Join(s.cfg.Paths.Database(), p.Folder), addr)
		}
		return nil
	})
	if err == nil {
		err = s.found(ctx, addr)
	}
	if err == nil {
		err = p.save(s.cfg.Paths.Database())
	}
	if err != nil {
		return errors.Join(explain(err), s.replace(was, nothing))
	}
	s.place = p
	return nil
}

// found makes the store that is open a cluster of this one node.
func (s *Server) found(ctx context.Context, addr string) error {
	if err := s.listen(ctx, s.core); err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	if err := s.core.WaitReady(ready); err != nil {
		return problem.New(problem.DatabaseNoLeader)
	}
	if err := s.core.Address(ready, addr); err != nil {
		return err
	}
	return s.name(ready, membership.NewClusterID())
}

// name has this node's store, which is its own leader, keep the cluster's name.
func (s *Server) name(ctx context.Context, id string) error {
	if _, err := s.core.applyHere(ctx, &store.ClusterSet{Cluster: store.Cluster{ID: id}}); err != nil {
		return err
	}
	s.core.record.Look(s.core.Store)
	return s.core.Flush()
}

func nothing() error { return nil }

// replace closes the core, does what needs a closed store, and opens that of p.
// Call it with mu held; where it fails there may be no core that runs, and Run
// ends.
func (s *Server) replace(p place, closed func() error) error {
	if err := s.core.close(); err != nil {
		return err
	}
	done := closed()
	c, err := s.openCore(p)
	if err == nil {
		s.core = c
	}
	return errors.Join(done, err)
}

// Missing is what d lacks to take part in a cluster, with the command that sets
// it; a server's files are needed by nodes that have a copy.
func Missing(d config.Database, server bool) error {
	switch {
	case server && d.Interface == "":
		return problem.New(problem.DatabaseUnready, "missing", "interface", "command", "database cluster localnode <interface>")
	case server && d.ServerKey == "":
		return problem.New(problem.DatabaseUnready, "missing", "certificates", "command", "database cluster certs <server_key> <server_crt> <client_key> <client_crt> <ca>")
	case d.ClientKey == "":
		return problem.New(problem.DatabaseUnready, "missing", "certificates", "command", "database cluster certs <client_key> <client_crt> <ca>")
	}
	return nil
}

// ready says what is missing, and whether the files can be read.
func (s *Server) ready(d config.Database, server bool) error {
	if err := Missing(d, server); err != nil {
		return err
	}
	_, err := loadIdentity(s.cfg.Paths.Files(), d)
	return err
}

// early are the refusals of commands that have not begun.
var early = []problem.Code{
	problem.DatabaseClustered, problem.DatabaseUnready, problem.DatabaseAlone, problem.DatabasePrimary, problem.DatabaseNode, problem.DatabaseSelf, problem.DatabaseElsewhere,
	problem.DatabaseNeeded,
}

// noted keeps what became of a command, for Status.
func (s *Server) noted(command string, err error) error {
	if slices.Contains(early, problem.CodeOf(err)) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.place.Last = databaseapi.Command{Text: command, OK: err == nil}
	if saved := s.place.save(s.cfg.Paths.Database()); saved != nil {
		s.log.Warn("the last command is not kept", "err", saved)
	}
	return err
}

// ClearError implements databaseapi.API.
func (s *Server) ClearError(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.place.Last.OK {
		return nil
	}
	p := s.place
	p.Last = databaseapi.Command{}
	if err := p.save(s.cfg.Paths.Database()); err != nil {
		return err
	}
	s.place = p
	return nil
}

// Remove implements databaseapi.API.
func (s *Server) Remove(ctx context.Context, node string) error {
	end, err := s.begin("another change of the database cluster")
	if err != nil {
		return err
	}
	defer end()
	command := "database cluster remove"
	if node != "" {
		command += " " + node
	}
	return s.noted(command, s.remove(ctx, node))
}

func (s *Server) remove(ctx context.Context, node string) error {
	c, p := s.current()
	switch p.Mode {
	case databaseapi.Alone:
		return problem.New(problem.DatabaseAlone)
	case databaseapi.Connected:
		if node != "" {
			return problem.New(problem.DatabaseElsewhere, "node", node, "members", strings.Join(hosts(p.Servers), ", "))
		}
		return s.become(place{Mode: databaseapi.Alone, Folder: p.Folder})
	}
	st := c.State()
	member, err := s.find(ctx, st, node)
	if err != nil {
		return err
	}
	var rest []string
	for _, m := range st.Members {
		if m.ID != member.ID {
			rest = append(rest, membership.Host(m.Addr))
		}
	}
	switch {
	case len(rest) == 0:
		return s.standAlone()
	case member.ID == st.LeaderID:
		return problem.New(problem.DatabasePrimary, "node", membership.Host(member.Addr), "replicas", strings.Join(rest, ", "))
	}
	if err := c.takeOut(ctx, member.ID); err != nil {
		return err
	}
	if member.ID != st.ID {
		return nil
	}
	return s.standAlone()
}

// find is the member that node, an address or a name, stands for; "" is this one.
func (s *Server) find(ctx context.Context, st store.State, node string) (store.Member, error) {
	if node != "" {
		if m, ok := membership.Find(ctx, s.deps.Names, st.Members, node, Port); ok {
			return m, nil
		}
	}
	var all []string
	for _, m := range st.Members {
		if node == "" && m.ID == st.ID {
			return m, nil
		}
		all = append(all, m.Addr)
	}
	return store.Member{}, problem.New(problem.DatabaseNode, "node", cmp.Or(node, "this node"), "members", strings.Join(hosts(all), ", "))
}

func hosts(addrs []string) (hs []string) {
	for _, a := range addrs {
		if h := membership.Host(a); !slices.Contains(hs, h) {
			hs = append(hs, h)
		}
	}
	return hs
}

// takeOut has the leader remove a member, and waits until that is known here, or
// a leader says so.
func (c *core) takeOut(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, removeWait)
	defer cancel()
	for {
		st := c.State()
		var err error
		switch {
		case st.Ready:
			err = c.removeHere(ctx, id)
		case st.LeaderAddr != "" && st.LeaderID != st.ID:
			err = c.peers.Call(ctx, st.LeaderAddr, callRemove, id, nil)
		default:
			err = problem.New(problem.DatabaseNoLeader)
		}
		switch {
		case err == nil:
			return nil
		case id == st.ID && membership.RemovedBy(ctx, settleWait, c.peers, st) != "":
			// Who was removed hears of no leader any more.
			return nil
		case !passing(err) && !outcomeUnknown(err):
			return explain(err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return problem.New(problem.DatabaseNoLeader)
		}
	}
}

// removeHere takes a member out; this node must lead. It refuses where the others
// cannot do without it.
func (c *core) removeHere(ctx context.Context, id string) error {
	if err := membership.Needed(problem.DatabaseNeeded, c.State(), c.peers.Peers(), id); err != nil {
		return err
	}
	return unsettled(c.Store.Remove(ctx, id))
}

// become closes the store and opens that of p.
func (s *Server) become(p place) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := p.save(s.cfg.Paths.Database()); err != nil {
		return err
	}
	s.place = p
	return s.replace(p, nothing)
}

// standAlone makes a node that is no member any more one of its own, with a
// copy of what the cluster has.
func (s *Server) standAlone() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.place
	p.Mode = databaseapi.Alone
	err := s.replace(p, func() error {
		// The address is for others, and there are none.
		if err := store.Refound(filepath.Join(s.cfg.Paths.Database(), p.Folder), "alone"); err != nil {
			return err
		}
		s.place = p
		return p.save(s.cfg.Paths.Database())
	})
	if err != nil {
		return explain(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyWait)
	defer cancel()
	if err := s.core.WaitReady(ctx); err != nil {
		return problem.New(problem.DatabaseNoLeader)
	}
	return s.name(ctx, "")
}
