package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"parley/services/problem"
)

// Apply makes the ops one log entry, and returns their results once it is
// committed and applied here. Concurrent callers share an append. ctx bounds
// the wait for a leader; once Raft has the entry, its answer is waited for.
//
// Errors: problem.StoreFull and problem.NoLeader mean that nothing has
// changed; ErrOutcome that it is not known; ErrClosed either.
func (s *Store) Apply(ctx context.Context, ops ...Op) ([]Result, error) {
	results, _, err := s.ApplyAt(ctx, ops...)
	return results, err
}

// ApplyAt is Apply, and says at which index of the log the change is, for
// WaitApplied on another node.
func (s *Store) ApplyAt(ctx context.Context, ops ...Op) ([]Result, uint64, error) {
	if len(ops) == 0 {
		return nil, 0, nil
	}
	data := encodeEntry(ops)
	if len(data) > maxEntry {
		return nil, 0, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
	}
	grows := false
	for _, op := range ops {
		grows = grows || op.grows()
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, leaderWait)
		defer cancel()
	}
	for {
		r, err := s.lead(ctx, grows)
		if err != nil {
			return nil, 0, err
		}
		results, index, again, err := s.propose(r, data)
		s.calls.Done()
		if !again {
			return results, index, err
		}
		// Leadership is on its way to another node, or the watcher has not
		// seen yet that it is gone.
		select {
		case <-time.After(2 * time.Millisecond):
		case <-s.stop:
		}
	}
}

// lead waits until this node takes changes and counts the call, which the
// caller ends with calls.Done. Where another node leads it does not wait.
func (s *Store) lead(ctx context.Context, grows bool) (*raft.Raft, error) {
	for {
		if s.disk.full(grows) || s.m.backlog() {
			return nil, problem.New(problem.StoreFull)
		}
		s.mu.Lock()
		ready, changed, closing, leader := s.ready, s.changed, s.closing, s.seen.leader
		if ready && s.enterLocked() {
			r := s.raft
			s.mu.Unlock()
			return r, nil
		}
		s.mu.Unlock()
		if closing {
			return nil, ErrClosed
		}
		if leader != "" && leader != s.id {
			return nil, problem.New(problem.NoLeader)
		}
		// The tick notices a disk that fills up during an election.
		tick := time.NewTimer(retry)
		select {
		case <-changed:
		case <-tick.C:
		case <-s.stop:
		case <-ctx.Done():
			tick.Stop()
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, ctx.Err()
			}
			return nil, problem.New(problem.NoLeader)
		}
		tick.Stop()
	}
}

// propose hands an entry to Raft; again says that it was not taken.
func (s *Store) propose(r *raft.Raft, data []byte) (results []Result, index uint64, again bool, err error) {
	f := r.Apply(data, time.Second)
	switch err = s.answer(f); {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return nil, 0, true, nil
	case isFull(err):
		return nil, 0, false, problem.New(problem.StoreFull)
	default:
		return nil, 0, false, fmt.Errorf("%w: %w", ErrOutcome, err)
	}
	switch r := f.Response().(type) {
	case []Result:
		return r, f.Index(), false, nil
	case error:
		return nil, 0, false, fmt.Errorf("%w: %w", ErrOutcome, r)
	}
	return nil, 0, false, ErrOutcome
}

// WaitApplied waits until this node has applied the change at an index that
// ApplyAt returned, here or on another node.
func (s *Store) WaitApplied(ctx context.Context, index uint64) error {
	for {
		advanced, err := s.m.reached(index)
		if advanced == nil {
			return err
		}
		select {
		case <-advanced:
		case <-s.stop:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reached returns nil where the machine has come to index or stopped, and
// otherwise what is closed when it has moved.
func (m *machine) reached(index uint64) (<-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil || m.at.index >= index {
		return nil, m.failed
	}
	if m.advanced == nil {
		m.advanced = make(chan struct{})
	}
	return m.advanced, nil
}

// backlog says that too much waits to be flushed. It never waits.
func (m *machine) backlog() bool { return m.over.Load() }

// WaitReady waits until this node leads and has applied all that is committed.
func (s *Store) WaitReady(ctx context.Context) error {
	for {
		s.mu.Lock()
		ready, changed, closing := s.ready, s.changed, s.closing
		s.mu.Unlock()
		if ready {
			return nil
		}
		if closing {
			return ErrClosed
		}
		select {
		case <-changed:
		case <-s.stop:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// State is this node's part in the group, and the group as it knows it.
type State struct {
	// ID is the node's identity.
	ID string
	// Role is LEADER, FOLLOWER or CANDIDATE.
	Role string
	// Ready: it leads and takes changes.
	Ready bool
	// LastIndex of the log, and what of it is applied.
	LastIndex, AppliedIndex uint64
	// Since is when Role last changed.
	Since time.Time
	// LeaderID and LeaderAddr are empty where it knows of no leader.
	LeaderID, LeaderAddr string
	Term                 uint64
	// Members are those of the latest configuration.
	Members []Member
	// Contact is when the leader was last heard of; now, where it leads.
	Contact time.Time
}

// State returns the state; Changed is closed at the next change of it.
func (s *Store) State() State {
	s.mu.Lock()
	st := State{ID: string(s.id), Ready: s.ready, Since: s.since, LeaderID: string(s.seen.leader), Term: s.seen.term}
	role, r := s.seen.role, s.raft
	s.mu.Unlock()
	st.Members = membersOf(s.servers())
	for _, m := range st.Members {
		if m.ID == st.LeaderID {
			st.LeaderAddr = m.Addr
		}
	}
	switch role {
	case raft.Leader:
		st.Role = "LEADER"
	case raft.Candidate:
		st.Role = "CANDIDATE"
	default:
		st.Role = "FOLLOWER"
	}
	if r != nil {
		st.LastIndex, st.AppliedIndex, st.Contact = r.LastIndex(), r.AppliedIndex(), r.LastContact()
		if role == raft.Leader {
			st.Contact = time.Now()
		}
	}
	return st
}

// Term is Raft's newest, which is ahead of State's while an election is held.
func (s *Store) Term() uint64 {
	s.mu.Lock()
	r := s.raft
	s.mu.Unlock()
	if r == nil {
		return 0
	}
	return r.CurrentTerm()
}

// Changed is closed when State changes in role, readiness, leader, term or
// members.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}
