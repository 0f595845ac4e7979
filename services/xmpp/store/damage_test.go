package store

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/services/problem"
)

// small segments, so that a test can have many.
var small = journalOptions{segment: 16 << 10, noSync: true}

func TestDamagedFiles(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(dir string) error
	}{
		{"store cut short", func(dir string) error { return os.Truncate(filepath.Join(dir, fileStore), 20000) }},
		{"identity cut short", func(dir string) error { return os.Truncate(filepath.Join(dir, fileStable), 6000) }},
		{"log cut short", func(dir string) error { return os.Truncate(segmentFile(dir, -1), 10000) }},
		{"log with a hole", func(dir string) error { return os.Remove(segmentFile(dir, 1)) }},
		{"log missing", func(dir string) error { return os.RemoveAll(filepath.Join(dir, folderLog)) }},
		{"old page of the log overwritten", func(dir string) error { return overwrite(segmentFile(dir, 0), 4096) }},
		{"page of the log overwritten", func(dir string) error { return overwrite(segmentFile(dir, -1), 600) }},
		{"store of nonsense", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, fileStore), make([]byte, 65536), 0o600)
		}},
		{"identity of text", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, fileStable), []byte(strings.Repeat("text ", 9999)), 0o600)
		}},
		{"identity missing", func(dir string) error { return os.Remove(filepath.Join(dir, fileStable)) }},
		{"store missing and the log truncated", func(dir string) error { return os.Remove(filepath.Join(dir, fileStore)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s, stop := start(t, Config{Dir: dir, NoSync: true, journal: small})
			apply(t, s, &AccountAdd{Name: "ada"})
			for range 300 {
				apply(t, s, &MessagePut{Account: "ada", Stanza: make([]byte, 1000)})
			}
			if err := s.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if err := tt.damage(dir); err != nil {
				t.Fatal(err)
			}
			s = New(Config{Dir: dir, journal: small}, Deps{Log: slog.New(slog.DiscardHandler)})
			err := s.Open()
			if problem.CodeOf(err) != problem.StoreDamaged {
				t.Errorf("Open = %v; want %s", err, problem.StoreDamaged)
			}
			t.Log(problem.Text(err))
		})
	}
}

// segmentFile is the path of a store's nth segment, from the end where n < 0.
func segmentFile(dir string, n int) string {
	all, _ := filepath.Glob(filepath.Join(dir, folderLog, segmentPrefix+"*"))
	if n < 0 {
		n += len(all)
	}
	return all[n]
}

// overwrite puts nonsense on a file's page.
func overwrite(path string, off int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(strings.Repeat("nonsense", 64)), off)
	return errors.Join(err, f.Close())
}
