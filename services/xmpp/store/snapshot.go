package store

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"parley/services/durable"
)

// snapshots is the raft.SnapshotStore: the machine's file is the snapshot.
// Taking one is flushing it; sending one to a node that lags is reading the
// file in a transaction; only one that is received is a file of its own, until
// it takes the machine's place.
type snapshots struct {
	m   *machine
	dir string
	// keepFrom keeps the log that a receiver will need next.
	keepFrom func(index uint64) (release func(time.Duration))
}

// catchUp is how long a node that has got a snapshot may take to ask for what
// follows it.
const catchUp = 30 * time.Second

// IDs of snapshots.
const (
	snapOwn      = "store"
	snapReceived = "received"
)

func (s *snapshots) receivedPath() string { return filepath.Join(s.dir, fileReceived) }

// List implements raft.SnapshotStore.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.failed != nil {
		return nil, s.m.failed
	}
	if s.m.at.index == 0 || len(s.m.config) == 0 {
		return nil, nil
	}
	return []*raft.SnapshotMeta{s.m.snapshotMeta()}, nil
}

func (m *machine) snapshotMeta() *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: snapOwn, Index: m.at.index, Term: m.at.term,
		Configuration: raft.DecodeConfiguration(m.config), ConfigurationIndex: m.configIndex,
	}
}

// Open implements raft.SnapshotStore.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if id == snapReceived {
		f, err := os.Open(s.receivedPath())
		if err != nil {
			return nil, nil, fmt.Errorf("open received snapshot: %w", err)
		}
		fi, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, nil, fmt.Errorf("stat received snapshot: %w", err)
		}
		return &raft.SnapshotMeta{ID: id, Size: fi.Size()}, f, nil
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if err := s.m.flushLocked(); err != nil {
		return nil, nil, err
	}
	tx, err := s.m.db.Begin(false)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", s.m.path, err)
	}
	meta := s.m.snapshotMeta()
	meta.Size = tx.Size()
	return meta, newCopying(tx, s.keepFrom(meta.Index)), nil
}

// copying reads a copy of the file as it was when the transaction began.
type copying struct {
	*io.PipeReader
	done    chan struct{}
	release func(time.Duration)
}

func newCopying(tx *bbolt.Tx, release func(time.Duration)) *copying {
	r, w := io.Pipe()
	c := &copying{r, make(chan struct{}), release}
	go func() {
		defer close(c.done)
		defer tx.Rollback()
		_, err := tx.WriteTo(w)
		w.CloseWithError(err)
	}()
	return c
}

// Close ends the copying and waits for it.
func (c *copying) Close() error {
	c.PipeReader.Close()
	<-c.done
	c.release(catchUp)
	return nil
}

// Create implements raft.SnapshotStore.
func (s *snapshots) Create(_ raft.SnapshotVersion, index, term uint64, _ raft.Configuration, _ uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sink{s: s, index: index, term: term}, nil
}

// sink is a snapshot in the making. Of the machine's own nothing is written,
// so that the first Write tells a received one.
type sink struct {
	s           *snapshots
	index, term uint64
	f           *durable.File
	closed      bool
}

func (k *sink) ID() string {
	if k.f != nil {
		return snapReceived
	}
	return snapOwn
}

// Write implements raft.SnapshotSink.
func (k *sink) Write(p []byte) (int, error) {
	if k.f == nil {
		f, err := durable.Create(k.s.receivedPath(), 0o600)
		if err != nil {
			return 0, err
		}
		k.f = f
	}
	return k.f.Write(p)
}

// Close completes the snapshot. Raft truncates the log only afterwards, and
// only up to index, which is on the disk by then.
func (k *sink) Close() error {
	if k.closed {
		return nil
	}
	k.closed = true
	if k.f != nil {
		return k.f.Commit()
	}
	return k.s.m.raise(k.index, k.term)
}

// Cancel implements raft.SnapshotSink.
func (k *sink) Cancel() error {
	k.closed = true
	if k.f != nil {
		k.f.Discard()
	}
	return nil
}

// reference is the raft.FSMSnapshot: there is nothing to write.
type reference struct{}

func (reference) Persist(raft.SnapshotSink) error { return nil }
func (reference) Release()                        {}

// Snapshot implements raft.FSM.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) { return reference{}, nil }

// Restore implements raft.FSM: the machine becomes the received snapshot. What
// Raft hands over is the file that takes the place of the old one, so it is
// not read.
func (m *machine) Restore(r io.ReadCloser) error {
	r.Close()
	received := filepath.Join(filepath.Dir(m.path), fileReceived)
	if err := checkFile(received); err != nil {
		return fmt.Errorf("check snapshot: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return m.failed
	}
	if m.t != nil {
		m.t.tx.Rollback()
	}
	// The old file is locked and mapped until it is closed; from here on
	// there is no way back but to fail.
	err := m.db.Close()
	m.db, m.t, m.unflushed, m.size = nil, nil, nil, 0
	m.over.Store(false)
	if err == nil {
		err = os.Rename(received, m.path)
	}
	if err == nil {
		err = durable.SyncDir(filepath.Dir(m.path))
	}
	if err == nil {
		err = m.open()
	}
	m.tellLocked()
	if err != nil {
		m.failed = fmt.Errorf("install snapshot: %w", err)
		m.signal()
		return m.failed
	}
	m.pokeWatcher()
	return nil
}
