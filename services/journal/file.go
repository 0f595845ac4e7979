package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Bounds of a log: the file in use and the rotated ones beside it, name.1 (the
// youngest) to name.3.
const (
	maxSize = 8 << 20
	maxOld  = 3
)

// File is a log file that is written. Any number of processes of one uid may
// write one file through a File each: rotation and each line are under a lock.
// Invariant: a file that has been rotated is never written again, which lets a
// reader leave it at its end.
type File struct {
	path string
	// size is when to rotate.
	size int64
	// durable: a line has reached the disk when Line returns.
	durable bool

	mu    sync.Mutex
	lock  *os.File
	f     *os.File
	dirty bool
}

var _ Sink = (*File)(nil)

// NewFile returns the file at path; it is opened by the first line.
func NewFile(path string) *File { return &File{path: path, size: maxSize} }

// NewDurableFile returns the file at path, each line of which has reached the
// disk when Line returns.
func NewDurableFile(path string) *File { return &File{path: path, size: maxSize, durable: true} }

// Sync makes the lines so far durable. Lines may be written meanwhile.
func (w *File) Sync() error {
	w.mu.Lock()
	f, dirty := w.f, w.dirty
	w.dirty = false
	w.mu.Unlock()
	if f == nil || !dirty {
		return nil
	}
	// A rotation may have closed it, and the kernel then writes it in its
	// own time.
	if err := f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("sync %s: %w", w.path, err)
	}
	return nil
}

// Line appends one line. A line that does not fit on the disk is not written
// at all.
func (w *File) Line(line string) error {
	data := append([]byte(Clean(line)), '\n')
	w.mu.Lock()
	defer w.mu.Unlock()
	unlock, err := w.acquire()
	if err != nil {
		return err
	}
	defer unlock()
	size, err := w.open()
	if err != nil {
		return err
	}
	if size > 0 && size+int64(len(data)) > w.size {
		if err := w.rotate(); err != nil {
			return err
		}
		if size, err = w.open(); err != nil {
			return err
		}
	}
	if _, err := w.f.Write(data); err != nil {
		// Half a line would spoil the next one.
		_ = w.f.Truncate(size)
		return fmt.Errorf("write %s: %w", w.path, err)
	}
	w.dirty = true
	if w.durable {
		w.dirty = false
		if err := w.f.Sync(); err != nil {
			return fmt.Errorf("sync %s: %w", w.path, err)
		}
	}
	return nil
}

// Close releases the file; the next line would open it again.
func (w *File) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lock != nil {
		w.lock.Close()
		w.lock = nil
	}
	return w.drop()
}

func (w *File) drop() error {
	if w.f == nil {
		return nil
	}
	err := w.f.Close()
	w.f = nil
	return err
}

// acquire locks a file beside the log that only writers can open. The log
// itself would not do: who may only read it could then hold writers up.
func (w *File) acquire() (unlock func(), err error) {
	if w.lock == nil {
		if err := os.MkdirAll(filepath.Dir(w.path), 0o750); err != nil {
			return nil, fmt.Errorf("create folder of %s: %w", w.path, err)
		}
		name := filepath.Join(filepath.Dir(w.path), "."+filepath.Base(w.path)+".lock")
		if w.lock, err = os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
			return nil, fmt.Errorf("lock %s: %w", w.path, err)
		}
	}
	fd := int(w.lock.Fd())
	for {
		err = unix.Flock(fd, unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", w.path, err)
	}
	return func() { _ = unix.Flock(fd, unix.LOCK_UN) }, nil
}

// open makes w.f the file that has the name now and returns its size.
func (w *File) open() (int64, error) {
	if w.f != nil {
		have, err1 := w.f.Stat()
		named, err2 := os.Stat(w.path)
		if err1 == nil && err2 == nil && os.SameFile(have, named) {
			return have.Size(), nil
		}
		_ = w.drop()
	}
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o640)
	if err != nil {
		return 0, fmt.Errorf("open log: %w", err)
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return 0, fmt.Errorf("open log: %w", err)
	}
	w.f = f
	return mend(f, fi.Size())
}

// mend ends what a power cut left at the end of the file: zeros where lines
// had a place but did not reach the disk, and half a line. It returns the size.
func mend(f *os.File, size int64) (int64, error) {
	end := size
	block := make([]byte, 4<<10)
	for end > 0 {
		n := min(end, int64(len(block)))
		if _, err := f.ReadAt(block[:n], end-n); err != nil {
			return 0, fmt.Errorf("mend log: %w", err)
		}
		text := bytes.TrimRight(block[:n], "\x00")
		end -= n - int64(len(text))
		if len(text) == 0 {
			continue
		}
		if end < size {
			if err := f.Truncate(end); err != nil {
				return 0, fmt.Errorf("mend log: %w", err)
			}
		}
		if text[len(text)-1] == '\n' {
			return end, nil
		}
		if _, err := f.Write([]byte{'\n'}); err != nil {
			return 0, fmt.Errorf("mend log: %w", err)
		}
		return end + 1, nil
	}
	if size > 0 {
		if err := f.Truncate(0); err != nil {
			return 0, fmt.Errorf("mend log: %w", err)
		}
	}
	return 0, nil
}

func (w *File) rotate() error {
	_ = w.drop()
	for i := maxOld; i > 0; i-- {
		if err := os.Rename(old(w.path, i-1), old(w.path, i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rotate: %w", err)
		}
	}
	return nil
}

// old is the name of the i-th rotated file; the 0th is the one in use.
func old(path string, i int) string {
	if i == 0 {
		return path
	}
	return path + "." + strconv.Itoa(i)
}
