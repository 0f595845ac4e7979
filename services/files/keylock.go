package files

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"parley/services/account"
	"parley/services/durable"
	"parley/services/problem"
)

// Lock makes a key unreadable over SFTP and on the console for good; the
// services still read it. A locked key can be neither replaced nor renamed: to
// be rid of the lock is to remove the key. Locking it again changes nothing.
func (s *Store) Lock(who Who, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := s.may(who, account.Certificates); err != nil {
		return s.deny(who, "lock key "+name, err)
	}
	return s.change(func() error {
		data, err := s.Read(name)
		if err != nil {
			return err
		}
		if !isKey(name, data) {
			return problem.New(problem.FileNoKey, "file", name)
		}
		locked, err := s.locked()
		if err != nil || slices.Contains(locked, name) {
			return err
		}
		if err := s.saveLocks(append(locked, name)); err != nil {
			return err
		}
		return s.audit(who, "lock key "+name)
	})
}

func (s *Store) locks() string { return filepath.Join(s.cfg.State, "locked.json") }

// locked returns the names of the locked keys.
func (s *Store) locked() ([]string, error) {
	data, err := os.ReadFile(s.locks())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read key locks: %w", err)
	}
	var names []string
	if err := json.Unmarshal(data, &names); err != nil {
		return nil, fmt.Errorf("parse %s: %w", s.locks(), err)
	}
	return names, nil
}

// saveLocks and forgetLock are for the holder of the lock.
func (s *Store) saveLocks(names []string) error {
	slices.Sort(names)
	data, err := json.Marshal(names)
	if err != nil {
		return fmt.Errorf("encode key locks: %w", err)
	}
	if err := durable.WriteFile(s.locks(), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("save key locks: %w", err)
	}
	return nil
}

func (s *Store) forgetLock(name string) error {
	names, err := s.locked()
	if err != nil || !slices.Contains(names, name) {
		return err
	}
	return s.saveLocks(slices.DeleteFunc(names, func(n string) bool { return n == name }))
}
