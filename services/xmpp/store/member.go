package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"parley/services/durable"
)

// CreateMember makes the files of a node that is to join a group: it has an
// identity and knows of nobody. A store that is opened there takes part when a
// leader says so. The folder must have no store.
func CreateMember(dir string) (id string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make folder %s: %w", dir, err)
	}
	for _, f := range []string{fileStable, fileStore} {
		if _, err := os.Stat(filepath.Join(dir, f)); !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("create member: %s: %w", filepath.Join(dir, f), fs.ErrExist)
		}
	}
	if err := durable.Sweep(dir); err != nil {
		return "", err
	}
	return createLog(dir, false, journalOf(Config{}))
}

// Refound makes a node the only voter of a group of its own, with all it has,
// what was not committed too, and a new identity. No process may have the
// store open.
func Refound(dir, addr string) (err error) {
	s := New(Config{Dir: dir}, Deps{Log: slog.New(slog.DiscardHandler)})
	if err := s.Open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	last, err := s.rlog.LastIndex()
	if err != nil {
		return fmt.Errorf("refound: %w", err)
	}
	first, err := s.rlog.FirstIndex()
	if err != nil {
		return fmt.Errorf("refound: %w", err)
	}
	term := uint64(1)
	var l raft.Log
	for i := max(first, s.m.at.index+1); i <= last; i++ {
		if err := s.rlog.journal.GetLog(i, &l); err != nil {
			return fmt.Errorf("refound: entry %d: %w", i, err)
		}
		if r, ok := s.m.Apply(&l).(error); ok {
			return fmt.Errorf("refound: %w", r)
		}
		l = raft.Log{}
	}
	if last > 0 {
		if err := s.rlog.journal.GetLog(last, &l); err != nil {
			return fmt.Errorf("refound: entry %d: %w", last, err)
		}
		term = l.Term
	}
	id := newIdentity()
	index := max(last, s.m.at.index, 1)
	// The configuration is on the disk before the identity that it names:
	// in between, the node has no vote and stands aside, and may be
	// refounded again.
	if err := s.m.refound(index, term, raft.Configuration{
		Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(addr)}},
	}); err != nil {
		return fmt.Errorf("refound: %w", err)
	}
	if last > 0 {
		if err := s.rlog.DeleteRange(first, last); err != nil {
			return fmt.Errorf("refound: %w", err)
		}
	}
	if t, err := s.rlog.GetUint64([]byte(raftTerm)); err != nil || t < max(term, s.m.at.term) {
		if err := s.rlog.SetUint64([]byte(raftTerm), max(term, s.m.at.term)); err != nil {
			return fmt.Errorf("refound: %w", err)
		}
	}
	return s.rlog.stable.setNode(id)
}

// refound sets the configuration by force and flushes.
func (m *machine) refound(index, term uint64, c raft.Configuration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.config, m.configIndex = raft.EncodeConfiguration(c), index
	m.at.index, m.at.term = index, max(term, m.at.term)
	m.flushed = 0
	return m.flushLocked()
}
