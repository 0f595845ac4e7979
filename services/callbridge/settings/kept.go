package settings

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

// Kept is a file with the settings that the database had when it was asked
// last, for a start at which it does not answer. They have a password in them:
// the file is its owner's alone. One goroutine at a time may use it.
type Kept struct {
	path string
	// is what the file has, once Load was called.
	is InForce
}

// NewKept returns that of a folder, which need not be there yet.
func NewKept(dir string) *Kept { return &Kept{path: filepath.Join(dir, "directory.json")} }

// Load reads the file; where there is none the settings are not Shared.
func (k *Kept) Load() (InForce, error) {
	if err := durable.Sweep(filepath.Dir(k.path)); err != nil {
		return InForce{}, fmt.Errorf("settings kept of the directory: %w", err)
	}
	data, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return InForce{}, nil
	}
	if err != nil {
		return InForce{}, fmt.Errorf("settings kept of the directory: %w", err)
	}
	f, err := decode(bytes.TrimSpace(data))
	if err != nil {
		return InForce{}, fmt.Errorf("settings kept of the directory: %w", err)
	}
	k.is = f
	return f, nil
}

// Save has the file be what the database says now. What it said before is not
// left where that fails: it might be taken for what holds.
func (k *Kept) Save(now InForce) error {
	if k.is.same(now) {
		return nil
	}
	if !now.Shared() {
		return k.Forget()
	}
	err := os.MkdirAll(filepath.Dir(k.path), 0o700)
	if err == nil {
		err = durable.WriteFile(k.path, append(bytes.Clone(*now.was), '\n'), 0o600)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keep settings of the directory: %w", err), k.Forget())
	}
	k.is = now
	return nil
}

// Forget removes the file.
func (k *Kept) Forget() error {
	err := os.Remove(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = durable.SyncDir(filepath.Dir(k.path))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget settings of the directory: %w", err)
	}
	k.is = InForce{}
	return nil
}

func decode(value json.RawMessage) (InForce, error) {
	var of record
	if err := json.Unmarshal(value, &of); err != nil {
		return InForce{}, err
	}
	return InForce{Directory: of.Settings, Host: of.Host, Set: of.Set, change: of.Change, was: &value}, nil
}

func (f InForce) same(g InForce) bool {
	return f.Shared() == g.Shared() && (!f.Shared() || bytes.Equal(*f.was, *g.was))
}

// before says that f are the database's of before g, which it had as well.
func (f InForce) before(g InForce) bool {
	return g.Shared() && (!f.Shared() || f.change < g.change)
}
