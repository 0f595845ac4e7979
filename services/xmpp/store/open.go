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
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"parley/services/durable"
	"parley/services/problem"
)

// Files of the store's folder.
const (
	fileStore = "store.db"
	// fileLog has the node's identity and what it promised in elections.
	fileLog = "raft.db"
	// folderLog has the journal.
	folderLog = "log"
	// fileReceived is a snapshot on its way in.
	fileReceived = "received.db"
)

// lockTimeout is how long a process that just ended may still hold a file.
const lockTimeout = time.Second

// Keys in fileLog beside Raft's own.
var (
	// keyNode is the node's identity.
	keyNode = []byte("parley-node")
	// keyLogFormat says where the log is: in folderLog if it is logFormat,
	// and in fileLog itself where it is missing.
	keyLogFormat = []byte("parley-log")
	logFormat    = []byte("journal")
)

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
func openLog(dir string, m *machine, opt journalOptions) (j *journal, b *raftboltdb.BoltStore, id raft.ServerID, err error) {
	path := filepath.Join(dir, fileLog)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if m.at.index > 0 {
			return nil, nil, "", openError(path, errors.New("it is missing"))
		}
		if _, err := createLog(dir, true, opt); err != nil {
			return nil, nil, "", err
		}
	} else if err != nil {
		return nil, nil, "", openError(path, err)
	}
	defer func() {
		if err == nil {
			return
		}
		if b != nil {
			b.Close()
		}
		if j != nil {
			j.Close()
		}
		if problem.CodeOf(err) == "" {
			err = openError(path, err)
		}
	}()
	err = guard(func() (err error) {
		if err = checkFile(path); err != nil {
			return err
		}
		if b, err = newLog(path, opt.noSync); err != nil {
			return err
		}
		name, err := b.Get(keyNode)
		if err != nil {
			return fmt.Errorf("node identity: %w", err)
		}
		id = raft.ServerID(name)
		return convertLog(dir, b, opt)
	})
	if err != nil {
		return j, b, "", err
	}
	path = filepath.Join(dir, folderLog)
	if j, err = openJournal(path, opt); err != nil {
		return j, b, "", err
	}
	first, _ := j.FirstIndex()
	last, _ := j.LastIndex()
	if first > m.at.index+1 {
		return j, b, "", openError(m.path, fmt.Errorf("it ends at change %d, and the log begins at %d", m.at.index, first))
	}
	if last < m.at.index {
		// The store came from another node, and what the log had before
		// has not been dropped.
		err = j.DeleteRange(first, last)
	}
	return j, b, id, err
}

// convertLog moves a log that is in fileLog, as it was once, to a journal.
func convertLog(dir string, b *raftboltdb.BoltStore, opt journalOptions) error {
	first, err := b.FirstIndex()
	if err != nil {
		return err
	}
	last, err := b.LastIndex()
	if err != nil {
		return err
	}
	if _, err := b.Get(keyLogFormat); err != nil {
		path, temp := filepath.Join(dir, folderLog), filepath.Join(dir, folderLog+".new")
		if err := createJournal(temp, opt); err != nil {
			return err
		}
		j, err := openJournal(temp, opt)
		if err != nil {
			return err
		}
		for i := first; i <= last && i > 0 && err == nil; i++ {
			l := new(raft.Log)
			if err = b.GetLog(i, l); err == nil {
				err = j.StoreLog(l)
			}
		}
		if err = errors.Join(err, j.Close()); err != nil {
			return err
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove %s: %w", path, err)
		}
		if err := os.Rename(temp, path); err != nil {
			return fmt.Errorf("rename to %s: %w", path, err)
		}
		if err := durable.SyncDir(dir); err != nil {
			return err
		}
		if err := b.Set(keyLogFormat, logFormat); err != nil {
			return err
		}
	}
	if last > 0 {
		return b.DeleteRange(first, last)
	}
	return nil
}

func newLog(path string, noSync bool) (*raftboltdb.BoltStore, error) {
	// The file is small, so finding its free pages at the start is quick.
	return raftboltdb.New(raftboltdb.Options{Path: path, NoSync: noSync, BoltOptions: &bbolt.Options{
		Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, NoSync: noSync,
	}})
}

// createLog makes a log that holds a random identity and, with voter, a
// configuration of this node as the one voter. The file with the identity
// comes last: without it there is no log.
func createLog(dir string, voter bool, opt journalOptions) (id string, err error) {
	path := filepath.Join(dir, fileLog)
	folder := filepath.Join(dir, folderLog)
	if err := createJournal(folder, opt); err != nil {
		return "", openError(folder, err)
	}
	j, err := openJournal(folder, opt)
	if err != nil {
		return "", openError(folder, err)
	}
	defer j.Close()
	temp := filepath.Join(dir, durable.TempPrefix+fileLog)
	b, err := newLog(temp, opt.noSync)
	if err != nil {
		return "", openError(path, err)
	}
	name := newIdentity()
	err = errors.Join(b.Set(keyNode, []byte(name)), b.Set(keyLogFormat, logFormat))
	if err == nil && voter {
		conf := raftConfig(raft.ServerID(name), Timing{}.orDefault(), nil)
		_, trans := raft.NewInmemTransport(raft.ServerAddress(name))
		err = raft.BootstrapCluster(conf, j, b, raft.NewInmemSnapshotStore(), trans, raft.Configuration{
			Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(name), Address: raft.ServerAddress(name)}},
		})
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return "", openError(path, err)
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
	for _, f := range []string{fileLog, fileStore, fileReceived} {
		if err := durable.Remove(filepath.Join(dir, f)); err != nil {
			return err
		}
	}
	for _, d := range []string{folderLog, folderLog + ".new"} {
		if err := os.RemoveAll(filepath.Join(dir, d)); err != nil {
			return fmt.Errorf("remove %s: %w", d, err)
		}
	}
	return durable.Sweep(dir)
}
