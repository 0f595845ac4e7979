package store

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"parley/services/xmpp/link"
)

// machine is the state machine. Its file lags the log and never leads it:
// applied entries are in one open write transaction, which readers share, and
// which is committed (flushed) each flushEvery, at flushBytes, and before
// the log is truncated. The applied index is in the same transaction, so a
// crash loses nothing: what was not flushed is applied again from the log.
type machine struct {
	path   string
	noSync bool
	log    *slog.Logger
	disk   *disk

	// mu guards all below. A write transaction is for one goroutine at a
	// time, readers included.
	mu sync.Mutex
	db *bbolt.DB
	t  *tables
	at position
	// config is the latest cluster configuration, encoded, and its index.
	config      []byte
	configIndex uint64
	// unflushed entries are in t only; they are kept to be applied again
	// where a flush fails.
	unflushed []*raft.Log
	size      int
	flushed   uint64
	// failed is why the machine stopped for good.
	failed error

	// over says that size is above maxUnflushed, and configured what
	// configIndex is, for readers that must not wait for a flush.
	over       atomic.Bool
	configured atomic.Uint64

	// dirty has room for one signal that there is something to flush.
	dirty chan struct{}
	// poke has room for one signal to the watcher.
	poke chan struct{}
	// advanced, where somebody waits, is closed when at has moved.
	advanced chan struct{}

	// names are the accounts, for readers that must not wait for a flush, and
	// counts how many there are of each kind.
	namesMu sync.RWMutex
	names   map[string]whose
	counts  [gone + 1]int
}

// position is how far the machine has come.
type position struct {
	index, term uint64
	item        link.Item
}

const (
	// flushEvery bounds how much a restart applies again.
	flushEvery = 100 * time.Millisecond
	// flushShare is how many times as long as the last flush took there is
	// none, up to maxFlushEvery.
	flushShare    = 20
	maxFlushEvery = 2 * time.Second
	flushBytes    = 4 << 20
	// maxUnflushed is where changes are refused because flushes fail.
	maxUnflushed = 4 * flushBytes
	// mapped is the address space reserved for the file. As long as it is
	// enough, a commit need not wait for a snapshot that is being read.
	mapped = 4 << 30
)

// openMachine opens or creates the file.
func openMachine(path string, noSync bool, d *disk, log *slog.Logger) (*machine, error) {
	m := &machine{path: path, noSync: noSync, log: log, disk: d, dirty: make(chan struct{}, 1), poke: make(chan struct{}, 1)}
	return m, m.open()
}

func (m *machine) open() error {
	if err := checkFile(m.path); err != nil {
		return openError(m.path, err)
	}
	db, err := bbolt.Open(m.path, 0o600, &bbolt.Options{
		Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, InitialMmapSize: mapped, NoSync: m.noSync,
	})
	if err != nil {
		return openError(m.path, err)
	}
	m.db = db
	if err := m.begin(); err != nil {
		db.Close()
		return openError(m.path, err)
	}
	f := m.t.meta.Get(keyFormat)
	if f == nil {
		err = m.t.meta.Put(keyFormat, numberBytes(format))
	} else if number(f) != format {
		err = fmt.Errorf("format %d, not %d", number(f), format)
	}
	if err == nil {
		err = m.loadNames()
	}
	if err != nil {
		m.t.tx.Rollback()
		db.Close()
		return openError(m.path, err)
	}
	m.flushed = m.at.index
	return nil
}

// begin starts the next transaction where the file is.
func (m *machine) begin() error {
	tx, err := m.db.Begin(true)
	if err != nil {
		return err
	}
	t, err := tablesOf(tx)
	if err != nil {
		tx.Rollback()
		return err
	}
	m.t = t
	m.at = position{number(t.meta.Get(keyIndex)), number(t.meta.Get(keyTerm)), link.Item(number(t.meta.Get(keyItem)))}
	m.config = append([]byte(nil), t.meta.Get(keyConfig)...)
	m.configIndex = number(t.meta.Get(keyConfigIndex))
	m.configured.Store(m.configIndex)
	return nil
}

func (m *machine) loadNames() error {
	names, counts := map[string]whose{}, [gone + 1]int{}
	err := m.t.accounts.ForEach(func(k, v []byte) error {
		w := whoseOf(v)
		names[string(k)] = w
		counts[w]++
		return nil
	})
	m.namesMu.Lock()
	m.names, m.counts = names, counts
	m.namesMu.Unlock()
	return err
}

// close flushes and closes the file.
func (m *machine) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.db == nil {
		return nil
	}
	err := m.flushLocked()
	if m.t != nil {
		m.t.tx.Rollback()
	}
	err = errors.Join(err, m.db.Close())
	m.db, m.t = nil, nil
	if m.failed == nil {
		m.failed = ErrClosed
	}
	return err
}

// Apply implements raft.FSM.
func (m *machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. A response is []Result, or an error
// where the machine has failed.
func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	m.mu.Lock()
	defer m.mu.Unlock()
	responses := make([]any, len(logs))
	for i, l := range logs {
		if m.failed != nil {
			responses[i] = m.failed
			continue
		}
		// Raft hands over again, after a restart, what it cannot know to
		// be applied.
		if l.Index <= m.at.index {
			continue
		}
		results, err := m.applyLocked(l)
		if err != nil {
			m.failed = fmt.Errorf("apply entry %d: %w", l.Index, err)
			m.signal()
			responses[i] = m.failed
			continue
		}
		responses[i] = results
		m.unflushed = append(m.unflushed, l)
		m.size += len(l.Data)
	}
	m.over.Store(m.size > maxUnflushed)
	if m.size >= flushBytes && m.failed == nil && m.disk.waiting.Load() == 0 {
		m.flushLocked()
	}
	m.tellLocked()
	m.signal()
	return responses
}

// tellLocked wakes those that wait for the machine to move.
func (m *machine) tellLocked() {
	if m.advanced != nil {
		close(m.advanced)
		m.advanced = nil
	}
}

// pokeWatcher tells the watcher to look at Raft's state. It never waits.
func (m *machine) pokeWatcher() {
	select {
	case m.poke <- struct{}{}:
	default:
	}
}

// servers are the members as of that configuration.
func (m *machine) servers() []raft.Server {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.config) == 0 {
		return nil
	}
	return raft.DecodeConfiguration(m.config).Servers
}

func (m *machine) signal() {
	select {
	case m.dirty <- struct{}{}:
	default:
	}
}

// applyLocked applies one entry to the open transaction. An error leaves the
// transaction in between, and is final.
func (m *machine) applyLocked(l *raft.Log) ([]Result, error) {
	m.at.index, m.at.term = l.Index, l.Term
	switch l.Type {
	case raft.LogConfiguration:
		m.config, m.configIndex = append([]byte(nil), l.Data...), l.Index
		m.configured.Store(l.Index)
		m.pokeWatcher()
		return nil, nil
	case raft.LogCommand:
	default:
		return nil, nil
	}
	ops, err := decodeEntry(l.Data)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(ops))
	for i, op := range ops {
		if results[i], err = m.applyOp(op); err != nil {
			return nil, err
		}
	}
	return results, nil
}

func (m *machine) applyOp(op Op) (res Result, err error) {
	switch o := op.(type) {
	case *AccountAdd:
		if res, err = m.t.accountAdd(o); err == nil && res.Err == nil {
			m.name(o.Name, true, o.Verifiers)
		}
	case *AccountSet:
		if res, err = m.t.accountSet(o); err == nil && res.Err == nil {
			m.name(o.Name, true, o.Verifiers)
		}
	case *AccountDel:
		if res, err = m.t.accountDel(o); err == nil && res.Err == nil {
			m.name(o.Name, false, nil)
		}
	case *AccountImport:
		if res, err = m.t.accountImport(o); err == nil && res.Err == nil {
			for i := range o.Accounts {
				m.name(o.Accounts[i].Name, true, o.Accounts[i].Verifiers)
			}
		}
	case *AccountsListed:
		if res, err = m.t.accountsListed(o); err == nil && res.Err == nil {
			for _, name := range slices.Concat(o.Listed, o.Missed) {
				if v := m.t.accounts.Get([]byte(name)); v != nil {
					m.name(name, true, v)
				}
			}
		}
	case *BridgeAdd:
		res, err = m.t.bridgeAdd(o)
	case *BridgeDel:
		res, err = m.t.bridgeDel(o)
	case *RosterSet:
		res, err = m.t.rosterSet(o)
	case *RosterRemove:
		res, err = m.t.rosterRemove(o)
	case *Subscription:
		res, err = m.t.subscription(o)
	case *MessagePut:
		res, err = m.t.messagePutOnce(o, &m.at.item)
	case *SessionEnd:
		err = m.t.sessionEnd(o)
	case *ClusterSet:
		err = m.t.clusterSet(o)
	case *RecordPut:
		res, err = m.t.recordPut(o)
	case *RecordDelete:
		res, err = m.t.recordDelete(o)
	case *RecordSwap:
		res, err = m.t.recordSwap(o)
	case *Delivered:
		res, err = m.t.delivered(o)
	}
	return res, err
}

// name notes that an account has changed: it has these verifiers, or is gone.
func (m *machine) name(name string, there bool, verifiers []byte) {
	m.namesMu.Lock()
	defer m.namesMu.Unlock()
	if w, had := m.names[name]; had {
		m.counts[w]--
	}
	if !there {
		delete(m.names, name)
		return
	}
	w := whoseOf(verifiers)
	m.names[name] = w
	m.counts[w]++
}

// flush writes what was applied, and says whether there is nothing left.
func (m *machine) flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return m.failed
	}
	return m.flushLocked()
}

// flushLocked commits the transaction and begins the next. Where there is no
// room, the entries are applied again to a new one, and it may be called again.
func (m *machine) flushLocked() error {
	if m.failed != nil || m.at.index == m.flushed {
		return m.failed
	}
	err := m.putPosition()
	if err == nil {
		err = m.disk.note(m.t.tx.Commit())
	}
	if err == nil {
		m.flushed, m.unflushed, m.size = m.at.index, nil, 0
		m.over.Store(false)
		if err = m.begin(); err == nil {
			return nil
		}
		m.t = nil
	} else if isFull(err) {
		if again := m.reapply(); again == nil {
			return fmt.Errorf("flush %s: %w", m.path, err)
		} else {
			err = again
		}
	}
	m.failed = fmt.Errorf("flush %s: %w", m.path, err)
	return m.failed
}

func (m *machine) putPosition() error {
	for _, kv := range []struct{ k, v []byte }{
		{keyIndex, numberBytes(m.at.index)}, {keyTerm, numberBytes(m.at.term)}, {keyItem, numberBytes(uint64(m.at.item))},
		{keyConfig, m.config}, {keyConfigIndex, numberBytes(m.configIndex)},
	} {
		if err := m.t.meta.Put(kv.k, kv.v); err != nil {
			return err
		}
	}
	return nil
}

// reapply rebuilds the transaction that a failed commit has undone. bbolt has
// closed it.
func (m *machine) reapply() error {
	raised := m.at
	m.t = nil
	if err := m.begin(); err != nil {
		return err
	}
	for _, l := range m.unflushed {
		if _, err := m.applyLocked(l); err != nil {
			return err
		}
	}
	// raise may have moved the index past the last entry.
	m.at.index, m.at.term = raised.index, raised.term
	return nil
}

// raise moves the applied index over entries that are not the machine's, such
// as Raft's no-ops, so that the log may be truncated up to index.
func (m *machine) raise(index, term uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return m.failed
	}
	if index > m.at.index {
		m.at.index, m.at.term = index, term
	}
	return m.flushLocked()
}

// view reads in the open transaction; f must not keep what bbolt returns.
func (m *machine) view(f func(t *tables) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.t == nil {
		return errors.Join(ErrClosed, m.failed)
	}
	return f(m.t)
}
