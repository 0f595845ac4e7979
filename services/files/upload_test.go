package files

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/services/problem"
)

func TestUploads(t *testing.T) {
	f := newFixture(t)
	f.put("f", "old")
	u, err := f.Create(admin, "f")
	f.check(err)
	_, err = u.WriteAt([]byte("def"), 3)
	f.check(err)
	_, err = u.WriteAt([]byte("abc"), 0)
	f.check(err)
	if got, _ := f.get(admin, "f"); got != "old" {
		t.Errorf("before Commit f holds %q; want old", got)
	}
	f.check(u.Commit())
	if got, _ := f.get(admin, "f"); got != "abcdef" {
		t.Errorf("after Commit f holds %q; want abcdef", got)
	}
	fi, err := os.Stat(f.path("f"))
	if err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("mode = %v, %v; want 0640", fi.Mode(), err)
	}
	if err := u.Commit(); err == nil {
		t.Error("second Commit = nil; want an error")
	}

	u, err = f.Append(admin, "f")
	f.check(err)
	_, err = u.Write([]byte("ghi"))
	f.check(err)
	f.check(u.Commit())
	if got, _ := f.get(admin, "f"); got != "abcdefghi" {
		t.Errorf("after Append f holds %q; want abcdefghi", got)
	}

	u, err = f.Create(admin, "f")
	f.check(err)
	if _, err := u.WriteAt([]byte("x"), maxSize); !is(err, problem.FileLarge) {
		t.Errorf("WriteAt(1 GiB) = %v; want %s", err, problem.FileLarge)
	}
	if _, err := u.WriteAt([]byte("x"), -1); err == nil {
		t.Error("WriteAt(-1) = nil; want an error")
	}
	// A client that does not look at the answer must not commit the rest.
	if err := u.Commit(); !is(err, problem.FileLarge) {
		t.Errorf("Commit after a failed write = %v; want %s", err, problem.FileLarge)
	}
	u.Discard()
	if err := f.WriteNew(admin, "f", []byte("x")); !is(err, problem.FileExists) {
		t.Errorf("WriteNew = %v; want %s", err, problem.FileExists)
	}
	if left, _ := filepath.Glob(f.path(".new-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestNewFileLosesTheRace(t *testing.T) {
	f := newFixture(t)
	u, err := f.CreateNew(admin, "f")
	f.check(err)
	f.put("f", "first")
	if err := u.Commit(); !is(err, problem.FileExists) {
		t.Errorf("Commit = %v; want %s", err, problem.FileExists)
	}
	if got, _ := f.get(admin, "f"); got != "first" {
		t.Errorf("f holds %q; want first", got)
	}
}

func TestDiskReserve(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		free, total uint64
		want        problem.Code
	}{
		{64 * mib, 256 * mib, ""}, {64*mib - 1, 256 * mib, problem.DiskFull},
		{500 * mib, 20000 * mib, problem.DiskFull}, {1100 * mib, 20000 * mib, ""},
	} {
		f := newFixture(t)
		f.space, f.disk = tt.free, tt.total
		if u, err := f.Create(admin, "f"); !is(err, tt.want) {
			t.Errorf("Create with %d of %d free = %v; want %q", tt.free, tt.total, err, tt.want)
		} else if err == nil {
			u.Discard()
		}
	}
	f := newFixture(t)
	u, err := f.Create(admin, "f")
	f.check(err)
	defer u.Discard()
	f.space = 63 * mib
	block := make([]byte, 32<<10)
	var n int64
	for ; err == nil && n < 4*mib; n += int64(len(block)) {
		_, err = u.WriteAt(block, n)
	}
	if !is(err, problem.DiskFull) || n > freeEvery {
		t.Errorf("writing to a filling disk: %v after %d bytes; want %s within %d", err, n, problem.DiskFull, freeEvery)
	}
}

func TestFilesAreCounted(t *testing.T) {
	f := newFixture(t)
	for i := range maxFiles {
		f.check(os.WriteFile(f.path(fmt.Sprint("f", i)), nil, 0o640))
	}
	if _, err := f.Create(admin, "more"); !is(err, problem.FilesFull) {
		t.Errorf("Create = %v; want %s", err, problem.FilesFull)
	}
	f.put("f1", "replaced")
}

func TestPrepareSweepsOldUploadsOnly(t *testing.T) {
	f := newFixture(t)
	f.check(os.WriteFile(f.path(".new-old"), nil, 0o600))
	old := time.Now().Add(-2 * staleUpload)
	f.check(os.Chtimes(f.path(".new-old"), old, old))
	u, err := f.Create(admin, "f")
	f.check(err)
	f.check(f.Prepare())
	f.check(u.Commit())
	if _, err := os.Stat(f.path(".new-old")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("old upload: %v; want it gone", err)
	}
}

func TestReadIsBounded(t *testing.T) {
	f := newFixture(t)
	f.put("max", strings.Repeat("x", maxRead))
	f.put("more", strings.Repeat("x", maxRead+1))
	if data, err := f.Read("max"); err != nil || len(data) != maxRead {
		t.Errorf("Read(max) = %d bytes, %v; want %d", len(data), err, maxRead)
	}
	if _, err := f.Read("more"); !is(err, problem.FileLarge) {
		t.Errorf("Read(more) = %v; want %s", err, problem.FileLarge)
	}
}

// Uploads, renames and removals of several processes leave whole files only.
func TestManyAtOnce(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s := NewStore(f.cfg, Deps{Free: f.deps.Free})
			for j := range 20 {
				name, text := fmt.Sprint("f", j%3), bytes.Repeat([]byte{byte('a' + i)}, 5000)
				u, err := s.Create(admin, name)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := u.Write(text); err != nil {
					t.Error(err)
				}
				if err := u.Commit(); err != nil {
					t.Error(err)
				}
				if err := s.Rename(admin, name, fmt.Sprint("g", i), true); !is(err, "") && !is(err, problem.FileUnknown) {
					t.Error(err)
				}
				if data, err := s.Read(fmt.Sprint("f", j%3)); err == nil && bytes.Count(data, data[:1]) != 5000 {
					t.Errorf("a file of %d bytes is of several uploads", len(data))
				}
			}
		})
	}
	wg.Wait()
}

func TestUploadGivenUpLeavesTheOldFile(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int64
		want string
		code problem.Code
	}{
		{"whole", 3, "new", ""},
		{"given up", 2, "old", problem.UploadCut},
		{"longer than was sent", 4, "old", problem.UploadCut},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.put("f", "old")
			u, err := f.Create(admin, "f")
			f.check(err)
			defer u.Discard()
			_, err = u.Write([]byte("new"))
			f.check(err)
			if err := u.SetSize(tt.size); problem.CodeOf(err) != tt.code {
				t.Errorf("SetSize(%d) = %v; want %q", tt.size, err, tt.code)
			}
			if err := u.Commit(); problem.CodeOf(err) != tt.code {
				t.Errorf("Commit = %v; want %q", err, tt.code)
			}
			if got, _ := f.get(admin, "f"); got != tt.want {
				t.Errorf("f holds %q; want %q", got, tt.want)
			}
		})
	}
}
