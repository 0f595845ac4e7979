package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"parley/services/durable"
	"parley/services/problem"
)

// Errors of Apply and Run.
var (
	// ErrClosed: the store does not run.
	ErrClosed = errors.New("store is closed")
	// ErrOutcome: leadership was lost before it was known whether the
	// change is committed. It may yet be.
	ErrOutcome = errors.New("outcome of the change is not known")
	// ErrTooLarge: the ops of one Apply are more than maxEntry.
	ErrTooLarge = errors.New("change too large")
)

// Config of a Store.
type Config struct {
	// Dir is the store's own folder; it is made if it is missing.
	Dir string
	// Reserve is how much of the disk stays free for changes that free
	// room, and for Raft. 0 means none.
	Reserve uint64
	// NoSync leaves out fsync. Only for tests: a power cut then loses what
	// was acknowledged.
	NoSync bool
}

// DefaultReserve is enough for the log's growth up to its next truncation.
const DefaultReserve = 32 << 20

// Deps of a Store.
type Deps struct {
	Log *slog.Logger
	// Transport links it to other nodes; nil for a single voter.
	Transport raft.Transport
}

// maxEntry bounds a log entry. The router's batches stay far below.
const maxEntry = 16 << 20

// leaderWait is how long Apply waits for a leader where ctx has no deadline.
const leaderWait = 5 * time.Second

// Store is the replicated store. Open it, Run it; all other methods may be
// called from any goroutine once it is open.
type Store struct {
	cfg  Config
	deps Deps
	log  *slog.Logger
	disk *disk

	m     *machine
	rlog  *raftLog
	id    raft.ServerID
	fatal chan error
	stop  chan struct{}

	mu sync.Mutex
	// raft is nil until Run.
	raft *raft.Raft
	// role and since are Raft's state; ready: this node leads and has
	// applied all that earlier leaders have committed.
	role    raft.RaftState
	since   time.Time
	ready   bool
	changed chan struct{}
	closing bool
	calls   sync.WaitGroup
}

// New makes a store; nothing is read yet.
func New(cfg Config, deps Deps) *Store {
	return &Store{
		cfg: cfg, deps: deps, log: deps.Log.With("component", "store"),
		disk:  &disk{dir: cfg.Dir, reserve: cfg.Reserve},
		fatal: make(chan error, 1), stop: make(chan struct{}), changed: make(chan struct{}),
		role: raft.Follower, since: time.Now(),
	}
}

// Open opens the files, making a store of one voter where there is none. The
// errors are problems: locked, damaged, no room. Reads work from here on.
func (s *Store) Open() error {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make folder %s: %w", s.cfg.Dir, err)
	}
	path := filepath.Join(s.cfg.Dir, fileStore)
	err := guard(func() (err error) {
		s.m, err = openMachine(path, s.cfg.NoSync, s.disk, s.log)
		return err
	})
	if err != nil {
		if problem.CodeOf(err) == "" {
			err = openError(path, err)
		}
		return err
	}
	if err := s.openRest(); err != nil {
		s.m.close()
		return err
	}
	return nil
}

func (s *Store) openRest() error {
	if err := durable.Sweep(s.cfg.Dir); err != nil {
		return err
	}
	if err := durable.Remove(filepath.Join(s.cfg.Dir, fileReceived)); err != nil {
		return err
	}
	b, id, err := openLog(s.cfg.Dir, s.m, s.cfg.NoSync)
	if err != nil {
		return err
	}
	s.id = id
	s.rlog = &raftLog{BoltStore: b, disk: s.disk, stop: s.stop, fatal: s.fatal}
	return nil
}

// Close closes a store that is not run any more, or never was.
func (s *Store) Close() error { return errors.Join(s.m.close(), s.rlog.Close()) }

// raftConfig is Raft's. A single voter elects itself, so its timeouts only
// delay the start; peers will need longer ones.
func raftConfig(id raft.ServerID, log *slog.Logger) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = id
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = singleTimeout, singleTimeout, singleTimeout
	c.MaxAppendEntries = 256
	c.NoSnapshotRestoreOnStart = true
	c.NoLegacyTelemetry = true
	// A snapshot is a flush, so it may be taken often. What is left of the
	// log is read at each start.
	c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = 4096, 30*time.Second, 256
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c.Logger = raftLogger(log)
	return c
}

const (
	singleTimeout = 50 * time.Millisecond
	// snapshotBytes of log make a snapshot, whatever the number of entries.
	snapshotBytes = 32 << 20
)

// Run takes part in the group until ctx ends or the disk fails, and closes the
// files. It may be called once.
func (s *Store) Run(ctx context.Context) error {
	trans := s.deps.Transport
	if trans == nil {
		_, trans = raft.NewInmemTransport(raft.ServerAddress(s.id))
	}
	snaps := &snapshots{m: s.m, dir: s.cfg.Dir}
	r, err := raft.NewRaft(raftConfig(s.id, s.log), s.m, s.rlog, s.rlog, snaps, trans)
	if err != nil {
		return errors.Join(fmt.Errorf("start raft: %w", err), s.Close())
	}
	observed := make(chan raft.Observation, 16)
	observer := raft.NewObserver(observed, true, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.RaftState)
		return ok
	})
	r.RegisterObserver(observer)
	s.mu.Lock()
	s.raft = r
	s.mu.Unlock()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.watch(r, observed)
	}()

	err = s.flushLoop(ctx, r)

	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	close(s.stop)
	// Raft answers what it was given only while it runs.
	s.calls.Wait()
	err = errors.Join(err, r.Shutdown().Error())
	r.DeregisterObserver(observer)
	close(observed)
	<-watched
	return errors.Join(err, s.Close())
}

// flushLoop flushes what was applied and truncates the log now and then.
func (s *Store) flushLoop(ctx context.Context, r *raft.Raft) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.fatal:
			return err
		case <-s.m.dirty:
		}
		timer.Reset(flushEvery)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if err := s.disk.wait(ctx.Done(), s.m.flush); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if s.rlog.grown.Load() > snapshotBytes {
			if err := r.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
				s.log.Warn("log not truncated", "err", err)
			}
		}
	}
}

// watch follows Raft's state until observed is closed.
func (s *Store) watch(r *raft.Raft, observed <-chan raft.Observation) {
	s.note(r.State(), r)
	for o := range observed {
		s.note(o.Data.(raft.RaftState), r)
	}
}

func (s *Store) note(role raft.RaftState, r *raft.Raft) {
	s.mu.Lock()
	if role != s.role {
		s.role, s.since = role, time.Now()
	}
	s.ready = false
	lead := role == raft.Leader && s.enterLocked()
	s.tellLocked()
	s.mu.Unlock()
	if !lead {
		return
	}
	err := r.Barrier(leaderWait).Error()
	for errors.Is(err, raft.ErrEnqueueTimeout) && r.State() == raft.Leader {
		err = r.Barrier(leaderWait).Error()
	}
	s.calls.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = err == nil && r.State() == raft.Leader
	s.tellLocked()
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
