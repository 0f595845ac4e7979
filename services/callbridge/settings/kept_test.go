package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/services/config"
	"parley/services/database/databaseapi"
)

// TestKept: what the database said last is there after a start, for this user
// alone, and gone when something else holds.
func TestKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "callbridge")
	path := filepath.Join(dir, "directory.json")
	d := &table{mode: databaseapi.Member}
	s, _ := newStore(t, "cb1", "ldap", d)
	load := func() InForce {
		t.Helper()
		now, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	kept := func(want string) {
		t.Helper()
		got, err := NewKept(dir).Load()
		if err != nil || got.Filter != want || got.Shared() != (want != "") || want != "" && (got.Host != "cb1" || got.Set != then || got.Password != "geheim") {
			t.Errorf("Load of what was kept = %+v, %v; want filter %q", got, err, want)
		}
	}
	k := NewKept(dir)
	kept("")
	if err := k.Save(load()); err != nil {
		t.Fatal(err)
	}
	kept("")
	if err := s.Change(t.Context(), func(c *config.Directory) error { c.Filter, c.Password = "a", "geheim"; return nil }, taken); err != nil {
		t.Fatal(err)
	}
	if err := k.Save(load()); err != nil {
		t.Fatal(err)
	}
	kept("a")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v; want mode 0600", info, err)
	}
	if err := s.Change(t.Context(), filter("b"), taken); err != nil {
		t.Fatal(err)
	}
	// A folder of the name is in the way.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := k.Save(load()); err == nil {
		t.Error("Save over a folder = nil; want an error")
	}
	kept("")
	if err := k.Save(load()); err != nil {
		t.Errorf("Save again = %v", err)
	}
	kept("b")
	d.mode, d.value = databaseapi.Alone, nil
	if err := k.Save(load()); err != nil {
		t.Fatal(err)
	}
	kept("")
	if err := k.Forget(); err != nil {
		t.Errorf("Forget of what is not there = %v", err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewKept(dir).Load(); err == nil || !strings.Contains(err.Error(), "settings kept of the directory") {
		t.Errorf("Load of a damaged file = %v; want an error", err)
	}
}

// TestLatest: without a primary what is known and newer holds, and nobody is
// sure; with one what the database has does.
func TestLatest(t *testing.T) {
	d := &table{mode: databaseapi.Member}
	s, _ := newStore(t, "cb1", "ldap", d)
	change := func(to string) InForce {
		t.Helper()
		if err := s.Change(t.Context(), filter(to), taken); err != nil {
			t.Fatal(err)
		}
		now, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	old := change("old")
	before := d.value
	now := change("now")
	for _, tt := range []struct {
		name    string
		value   []byte
		known   InForce
		trouble string
		want    string
		sure    bool
	}{
		{"newer, with a primary", d.value, old, "", "now", true},
		{"older, with a primary", before, now, "", "old", true},
		{"newer, without a primary", d.value, old, "none", "now", false},
		{"the same, without a primary", d.value, now, "none", "now", false},
		{"older, without a primary", before, now, "none", "now", false},
		{"none, without a primary", nil, now, "none", "now", false},
		{"none, with a primary", nil, now, "", "", true},
		{"nothing known, without a primary", before, InForce{}, "none", "old", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d.value, d.trouble = tt.value, tt.trouble
			got, sure, err := s.Latest(t.Context(), tt.known)
			if err != nil || got.Filter != tt.want || sure != tt.sure {
				t.Errorf("Latest = %q, %v, %v; want %q, %v", got.Filter, sure, err, tt.want, tt.sure)
			}
		})
	}
}
