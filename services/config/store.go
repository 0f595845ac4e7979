// Package config is a node's configuration: one typed document, live.json,
// that is always whole, and the paths of a node. Console and Webadmin change
// it through this package alone. It does not know what the values mean to a
// service, nor does it tell the services.
package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"parley/services/durable"
)

// Store reads and changes live.json. Any number of processes and goroutines
// may use one each, or share one.
type Store struct{ path string }

// NewStore returns the store of the document at path, which need not exist.
func NewStore(path string) *Store { return &Store{path: path} }

// Load returns the document, or Default where there is none yet. It takes no
// lock: the file is replaced as a whole, so what is read is whole.
func (s *Store) Load() (Document, error) {
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return Default(), nil
	}
	if err != nil {
		return Document{}, fmt.Errorf("read configuration: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var d Document
	if err := dec.Decode(&d); err != nil {
		return Document{}, fmt.Errorf("parse %s: %w", s.path, err)
	}
	return d, nil
}

// Update changes the document by change, which must not keep the pointer. If
// change returns an error nothing is written and Update returns it. Updates of
// all processes are one after the other.
func (s *Store) Update(change func(*Document) error) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	d, err := s.Load()
	if err != nil {
		return err
	}
	d = d.Clone()
	if err := change(&d); err != nil {
		return err
	}
	return s.write(d)
}

// Transact is Update followed by take, still under the lock; take asks the
// service that the change is for. If take fails the old document is back when
// Transact returns, so a refused change leaves nothing behind.
func (s *Store) Transact(change func(*Document) error, take func() error) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	old, err := s.Load()
	if err != nil {
		return err
	}
	d := old.Clone()
	if err := change(&d); err != nil {
		return err
	}
	if err := s.write(d); err != nil {
		return err
	}
	if err := take(); err != nil {
		if back := s.write(old); back != nil {
			return errors.Join(err, fmt.Errorf("put the old configuration back: %w", back))
		}
		return err
	}
	return nil
}

func (s *Store) write(d Document) error {
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	if err := durable.WriteFile(s.path, append(data, '\n'), 0o640); err != nil {
		return fmt.Errorf("save configuration: %w", err)
	}
	return nil
}

func (s *Store) lock() (unlock func(), err error) {
	return durable.Lock(filepath.Join(filepath.Dir(s.path), ".live.lock"))
}
