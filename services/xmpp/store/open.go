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
	fileLog   = "raft.db"
	// fileReceived is a snapshot on its way in.
	fileReceived = "received.db"
)

// lockTimeout is how long a process that just ended may still hold a file.
const lockTimeout = time.Second

// keyNode is the node's identity in the log's stable store.
var keyNode = []byte("parley-node")

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
func openLog(dir string, m *machine, noSync bool) (*raftboltdb.BoltStore, raft.ServerID, error) {
	path := filepath.Join(dir, fileLog)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if m.at.index > 0 {
			return nil, "", openError(path, errors.New("it is missing"))
		}
		if err := createLog(dir, noSync); err != nil {
			return nil, "", err
		}
	} else if err != nil {
		return nil, "", openError(path, err)
	}
	var b *raftboltdb.BoltStore
	var id []byte
	err := guard(func() (err error) {
		if err = checkFile(path); err != nil {
			return err
		}
		if b, err = newLog(path, noSync); err != nil {
			return err
		}
		if id, err = b.Get(keyNode); err != nil {
			return fmt.Errorf("node identity: %w", err)
		}
		first, err := b.FirstIndex()
		if err == nil && first > m.at.index+1 {
			err = openError(m.path, fmt.Errorf("it ends at change %d, and the log begins at %d", m.at.index, first))
		}
		return err
	})
	if err != nil {
		if b != nil {
			b.Close()
		}
		if problem.CodeOf(err) == "" {
			err = openError(path, err)
		}
		return nil, "", err
	}
	return b, raft.ServerID(id), nil
}

func newLog(path string, noSync bool) (*raftboltdb.BoltStore, error) {
	// Without a stored free list an append writes only what it changes; the
	// file is small, so finding its free pages at the start is quick.
	return raftboltdb.New(raftboltdb.Options{Path: path, NoSync: noSync, BoltOptions: &bbolt.Options{
		Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, NoSync: noSync,
	}})
}

// createLog makes a log that holds a random identity and a configuration of
// this node as the one voter. It gets its name when it is whole.
func createLog(dir string, noSync bool) error {
	path := filepath.Join(dir, fileLog)
	temp := filepath.Join(dir, durable.TempPrefix+fileLog)
	b, err := newLog(temp, noSync)
	if err != nil {
		return openError(path, err)
	}
	id := make([]byte, 16)
	rand.Read(id)
	name := hex.EncodeToString(id)
	err = b.Set(keyNode, []byte(name))
	if err == nil {
		conf := raftConfig(raft.ServerID(name), nil)
		_, trans := raft.NewInmemTransport(raft.ServerAddress(name))
		err = raft.BootstrapCluster(conf, b, b, raft.NewInmemSnapshotStore(), trans, raft.Configuration{
			Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(name), Address: raft.ServerAddress(name)}},
		})
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return openError(path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("rename to %s: %w", path, err)
	}
	return durable.SyncDir(dir)
}

// Reset removes the store of a folder. No process may have it open; one that
// has is a problem.StoreLocked.
func Reset(dir string) error {
	// The log goes first: a store without a log is refused, a log without
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
	return durable.Sweep(dir)
}
