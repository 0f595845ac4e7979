package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// A folder whose log is in raft.db, as it once was, opens with all that is in
// the log and not yet in the store, also where the conversion was interrupted.
func TestConvertsLog(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, Config{Dir: dir, NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada"})
	if err := s.m.flush(); err != nil {
		t.Fatal(err)
	}
	store, err := os.ReadFile(filepath.Join(dir, fileStore))
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		apply(t, s, &MessagePut{Account: "ada", Stanza: []byte("x")})
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	j := openTestJournal(t, filepath.Join(dir, folderLog), journalOf(Config{NoSync: true}))
	path := filepath.Join(dir, fileLog)
	b, err := newLog(path, true)
	if err != nil {
		t.Fatal(err)
	}
	last, _ := j.LastIndex()
	for i := uint64(1); i <= last; i++ {
		var l raft.Log
		if err := j.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
		if err := b.StoreLog(&l); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	// Without the mark the journal that is there is what a conversion left
	// that was interrupted.
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("conf")).Delete(keyLogFormat) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, fileStore), store, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"converted", "again"} {
		s, stop = start(t, Config{Dir: dir, NoSync: true})
		if n, err := s.Pending("ada"); n != 300 || err != nil {
			t.Errorf("%s: Pending = %d, %v; want 300", when, n, err)
		}
		if n, err := s.rlog.stable.LastIndex(); n != 0 || err != nil {
			t.Errorf("%s: the old log ends at %d, %v", when, n, err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}
