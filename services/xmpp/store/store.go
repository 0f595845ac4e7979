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
	// Timing of elections; zero values are the defaults.
	Timing Timing

	// journal has other sizes for tests.
	journal journalOptions
}

// Timing says how soon silence of the leader is taken for its loss. It is a
// back-up: whoever notices sooner calls Campaign.
type Timing struct {
	// Heartbeat is after how long without one a follower stands for
	// election (up to twice as long, at random), and how long an election
	// may take. A leader sends ten in that time.
	Heartbeat time.Duration
	// Lease is how long a leader goes on without an answer of a majority;
	// not above Heartbeat.
	Lease time.Duration
}

func (t Timing) orDefault() Timing {
	if t.Heartbeat == 0 {
		t.Heartbeat = time.Second
	}
	if t.Lease == 0 {
		t.Lease = t.Heartbeat * 4 / 5
	}
	return t
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

	m      *machine
	rlog   *raftLog
	wire   *wire
	timing Timing
	id     raft.ServerID
	fatal  chan error
	stop   chan struct{}
	// dead is closed when Run ends for an error: one of Raft's goroutines may
	// have ended, and not answer any more.
	dead chan struct{}

	mu sync.Mutex
	// raft is nil until Run.
	raft *raft.Raft
	// seen is Raft's state, since when its role is; ready: this node leads
	// and has applied all that earlier leaders have committed.
	seen    view
	since   time.Time
	ready   bool
	changed chan struct{}
	closing bool
	calls   sync.WaitGroup
	// changing has room for one change of the group.
	changing chan struct{}
}

// New makes a store; nothing is read yet.
func New(cfg Config, deps Deps) *Store {
	return &Store{
		cfg: cfg, deps: deps, log: deps.Log.With("component", "store"),
		disk:  &disk{dir: cfg.Dir, reserve: cfg.Reserve},
		fatal: make(chan error, 1), stop: make(chan struct{}), dead: make(chan struct{}), changed: make(chan struct{}),
		since: time.Now(), timing: cfg.Timing.orDefault(), changing: make(chan struct{}, 1),
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
	j, b, err := openLog(s.cfg.Dir, s.m, journalOf(s.cfg))
	if err != nil {
		return err
	}
	s.id = b.node()
	s.rlog = &raftLog{journal: j, stable: b, disk: s.disk, stop: s.stop, fatal: s.fatal, backlog: s.m.backlog, alone: s.alone, leads: s.leadsOthers}
	return nil
}

func (s *Store) alone() bool {
	voters, self := s.electorate()
	return voters == 1 && self
}

// leadsOthers says, to Raft's own goroutine, that a majority needs others.
func (s *Store) leadsOthers() bool {
	s.mu.Lock()
	r := s.raft
	s.mu.Unlock()
	if r == nil || r.State() != raft.Leader {
		return false
	}
	voters, _ := s.electorate()
	return voters > 1
}

// Close closes a store that is not run any more, or never was.
func (s *Store) Close() error { return errors.Join(s.m.close(), s.rlog.Close()) }

// raftConfig is Raft's.
func raftConfig(id raft.ServerID, timing Timing, log *slog.Logger) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = id
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = timing.Heartbeat, timing.Heartbeat, timing.Lease
	c.MaxAppendEntries = 256
	c.NoSnapshotRestoreOnStart = true
	c.NoLegacyTelemetry = true
	// A node that was removed is still there, and may be taken in again.
	c.ShutdownOnRemove = false
	// A snapshot is a flush, so it may be taken often.
	c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = 4096, 30*time.Second, 256
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c.Logger = raftLogger(log)
	return c
}

// snapshotBytes of log make a snapshot, whatever the number of entries.
const snapshotBytes = 32 << 20

// Run takes part in the group until ctx ends or the disk fails, and closes the
// files. It may be called once.
func (s *Store) Run(ctx context.Context) error {
	trans := s.deps.Transport
	if trans == nil {
		_, trans = raft.NewInmemTransport(raft.ServerAddress(s.id))
	}
	s.wire = newWire(trans, s.id, s.electorate, s.lastEntry, s.rlog.onDisk)
	snaps := &snapshots{m: s.m, dir: s.cfg.Dir, keepFrom: s.rlog.keepFrom}
	r, err := raft.NewRaft(raftConfig(s.id, s.timing, s.log), s.m, s.rlog, s.rlog, snaps, s.wire)
	if err != nil {
		s.wire.end()
		return errors.Join(fmt.Errorf("start raft: %w", err), s.Close())
	}
	// Raft tells the observer from its main goroutine, which must not wait.
	observer := raft.NewObserver(nil, false, func(*raft.Observation) bool {
		s.m.pokeWatcher()
		return false
	})
	r.RegisterObserver(observer)
	s.mu.Lock()
	s.raft = r
	s.mu.Unlock()
	s.m.pokeWatcher()
	watching, stopWatching := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.watch(watching, r, s.m.poke)
	}()

	err = s.flushLoop(ctx, r)

	s.mu.Lock()
	s.closing, s.ready = true, false
	s.tellLocked()
	s.mu.Unlock()
	close(s.stop)
	if err != nil {
		close(s.dead)
	}
	// Raft answers what it was given only while it runs.
	s.calls.Wait()
	stopWatching()
	<-watched
	down := r.Shutdown()
	s.wire.end()
	err = errors.Join(err, down.Error())
	r.DeregisterObserver(observer)
	s.mu.Lock()
	s.seen.role, s.seen.leader = raft.Follower, ""
	s.tellLocked()
	s.mu.Unlock()
	return errors.Join(err, s.Close())
}

// Flush writes what was applied to the file, for what a start has to find
// before the log has been applied again.
func (s *Store) Flush() error { return s.m.flush() }

// flushLoop flushes what was applied and truncates the log now and then.
func (s *Store) flushLoop(ctx context.Context, r *raft.Raft) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := flushEvery
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.fatal:
			return err
		case <-s.m.dirty:
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		begin := time.Now()
		if err := s.disk.wait(ctx.Done(), s.m.flush); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		// Changes wait for a flush, so it must not take much of the time.
		pause = min(max(flushEvery, flushShare*time.Since(begin)), maxFlushEvery)
		if s.rlog.grown.Load() > snapshotBytes {
			if err := r.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
				s.log.Warn("log not truncated", "err", err)
			}
		}
	}
}
