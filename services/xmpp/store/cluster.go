package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"parley/services/problem"
)

// Member is a node of the group.
type Member struct {
	ID, Addr string
	// Voter is false while it learns.
	Voter bool
}

func membersOf(servers []raft.Server) []Member {
	ms := make([]Member, 0, len(servers))
	for _, s := range servers {
		ms = append(ms, Member{string(s.ID), string(s.Address), s.Suffrage == raft.Voter})
	}
	return ms
}

// leaderCall runs f, which changes the group, on a leader that has settled.
// Changes of the group are one at a time.
func (s *Store) leaderCall(ctx context.Context, f func(r *raft.Raft) error) error {
	select {
	case s.changing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.changing }()
	s.mu.Lock()
	ready := s.ready && s.enterLocked()
	r := s.raft
	s.mu.Unlock()
	if !ready {
		return problem.New(problem.NoLeader)
	}
	defer s.calls.Done()
	return f(r)
}

// changeWait bounds a change of the group where ctx has no deadline.
const changeWait = 10 * time.Second

// await waits for Raft's answer. What it does not wait for is still counted as
// a call, which Run waits for.
func (s *Store) await(ctx context.Context, start func(timeout time.Duration) raft.IndexFuture) error {
	ctx, cancel := context.WithTimeout(ctx, changeWait)
	defer cancel()
	deadline, _ := ctx.Deadline()
	left := max(time.Millisecond, time.Until(deadline))
	answer := make(chan error, 1)
	s.calls.Add(1)
	go func() {
		defer s.calls.Done()
		answer <- s.answer(start(left))
	}()
	select {
	case err := <-answer:
		return groupError(err)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrOutcome, ctx.Err())
	}
}

func groupError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return problem.New(problem.NoLeader)
	case isFull(err):
		return problem.New(problem.StoreFull)
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown):
		return fmt.Errorf("%w: %w", ErrOutcome, err)
	}
	return fmt.Errorf("change the group: %w", err)
}

// AddLearner takes a node into the group, without a vote. One that had its
// address is removed first: it can only be what this node was before it was
// reset, so that there are never more entries than nodes. Leader only.
func (s *Store) AddLearner(ctx context.Context, id, addr string) error {
	return s.leaderCall(ctx, func(r *raft.Raft) error {
		if err := s.vacate(ctx, r, id, addr); err != nil {
			return err
		}
		return s.await(ctx, func(t time.Duration) raft.IndexFuture {
			return r.AddNonvoter(raft.ServerID(id), raft.ServerAddress(addr), 0, t)
		})
	})
}

// vacate removes all other members of an address.
func (s *Store) vacate(ctx context.Context, r *raft.Raft, id, addr string) error {
	for _, srv := range s.servers() {
		if string(srv.Address) != addr || string(srv.ID) == id {
			continue
		}
		if srv.ID == s.id {
			return problem.New(problem.ClusterSelf, "node", addr)
		}
		if err := s.await(ctx, func(t time.Duration) raft.IndexFuture { return r.RemoveServer(srv.ID, 0, t) }); err != nil {
			return err
		}
	}
	return nil
}

// Promote gives a learner its vote once it has all that the log had when
// Promote was called; until then, or the end of ctx, it waits. Leader only.
func (s *Store) Promote(ctx context.Context, id string) error {
	return s.leaderCall(ctx, func(r *raft.Raft) error {
		srv, ok := s.member(id)
		if !ok {
			return s.notMember(id)
		}
		if srv.Suffrage == raft.Voter {
			return nil
		}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for want := r.LastIndex(); s.wire.heard(srv.ID).last < want; {
			if r.State() != raft.Leader {
				return problem.New(problem.NoLeader)
			}
			select {
			case <-tick.C:
			case <-s.stop:
				return ErrClosed
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return s.await(ctx, func(t time.Duration) raft.IndexFuture { return r.AddVoter(srv.ID, srv.Address, 0, t) })
	})
}

// SetAddress records that a member has another address. A member that had it
// before has moved as well, and gets one that nobody can be reached by until
// it says where it is. Leader only.
func (s *Store) SetAddress(ctx context.Context, id, addr string) error {
	return s.leaderCall(ctx, func(r *raft.Raft) error {
		if _, ok := s.member(id); !ok {
			return s.notMember(id)
		}
		for _, srv := range s.servers() {
			if string(srv.Address) == addr && string(srv.ID) != id {
				if err := s.move(ctx, r, srv, addr+"#"+string(srv.ID)); err != nil {
					return err
				}
			}
		}
		srv, _ := s.member(id)
		return s.move(ctx, r, srv, addr)
	})
}

func (s *Store) move(ctx context.Context, r *raft.Raft, srv raft.Server, addr string) error {
	if string(srv.Address) == addr {
		return nil
	}
	return s.await(ctx, func(t time.Duration) raft.IndexFuture {
		if srv.Suffrage == raft.Voter {
			return r.AddVoter(srv.ID, raft.ServerAddress(addr), 0, t)
		}
		return r.AddNonvoter(srv.ID, raft.ServerAddress(addr), 0, t)
	})
}

// Address gives a single voter that leads the address by which others will
// reach it.
func (s *Store) Address(ctx context.Context, addr string) error {
	if voters, self := s.electorate(); voters != 1 || !self {
		return fmt.Errorf("set the address of a node with peers: %w", ErrOp)
	}
	return s.SetAddress(ctx, string(s.id), addr)
}

// Remove takes a node out of the group; one that is not in it is no error. A
// leader that removes itself has another one elected. Leader only.
func (s *Store) Remove(ctx context.Context, id string) error {
	return s.leaderCall(ctx, func(r *raft.Raft) error {
		if _, ok := s.member(id); !ok {
			return nil
		}
		voters, _ := s.electorate()
		if id == string(s.id) && voters == 1 {
			return problem.New(problem.ClusterLast)
		}
		err := s.await(ctx, func(t time.Duration) raft.IndexFuture { return r.RemoveServer(raft.ServerID(id), 0, t) })
		if err != nil || id != string(s.id) {
			return err
		}
		// The others have nobody now, and would wait for a timeout.
		for _, to := range s.heirs() {
			req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
				ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(s.id), Addr: s.wire.EncodePeer(s.id, s.wire.LocalAddr()),
			}}
			if s.wire.TimeoutNow(to.ID, to.Address, req, &raft.TimeoutNowResponse{}) == nil {
				break
			}
		}
		return nil
	})
}

// heirs are the other voters, those first that were heard of and whose log is
// longest.
func (s *Store) heirs() []raft.Server {
	var heirs []raft.Server
	for _, srv := range s.servers() {
		if srv.Suffrage == raft.Voter && srv.ID != s.id {
			heirs = append(heirs, srv)
		}
	}
	fresh := func(srv raft.Server) uint64 {
		c := s.wire.heard(srv.ID)
		if time.Since(c.at) > s.timing.Lease {
			return 0
		}
		return c.last + 1
	}
	slices.SortStableFunc(heirs, func(a, b raft.Server) int {
		switch x, y := fresh(a), fresh(b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return heirs
}

// Transfer hands leadership to the follower that is furthest, and returns when
// one leads. On a node that does not lead it returns at once.
func (s *Store) Transfer(ctx context.Context) error {
	s.mu.Lock()
	r := s.raft
	leads := r != nil && r.State() == raft.Leader && s.enterLocked()
	s.mu.Unlock()
	if !leads {
		return nil
	}
	defer s.calls.Done()
	err := error(problem.New(problem.ClusterLast))
	for _, to := range s.heirs() {
		answer := make(chan error, 1)
		s.calls.Add(1)
		go func() {
			defer s.calls.Done()
			answer <- s.answer(r.LeadershipTransferToServer(to.ID, to.Address))
		}()
		select {
		case err = <-answer:
		case <-ctx.Done():
			return ctx.Err()
		}
		if r.State() != raft.Leader {
			break
		}
	}
	if r.State() == raft.Leader {
		return fmt.Errorf("hand over leadership: %w", err)
	}
	for {
		s.mu.Lock()
		changed, seen := s.changed, s.seen
		s.mu.Unlock()
		if seen.role != raft.Leader && seen.leader != "" && seen.leader != s.id {
			return nil
		}
		if _, id := r.LeaderWithID(); r.State() == raft.Leader && id == s.id && seen.term < r.CurrentTerm() {
			return fmt.Errorf("hand over leadership: elected again")
		}
		select {
		case <-changed:
		case <-s.stop:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Store) member(id string) (raft.Server, bool) {
	for _, srv := range s.servers() {
		if string(srv.ID) == id {
			return srv, true
		}
	}
	return raft.Server{}, false
}

func (s *Store) notMember(id string) error {
	var addrs []string
	for _, m := range membersOf(s.servers()) {
		addrs = append(addrs, m.Addr)
	}
	return problem.New(problem.ClusterNode, "node", id, "members", strings.Join(addrs, ", "))
}
