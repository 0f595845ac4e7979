package store

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"parley/services/durable"
	"parley/services/problem"
)

// Files of the store's folder.
const (
	fileStore = "store.db"
	// fileStable has the node's identity and what it promised in elections.
	fileStable = "raft.state"
	// folderLog has the journal.
	folderLog = "log"
	// fileReceived is a snapshot on its way in.
	fileReceived = "received.db"
)

// lockTimeout is how long a process that just ended may still hold a file.
const lockTimeout = time.Second

// journalOf are the journal's sizes; without syncs it is a test's, which has
// many stores.
func journalOf(cfg Config) journalOptions {
	switch {
	case cfg.journal.segment != 0:
		return cfg.journal
	case cfg.NoSync:
		return journalOptions{segment: 1 << 20, keep: 4 << 20, noSync: true}
	}
	return journalOptions{segment: 8 << 20, keep: 32 << 20}
}

// openError names what keeps a file from being opened.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return problem.New(problem.StoreLocked, "folder", filepath.Dir(path))
	case isFull(err):
		return problem.New(problem.StoreFull)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("open %s: %w", path, err)
	}
	return problem.New(problem.StoreDamaged, "file", path, "detail", err.Error())
}

// guard runs f, which reads a mapped file: a file that was cut short faults
// there, and a page with wrong content panics.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return f()
}

// checkFile refuses a file that was cut short or is none of ours. It must be
// done first: opened for writing, bbolt looks at all pages in a goroutine of
// its own, whose panic nobody can catch.
func checkFile(path string) error {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && fi.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return guard(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
		if err != nil {
			return err
		}
		defer db.Close()
		return db.View(func(tx *bbolt.Tx) error {
			if fi.Size() < tx.Size() {
				return fmt.Errorf("it has %d bytes and should have %d", fi.Size(), tx.Size())
			}
			return nil
		})
	})
}

// openLog opens the Raft log, making a new one where there is none. The
// machine is open, which keeps other processes out.
func openLog(dir string, m *machine, opt journalOptions) (j *journal, b *stable, err error) {
	path := filepath.Join(dir, fileStable)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if m.at.index > 0 {
			return nil, nil, openError(path, errors.New("it is missing"))
		}
		if _, err := createLog(dir, true, opt); err != nil {
			return nil, nil, err
		}
	} else if err != nil {
		return nil, nil, openError(path, err)
	}
	if b, err = openStable(path, opt.noSync); err != nil {
		return nil, nil, openError(path, err)
	}
	defer func() {
		if err == nil {
			return
		}
		b.Close()
		if j != nil {
			j.Close()
		}
		if problem.CodeOf(err) == "" {
			err = openError(path, err)
		}
	}()
	path = filepath.Join(dir, folderLog)
	if j, err = openJournal(path, opt); err != nil {
		return j, b, err
	}
	first, _ := j.FirstIndex()
	last, _ := j.LastIndex()
	if first > m.at.index+1 {
		return j, b, openError(m.path, fmt.Errorf("it ends at change %d, and the log begins at %d", m.at.index, first))
	}
	if last < m.at.index {
		// The store came from another node, and what the log had before
		// has not been dropped.
		err = j.DeleteRange(first, last)
	}
	return j, b, err
}

// createLog makes a log that holds a random identity and, with voter, a
// configuration of this node as the one voter. The file with the identity
// comes last: without it there is no log.
func createLog(dir string, voter bool, opt journalOptions) (id string, err error) {
	folder := filepath.Join(dir, folderLog)
	if err := createJournal(folder, opt); err != nil {
		return "", openError(folder, err)
	}
	j, err := openJournal(folder, opt)
	if err != nil {
		return "", openError(folder, err)
	}
	defer j.Close()
	path, temp := filepath.Join(dir, fileStable), filepath.Join(dir, durable.TempPrefix+fileStable)
	name := newIdentity()
	if err := createStable(temp, name); err != nil {
		return "", openError(path, err)
	}
	if voter {
		b, err := openStable(temp, opt.noSync)
		if err != nil {
			return "", openError(path, err)
		}
		conf := raftConfig(raft.ServerID(name), Timing{}.orDefault(), nil)
		_, trans := raft.NewInmemTransport(raft.ServerAddress(name))
		err = raft.BootstrapCluster(conf, j, b, raft.NewInmemSnapshotStore(), trans, raft.Configuration{
			Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(name), Address: raft.ServerAddress(name)}},
		})
		if err = errors.Join(err, b.Close()); err != nil {
			return "", openError(path, err)
		}
	}
	if err := os.Rename(temp, path); err != nil {
		return "", fmt.Errorf("rename to %s: %w", path, err)
	}
	return name, durable.SyncDir(dir)
}

func newIdentity() string {
	id := make([]byte, 16)
	rand.Read(id)
	return hex.EncodeToString(id)
}

// Reset removes the store of a folder. No process may have it open; one that
// has is a problem.StoreLocked.
func Reset(dir string) error {
	// The identity goes first: a store without it is refused, a log without
	// a store would be replayed.
	path := filepath.Join(dir, fileStore)
	if _, err := os.Stat(path); err == nil {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout})
		if errors.Is(err, berrors.ErrTimeout) {
			return openError(path, err)
		}
		if err == nil {
			defer db.Close()
		}
	}
	for _, f := range []string{fileStable, fileStore, fileReceived} {
		if err := durable.Remove(filepath.Join(dir, f)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, folderLog)); err != nil {
		return fmt.Errorf("remove %s: %w", folderLog, err)
	}
	return durable.Sweep(dir)
}
