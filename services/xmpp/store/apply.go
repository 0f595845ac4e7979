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
	if len(ops) == 0 {
		return nil, nil
	}
	data := encodeEntry(ops)
	if len(data) > maxEntry {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
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
			return nil, err
		}
		results, again, err := propose(r, data)
		s.calls.Done()
		if !again {
			return results, err
		}
	}
}

// lead waits until this node takes changes and counts the call, which the
// caller ends with calls.Done.
func (s *Store) lead(ctx context.Context, grows bool) (*raft.Raft, error) {
	for {
		if s.disk.full(grows) || s.m.backlog() {
			return nil, problem.New(problem.StoreFull)
		}
		s.mu.Lock()
		ready, changed, closing := s.ready, s.changed, s.closing
		if ready && s.enterLocked() {
			r := s.raft
			s.mu.Unlock()
			return r, nil
		}
		s.mu.Unlock()
		if closing {
			return nil, ErrClosed
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
func propose(r *raft.Raft, data []byte) (results []Result, again bool, err error) {
	f := r.Apply(data, time.Second)
	switch err = f.Error(); {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return nil, true, nil
	case isFull(err):
		return nil, false, problem.New(problem.StoreFull)
	default:
		return nil, false, fmt.Errorf("%w: %w", ErrOutcome, err)
	}
	switch r := f.Response().(type) {
	case []Result:
		return r, false, nil
	case error:
		return nil, false, fmt.Errorf("%w: %w", ErrOutcome, r)
	}
	return nil, false, ErrOutcome
}

// backlog says that too much waits to be flushed.
func (m *machine) backlog() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.size > maxUnflushed
}

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

// State is this node's part in the group.
type State struct {
	// ID is the node's identity.
	ID string
	// Role is LEADER, FOLLOWER or CANDIDATE.
	Role string
	// Ready: it leads and takes changes.
	Ready bool
	// LastIndex of the log.
	LastIndex uint64
	// Since is when Role last changed.
	Since time.Time
}

// State returns the state; Changed is closed at the next change of it.
func (s *Store) State() State {
	s.mu.Lock()
	st := State{ID: string(s.id), Ready: s.ready, Since: s.since}
	role, r := s.role, s.raft
	s.mu.Unlock()
	switch role {
	case raft.Leader:
		st.Role = "LEADER"
	case raft.Candidate:
		st.Role = "CANDIDATE"
	default:
		st.Role = "FOLLOWER"
	}
	if r != nil {
		st.LastIndex = r.LastIndex()
	}
	return st
}

// Changed is closed when State changes in role or readiness.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}
