package xmpp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"parley/services/durable"
	"parley/services/xmpp/store"
)

// setAside is where the store of before a join waits until that is done.
func (s *Server) setAside() string { return filepath.Join(s.cfg.Paths.XMPP(), "before-join") }

// storeFiles are the names of the store's own files and folders.
func storeFiles(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if name := e.Name(); !strings.HasPrefix(name, "before-join") && name != "salt.key" {
			names = append(names, name)
		}
	}
	return names, err
}

// becomeLearner puts the store aside for an empty one that waits to be
// admitted, and opens the doors again for the other nodes.
func (s *Server) becomeLearner(saltKey []byte) (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeDoors()
	dir, aside := s.cfg.Paths.XMPP(), s.setAside()
	if err := s.core.close(); err != nil {
		return "", err
	}
	err = func() error {
		if err := os.Mkdir(aside, 0o700); err != nil {
			return fmt.Errorf("make folder %s: %w", aside, err)
		}
		names, err := storeFiles(dir)
		if err != nil {
			return fmt.Errorf("read folder %s: %w", dir, err)
		}
		for _, n := range names {
			if err := os.Rename(filepath.Join(dir, n), filepath.Join(aside, n)); err != nil {
				return fmt.Errorf("put %s aside: %w", n, err)
			}
		}
		if err := errors.Join(durable.SyncDir(aside), durable.SyncDir(dir)); err != nil {
			return err
		}
		id, err = store.CreateMember(dir)
		return err
	}()
	if err = errors.Join(err, s.openCoreLocked()); err != nil {
		return id, err
	}
	if len(saltKey) > 0 {
		s.core.saltKey = saltKey
	}
	return id, s.reload(context.Background())
}

// joined makes the join final.
func (s *Server) joined() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := s.setAside() + ".done"
	if err := os.Rename(s.setAside(), done); err != nil {
		return fmt.Errorf("remove the store of before: %w", err)
	}
	return errors.Join(durable.SyncDir(s.cfg.Paths.XMPP()), os.RemoveAll(done))
}

// putBack undoes becomeLearner.
func (s *Server) putBack() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeDoors()
	if err := s.core.close(); err != nil {
		s.log.Warn("store of the failed join closed", "err", err)
	}
	if err := errors.Join(s.abandonJoin(), s.openCoreLocked()); err != nil {
		return err
	}
	return s.reload(context.Background())
}

// abandonJoin puts a store back that a join has put aside and not come to its
// end. The store must be closed.
func (s *Server) abandonJoin() error {
	dir, aside := s.cfg.Paths.XMPP(), s.setAside()
	if err := os.RemoveAll(aside + ".done"); err != nil {
		return fmt.Errorf("remove the store of before a join: %w", err)
	}
	old, err := os.ReadDir(aside)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read folder %s: %w", aside, err)
	}
	if len(old) > 0 {
		names, err := storeFiles(dir)
		if err != nil {
			return fmt.Errorf("read folder %s: %w", dir, err)
		}
		for _, n := range names {
			// A file that is still to be put aside must not be taken for one of the join's.
			if slices.ContainsFunc(old, func(e fs.DirEntry) bool { return e.Name() == n }) {
				if err := os.RemoveAll(filepath.Join(dir, n)); err != nil {
					return fmt.Errorf("remove %s of a join: %w", n, err)
				}
			}
		}
		for _, e := range old {
			if err := os.Rename(filepath.Join(aside, e.Name()), filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("put %s back: %w", e.Name(), err)
			}
		}
	}
	return errors.Join(os.RemoveAll(aside), durable.SyncDir(dir))
}
