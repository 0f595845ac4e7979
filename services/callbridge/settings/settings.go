// Package settings is where the LDAP server's settings are: one record of the
// database, for all Call Bridges that share it, or live.json while this node
// has its database to itself. Who reads or changes them does it here. What they
// mean is not its matter.
package settings

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/problem"
)

// Records is the part of databaseapi.API that is needed.
type Records interface {
	Status(ctx context.Context) (databaseapi.Status, error)
	List(ctx context.Context, table string) ([]databaseapi.Record, error)
	Swap(ctx context.Context, table string, old json.RawMessage, r databaseapi.Record) error
}

// Store has the settings. Any number of processes and goroutines may use one
// each, or share one.
type Store struct {
	config  *config.Store
	records Records
	now     func() time.Time
}

// NewStore returns the store of a node; now is time.Now outside tests.
func NewStore(c *config.Store, r Records, now func() time.Time) *Store {
	return &Store{config: c, records: r, now: now}
}

// InForce are the settings that hold.
type InForce struct {
	config.Directory
	// Host is the name of the node that they were set on, at Set, where they
	// are the database's; otherwise both are zero.
	Host string
	Set  time.Time
	// change counts the changes of the record.
	change uint64
	// was is the record, nil where they are live.json's. It has the password,
	// which does not print behind a pointer.
	was *json.RawMessage
}

// Shared says that they hold for all nodes of the database.
func (f InForce) Shared() bool { return f.was != nil }

// key of the one record in the table.
const key = "settings"

// record is what it holds.
type record struct {
	Settings config.Directory `json:"settings"`
	Host     string           `json:"host"`
	Set      time.Time        `json:"set"`
	Change   uint64           `json:"change,omitempty"`
}

// Load returns the settings that hold. Where the database does not answer, that
// is not known.
func (s *Store) Load(ctx context.Context) (InForce, error) {
	stored, err := s.records.List(ctx, databaseapi.Directory)
	if err != nil {
		return InForce{}, err
	}
	for _, r := range stored {
		if r.Key != key {
			continue
		}
		f, err := decode(r.Value)
		if err != nil {
			return InForce{}, fmt.Errorf("settings of the directory in the database: %w", err)
		}
		return f, nil
	}
	d, err := s.config.Load()
	return InForce{Directory: d.Directory}, err
}

// Latest is Load for who has known settings before. It is sure where there is a
// primary. A copy without one may lack the last changes, after a power cut: then
// what was known holds, if that is newer.
func (s *Store) Latest(ctx context.Context, known InForce) (now InForce, sure bool, err error) {
	if now, err = s.Load(ctx); err != nil {
		return now, false, err
	}
	st, err := s.records.Status(ctx)
	switch {
	case err != nil:
		return InForce{}, false, err
	case st.Trouble == "":
		return now, true, nil
	case now.before(known):
		return known, false, nil
	}
	return now, false, nil
}

// Change makes the settings what change makes of them, which may be called
// again where somebody else was faster. Shared ones are on a majority of the
// database's disks when it returns; those of live.json are put back where take,
// which asks the Call Bridge to take them, fails. Shared ones hold whether or
// not this node's Call Bridge answers.
func (s *Store) Change(ctx context.Context, change func(*config.Directory) error, take func() error) error {
	shared, err := s.sharing(ctx)
	if err != nil {
		return err
	}
	if shared {
		if err := s.share(ctx, change); err != nil {
			return err
		}
		// It is only told early: it looks for itself.
		_ = take()
		return nil
	}
	return s.config.Transact(func(d *config.Document) error { return change(&d.Directory) }, func() error {
		// Publish may have read live.json before it was written just now, but
		// not unless the database was clustered before that.
		shared, err := s.sharing(ctx)
		if err != nil {
			return err
		}
		if shared {
			if err := s.share(ctx, change); err != nil {
				return err
			}
		}
		return take()
	})
}

// sharing says whether the settings are, or are to be, the database's. A node
// that has left a cluster keeps its copy of them.
func (s *Store) sharing(ctx context.Context) (bool, error) {
	st, err := s.records.Status(ctx)
	if err != nil || st.Mode != databaseapi.Alone {
		return err == nil, err
	}
	now, err := s.Load(ctx)
	return now.Shared(), err
}

// share makes the record what change makes of the settings that hold.
func (s *Store) share(ctx context.Context, change func(*config.Directory) error) error {
	for {
		now, err := s.Load(ctx)
		if err != nil {
			return err
		}
		if err := change(&now.Directory); err != nil {
			return err
		}
		if err := s.swap(ctx, now); problem.CodeOf(err) != problem.RecordChanged {
			return err
		}
	}
}

// swap writes settings in place of those that they were made of.
func (s *Store) swap(ctx context.Context, now InForce) error {
	d, err := s.config.Load()
	if err != nil {
		return err
	}
	value, err := json.Marshal(record{Settings: now.Directory, Host: d.Hostname, Set: s.now().UTC(), Change: now.change + 1})
	if err != nil {
		return fmt.Errorf("encode settings of the directory: %w", err)
	}
	var old json.RawMessage
	if now.was != nil {
		old = *now.was
	}
	return s.records.Swap(ctx, databaseapi.Directory, old, databaseapi.Record{Key: key, Value: value})
}

// Publish has the database take the settings of live.json, where it is clustered
// and has none: the first who has some sets them for all.
func (s *Store) Publish(ctx context.Context) error {
	if now, err := s.Load(ctx); err != nil || now.Shared() || now.Address == "" {
		return err
	}
	// Before live.json is read: see Change.
	if st, err := s.records.Status(ctx); err != nil || st.Mode == databaseapi.Alone {
		return err
	}
	d, err := s.config.Load()
	if err != nil {
		return err
	}
	if err := s.swap(ctx, InForce{Directory: d.Directory}); problem.CodeOf(err) != problem.RecordChanged {
		return err
	}
	return nil
}

// Document is live.json with the settings that hold. Where the database does not
// say, within a second, they are live.json's.
func (s *Store) Document(ctx context.Context) (config.Document, error) {
	d, err := s.config.Load()
	if err != nil {
		return d, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if now, err := s.Load(ctx); err == nil {
		d.Directory = now.Directory
	}
	return d, nil
}
