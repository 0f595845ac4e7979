package durable

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestRootLeavesFilesToTheirOwner gives files away where it may; an ordinary
// user's stay the user's.
func TestRootLeavesFilesToTheirOwner(t *testing.T) {
	type owner struct{ uid, gid int }
	folder, file := owner{102, 100}, owner{103, 104}
	if os.Geteuid() != 0 {
		folder = owner{os.Geteuid(), os.Getegid()}
		file = folder
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "live.json")
	chown := func(p string, o owner) {
		t.Helper()
		if err := os.Chown(p, o.uid, o.gid); err != nil {
			t.Fatal(err)
		}
	}
	write := func(want owner) {
		t.Helper()
		if err := WriteFile(path, []byte("{}"), 0o640); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		s := info.Sys().(*syscall.Stat_t)
		if got := (owner{int(s.Uid), int(s.Gid)}); got != want || info.Mode().Perm() != 0o640 {
			t.Errorf("%s is of %v with %v; want %v with -rw-r-----", path, got, info.Mode().Perm(), want)
		}
	}
	chown(dir, folder)
	write(folder)
	chown(path, file)
	write(file)
}
