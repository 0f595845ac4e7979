// Package account holds the appliance's own accounts: those that log in to
// the console, SFTP, Webadmin and the API. People who chat have theirs in the
// XMPP store. The accounts are in one file, accounts.json; any number of
// processes may use it at once.
package account

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"parley/services/durable"
)

// document is accounts.json.
type document struct {
	// Salt keys the digests of unknown names.
	Salt    []byte               `json:"salt"`
	Users   map[string]*record   `json:"users"`
	Unknown map[string]*failures `json:"unknown,omitempty"`
}

type record struct {
	Role       Role      `json:"role"`
	Hash       string    `json:"hash"`
	MustChange bool      `json:"mustChange,omitempty"`
	Created    time.Time `json:"created"`
	Changed    time.Time `json:"changed"`
	LastLogin  time.Time `json:"lastLogin,omitzero"`
	LastSource string    `json:"lastSource,omitempty"`
	// FailedSince counts failures since the last login, beyond locks.
	FailedSince int      `json:"failedSince,omitempty"`
	Remote      failures `json:"remote,omitzero"`
	Local       failures `json:"local,omitzero"`
	// Keys are authorized_keys lines without options.
	Keys []string `json:"keys,omitempty"`
}

// Store reads and changes the accounts. Its methods may be called from any
// goroutine of any process that may write the file. The first call of any of
// them makes the file, with the user admin, password admin, who must change it.
type Store struct {
	path  string
	clock func() time.Time
	// hashing bounds the memory that concurrent password checks take.
	hashing chan struct{}
}

// NewStore returns the store of the accounts at path. clock is time.Now
// outside tests.
func NewStore(path string, clock func() time.Time) *Store {
	return &Store{path: path, clock: clock, hashing: make(chan struct{}, 2)}
}

// load takes no lock: the file is replaced as a whole.
func (s *Store) load() (*document, error) {
	d, err := s.read()
	if !errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	// The empty update founds the file, or finds that another process has.
	if err := s.update(func(*document) error { return nil }); err != nil {
		return nil, err
	}
	return s.read()
}

func (s *Store) read() (*document, error) {
	data, err := os.ReadFile(s.path)
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var d document
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("parse %s: %w", s.path, err)
	}
	if d.Users == nil {
		return nil, fmt.Errorf("parse %s: no users", s.path)
	}
	if d.Unknown == nil {
		d.Unknown = map[string]*failures{}
	}
	return &d, nil
}

// update changes the document under the lock; on an error nothing is written.
func (s *Store) update(change func(*document) error) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	d, err := s.read()
	if errors.Is(err, fs.ErrNotExist) {
		d, err = s.first(), nil
	}
	if err != nil {
		return err
	}
	if err := change(d); err != nil {
		return err
	}
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("encode accounts: %w", err)
	}
	if err := durable.WriteFile(s.path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("save accounts: %w", err)
	}
	return nil
}

// first is the document of an appliance that nobody has logged in to.
func (s *Store) first() *document {
	salt := make([]byte, 16)
	rand.Read(salt)
	now := s.clock().UTC()
	return &document{
		Salt: salt,
		Users: map[string]*record{
			"admin": {Role: Admin, Hash: newHash("admin"), MustChange: true, Created: now, Changed: now},
		},
		Unknown: map[string]*failures{},
	}
}

func (s *Store) lock() (unlock func(), err error) {
	return durable.Lock(filepath.Join(filepath.Dir(s.path), ".accounts.lock"))
}
