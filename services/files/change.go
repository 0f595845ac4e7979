package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"parley/services/account"
	"parley/services/durable"
	"parley/services/problem"
)

// Remove deletes a file that nothing uses. With a locked key goes its lock.
func (s *Store) Remove(who Who, name string) error {
	if err := s.mayChange(who, name); err != nil {
		return err
	}
	return s.change(func() error {
		if _, err := s.stat(name); err != nil {
			return err
		}
		if err := s.unused(name); err != nil {
			return err
		}
		if err := durable.Remove(s.path(name)); err != nil {
			return err
		}
		if err := s.forgetLock(name); err != nil {
			return err
		}
		return s.audit(who, "remove file "+name)
	})
}

// Rename gives a file another name. It replaces a file of that name only with
// replace. Neither may be locked, or a lock could be slipped off; the old one
// may not be in use.
func (s *Store) Rename(who Who, old, name string, replace bool) error {
	for _, n := range []string{old, name} {
		if err := s.mayChange(who, n); err != nil {
			return err
		}
	}
	return s.change(func() error {
		if _, err := s.stat(old); err != nil || old == name {
			return err
		}
		if err := errors.Join(s.unlocked(old), s.unused(old)); err != nil {
			return err
		}
		if err := s.mayPlace(name, replace); err != nil {
			return err
		}
		if err := os.Rename(s.path(old), s.path(name)); err != nil {
			return fmt.Errorf("rename %s: %w", old, err)
		}
		if err := durable.SyncDir(s.cfg.Dir); err != nil {
			return err
		}
		return s.audit(who, "rename file "+old+" to "+name)
	})
}

// mayChange says whether who may write a file of that name.
func (s *Store) mayChange(who Who, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := s.may(who, account.Certificates); err != nil {
		return s.deny(who, "change file "+name, err)
	}
	if _, ok := s.virtual(name); ok {
		return problem.New(problem.FileReadOnly, "file", name)
	}
	return nil
}

// mayPlace says whether a file may now get that name, and drops a lock that a
// crash left behind its file. It is for the holder of the lock.
func (s *Store) mayPlace(name string, replace bool) error {
	there, err := s.exists(name)
	if err != nil {
		return err
	}
	if !there {
		return s.forgetLock(name)
	}
	if !replace {
		return problem.New(problem.FileExists, "file", name)
	}
	return s.unlocked(name)
}

func (s *Store) unused(name string) error {
	if use := s.deps.InUse(name); use != "" {
		return problem.New(problem.FileInUse, "file", name, "use", use)
	}
	return nil
}

func (s *Store) unlocked(name string) error {
	locked, err := s.locked()
	if err != nil {
		return err
	}
	if slices.Contains(locked, name) {
		return problem.New(problem.FileLocked, "file", name)
	}
	return nil
}

// change runs do as the only one in all processes that changes names.
func (s *Store) change(do func() error) error {
	unlock, err := durable.Lock(filepath.Join(s.cfg.State, ".files.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	return do()
}
