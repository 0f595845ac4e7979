package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"
)

// view is Raft's state as the watcher saw it.
type view struct {
	role   raft.RaftState
	term   uint64
	leader raft.ServerID
	config uint64
}

// maxRetries bounds how often a lost election is held again before Raft's own
// timeouts take over.
const maxRetries = 5

// watch follows Raft's state until ctx ends, and starts the elections that
// Raft would wait with.
func (s *Store) watch(ctx context.Context, r *raft.Raft, poke <-chan struct{}) {
	retries := 0
	var standing time.Time
	timer := time.NewTimer(0)
	defer timer.Stop()
	room := time.NewTicker(roomEvery)
	defer room.Stop()
	var handed time.Time
	for {
		v := s.note(r)
		if v.leader != "" {
			retries = 0
		}
		select {
		case <-ctx.Done():
			return
		case <-poke:
			if voters, self := s.electorate(); voters == 1 && self && v.role == raft.Follower {
				timer.Reset(10 * time.Millisecond)
			}
		case <-room.C:
			if v.role == raft.Leader && s.disk.full(true) && time.Since(handed) > handOverEvery {
				handed = time.Now()
				s.handOver(ctx)
			}
		case <-s.wire.stand:
			standing = time.Now()
			timer.Reset(time.Duration(rand.IntN(30)) * time.Millisecond)
		case <-s.wire.lost:
			if retries++; retries <= maxRetries {
				timer.Reset(time.Duration(10+rand.IntN(50*retries)) * time.Millisecond)
			}
		case <-timer.C:
			// A voter without peers has nobody to wait for.
			voters, self := s.electorate()
			leader, _ := r.LeaderWithID()
			elect := leader == "" && self && (voters == 1 || retries > 0)
			if !elect && time.Since(standing) < s.timing.Heartbeat {
				// A leader that lives would have been heard of by then.
				silent := s.silence() - time.Since(r.LastContact())
				if elect = silent <= 0; !elect {
					timer.Reset(silent)
				}
			}
			if elect {
				standing = time.Time{}
				if err := s.Campaign(); err != nil && !errors.Is(err, ErrClosed) {
					s.log.Warn("no election", "err", err)
				}
			}
		}
	}
}

const (
	roomEvery = 500 * time.Millisecond
	// handOverEvery bounds how often leadership goes round where no node
	// has room.
	handOverEvery = 15 * time.Second
)

// handOver gives leadership to a node that may have room for changes.
func (s *Store) handOver(ctx context.Context) {
	if voters, _ := s.electorate(); voters < 2 {
		return
	}
	s.mu.Lock()
	ok := s.enterLocked()
	s.mu.Unlock()
	if !ok {
		return
	}
	s.log.Warn("state disk is full, handing leadership over")
	ctx, cancel := context.WithTimeout(ctx, leaderWait)
	go func() {
		defer s.calls.Done()
		defer cancel()
		if err := s.Transfer(ctx); err != nil {
			s.log.Warn("leadership not handed over", "err", err)
		}
	}()
}

// note publishes Raft's state.
func (s *Store) note(r *raft.Raft) view {
	_, leader := r.LeaderWithID()
	v := view{r.State(), r.CurrentTerm(), leader, s.m.configured.Load()}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.seen
	if v == old {
		return v
	}
	if v.role != old.role || v.term != old.term && v.role == raft.Leader {
		s.since = time.Now()
		s.ready = false
		if v.role == raft.Leader && s.enterLocked() {
			go s.settle(r, v.term)
		}
	}
	s.seen = v
	s.tellLocked()
	return v
}

// settle waits until a new leader has applied what earlier ones committed, and
// ends the call that note began.
func (s *Store) settle(r *raft.Raft, term uint64) {
	defer s.calls.Done()
	leads := func() bool { return r.State() == raft.Leader && r.CurrentTerm() == term }
	err := s.answer(r.Barrier(leaderWait))
	for errors.Is(err, raft.ErrEnqueueTimeout) && leads() {
		err = s.answer(r.Barrier(leaderWait))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && leads() && !s.closing && s.seen.role == raft.Leader && s.seen.term == term {
		s.ready = true
		s.tellLocked()
	}
}

func (s *Store) tellLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// enterLocked counts a call that Raft has to answer.
func (s *Store) enterLocked() bool {
	if s.closing || s.raft == nil {
		return false
	}
	s.calls.Add(1)
	return true
}

// answer waits for Raft's answer, or until it is known that there will be none.
func (s *Store) answer(f raft.Future) error {
	answer := make(chan error, 1)
	go func() { answer <- f.Error() }()
	select {
	case err := <-answer:
		return err
	case <-s.dead:
		return ErrOutcome
	}
}

// silence is how long a follower hears nothing of a leader that lives, at most:
// it sends each tenth of Heartbeat up to twice that.
func (s *Store) silence() time.Duration { return s.timing.Heartbeat / 4 }

// lastEntry is the index and term of the log's end.
func (s *Store) lastEntry() (index, term uint64) {
	var l raft.Log
	if last, _ := s.rlog.LastIndex(); last > 0 && s.rlog.journal.GetLog(last, &l) == nil {
		return l.Index, l.Term
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return s.m.at.index, s.m.at.term
}

// electorate is the number of voters and whether this node is one.
func (s *Store) electorate() (voters int, self bool) {
	for _, srv := range s.servers() {
		if srv.Suffrage == raft.Voter {
			voters++
			self = self || srv.ID == s.id
		}
	}
	return voters, self
}

// servers is the latest configuration, committed or not.
func (s *Store) servers() []raft.Server {
	s.mu.Lock()
	r := s.raft
	s.mu.Unlock()
	if r == nil {
		return s.m.servers()
	}
	return r.GetConfiguration().Configuration().Servers
}

// Campaign starts an election at once, even where others still believe in a
// leader. It does nothing on a leader, a candidate, or a node without a vote.
func (s *Store) Campaign() error {
	s.mu.Lock()
	r, closing := s.raft, s.closing
	s.mu.Unlock()
	if r == nil || closing {
		return ErrClosed
	}
	if _, voter := s.electorate(); !voter || r.State() != raft.Follower {
		return nil
	}
	return s.wire.campaign(s.stop)
}
