package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"parley/services/durable"
	"parley/services/problem"
)

// What uploads leave free on the disk, for the services' own state: the larger
// of the two.
const (
	reserveBytes   = 64 << 20
	reservePercent = 5
)

// Bounds of the root.
const (
	maxFiles = 1000
	maxSize  = 1 << 30
)

// freeEvery is how many bytes an upload writes before it asks again how much
// is free.
const freeEvery = 1 << 20

// Create starts an upload. The file appears under its name, or replaces the one
// that has it, with Commit; until then nothing has changed.
func (s *Store) Create(who Who, name string) (*Upload, error) {
	return s.create(who, name, true)
}

// CreateNew is Create for a name that must be free, now and at Commit.
func (s *Store) CreateNew(who Who, name string) (*Upload, error) {
	return s.create(who, name, false)
}

// Append is Create with the present content, if any, to start from.
func (s *Store) Append(who Who, name string) (*Upload, error) {
	u, err := s.create(who, name, true)
	if err != nil {
		return nil, err
	}
	f, err := s.open(name)
	if problem.CodeOf(err) == problem.FileUnknown {
		return u, nil
	}
	if err == nil {
		_, err = io.Copy(u, f)
		f.Close()
	}
	if err != nil {
		u.Discard()
		return nil, err
	}
	return u, nil
}

// WriteNew stores a whole new file; it refuses a name that is taken.
func (s *Store) WriteNew(who Who, name string, data []byte) error {
	u, err := s.CreateNew(who, name)
	if err != nil {
		return err
	}
	defer u.Discard()
	if _, err := u.Write(data); err != nil {
		return err
	}
	return u.Commit()
}

func (s *Store) create(who Who, name string, replace bool) (*Upload, error) {
	if err := s.mayChange(who, name); err != nil {
		return nil, err
	}
	there, err := s.exists(name)
	if err != nil {
		return nil, err
	}
	if there {
		if !replace {
			return nil, problem.New(problem.FileExists, "file", name)
		}
		if err := s.unlocked(name); err != nil {
			return nil, err
		}
	} else if names, err := s.Names(); err != nil {
		return nil, err
	} else if len(names) >= maxFiles {
		return nil, problem.New(problem.FilesFull, "max", strconv.Itoa(maxFiles))
	}
	if err := s.room(name); err != nil {
		return nil, err
	}
	f, err := durable.Create(s.path(name), 0o640)
	if err != nil {
		return nil, full(name, err)
	}
	return &Upload{store: s, who: who, name: name, replace: replace, file: f}, nil
}

// room says whether the disk can take more.
func (s *Store) room(name string) error {
	free, total, err := s.deps.Free(s.cfg.Dir)
	if err != nil {
		return err
	}
	if free < max(reserveBytes, total/100*reservePercent) {
		return problem.New(problem.DiskFull, "file", name)
	}
	return nil
}

// Upload is a file on its way in. Its methods may be called from any
// goroutine, several at a time.
type Upload struct {
	store   *Store
	who     Who
	name    string
	replace bool
	file    *durable.File

	mu sync.Mutex
	// size is the end of what was written; unchecked counts the bytes since
	// the disk was last asked.
	size, unchecked int64
	err             error
}

// Write appends.
func (u *Upload) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.writeAt(p, u.size)
}

// WriteAt writes at an offset. After an error the upload cannot be committed.
func (u *Upload) WriteAt(p []byte, off int64) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.writeAt(p, off)
}

func (u *Upload) writeAt(p []byte, off int64) (n int, err error) {
	if u.err != nil {
		return 0, u.err
	}
	defer func() { u.err = err }()
	end := off + int64(len(p))
	if off < 0 || end > maxSize {
		return 0, problem.New(problem.FileLarge, "file", u.name, "max", "1 GiB")
	}
	u.unchecked += int64(len(p))
	if u.unchecked >= freeEvery {
		u.unchecked = 0
		if err := u.store.room(u.name); err != nil {
			return 0, err
		}
	}
	if n, err = u.file.WriteAt(p, off); err != nil {
		return n, full(u.name, err)
	}
	u.size = max(u.size, end)
	return n, nil
}

// SetSize takes a client's word of where the file ends. At the end of what was
// written that changes nothing; before it, the client has given up in the
// middle, and the upload can not be committed.
func (u *Upload) SetSize(size int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil && size != u.size {
		u.err = problem.New(problem.UploadCut, "file", u.name)
	}
	return u.err
}

// Commit puts the file in place.
func (u *Upload) Commit() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return u.err
	}
	u.err = os.ErrClosed
	s := u.store
	err := s.change(func() error {
		if err := s.mayPlace(u.name, u.replace); err != nil {
			return err
		}
		if err := u.file.Commit(); err != nil {
			return full(u.name, err)
		}
		return s.audit(u.who, fmt.Sprintf("write file %s, %d bytes", u.name, u.size))
	})
	if err != nil {
		u.file.Discard()
	}
	return err
}

// Discard ends an upload that is not wanted; after Commit it does nothing.
func (u *Upload) Discard() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err = os.ErrClosed
	u.file.Discard()
}

// full turns the kernel's word for a full disk into a problem.
func full(name string, err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return problem.New(problem.DiskFull, "file", name)
	}
	return err
}

func free(dir string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
}
