package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"
)

// poll is how often a follower looks for more.
const poll = 200 * time.Millisecond

// Reader reads a log file and its rotated ones while others write them. It may
// be used by any number of goroutines.
type Reader struct{ path string }

// NewReader returns a reader of the log at path, which need not exist yet.
func NewReader(path string) *Reader { return &Reader{path: path} }

// Position is a place between two lines. The zero Position is before the
// oldest line that is still kept.
type Position struct {
	inode  uint64
	offset int64
}

// Tail returns the last n lines, oldest first, and the position after them:
// Follow from there neither repeats nor misses a line.
func (r *Reader) Tail(n int) ([]string, Position, error) {
	files, err := r.open()
	if err != nil {
		return nil, Position{}, err
	}
	defer closeAll(files)
	var lines []string
	var end Position
	for _, f := range slices.Backward(files) {
		size := f.complete()
		if end == (Position{}) {
			end = Position{f.inode, size}
		}
		got, err := lastLines(f.File, size, n-len(lines))
		if err != nil {
			return nil, Position{}, fmt.Errorf("read %s: %w", r.path, err)
		}
		lines = append(got, lines...)
		if len(lines) >= n {
			break
		}
	}
	return lines, end, nil
}

// Follow calls emit for each line after from, as they come, until ctx ends or
// emit returns an error, which it returns. A follower that falls behind by more
// than is kept goes on with the oldest line.
func (r *Reader) Follow(ctx context.Context, from Position, emit func(line string) error) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		var err error
		if from, err = r.advance(from, emit); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// advance emits what there is after from. All files but the last are read to
// their end for good: nothing is added to a rotated file.
func (r *Reader) advance(from Position, emit func(string) error) (Position, error) {
	files, err := r.open()
	if err != nil {
		return from, err
	}
	defer closeAll(files)
	at := max(0, slices.IndexFunc(files, func(f logFile) bool { return f.inode == from.inode }))
	for _, f := range files[at:] {
		if f.inode != from.inode {
			from = Position{inode: f.inode}
		}
		size := f.complete()
		if from.offset > size {
			// Another file has got the inode of the one that we knew.
			from.offset = 0
		}
		data := make([]byte, 64<<10)
		var partial []byte
		for from.offset+int64(len(partial)) < size {
			start := from.offset + int64(len(partial))
			n, err := f.ReadAt(data[:min(int64(len(data)), size-start)], start)
			if n == 0 {
				return from, fmt.Errorf("read %s: %w", r.path, err)
			}
			partial = append(partial, data[:n]...)
			for {
				line, rest, ok := bytes.Cut(partial, []byte{'\n'})
				if !ok {
					break
				}
				from.offset += int64(len(line)) + 1
				if err := emit(Clean(string(line))); err != nil {
					return from, err
				}
				partial = rest
			}
		}
	}
	return from, nil
}

// logFile is one open file of a log.
type logFile struct {
	*os.File
	inode uint64
}

// complete is the length up to the end of the last whole line.
func (f logFile) complete() int64 {
	fi, err := f.Stat()
	if err != nil {
		return 0
	}
	size := fi.Size()
	buf := make([]byte, 4<<10)
	for size > 0 {
		start := max(0, size-int64(len(buf)))
		n, _ := f.ReadAt(buf[:size-start], start)
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return start + int64(i) + 1
		}
		size = start
	}
	return 0
}

// open opens the files, oldest first, as they are at one moment: if a rotation
// happened meanwhile it tries again.
func (r *Reader) open() ([]logFile, error) {
	for {
		var files []logFile
		for i := range maxOld + 1 {
			f, err := os.Open(old(r.path, i))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				closeAll(files)
				return nil, fmt.Errorf("open log: %w", err)
			}
			inode, err := inodeOf(f.Stat())
			if err != nil {
				f.Close()
				closeAll(files)
				return nil, fmt.Errorf("open log: %w", err)
			}
			files = append(files, logFile{f, inode})
		}
		slices.Reverse(files)
		if r.settled(files) {
			return files, nil
		}
		closeAll(files)
	}
}

// settled says that files, opened one after the other, are what the names meant
// at one moment.
func (r *Reader) settled(files []logFile) bool {
	seen := map[uint64]bool{}
	for _, f := range files {
		if seen[f.inode] {
			return false
		}
		seen[f.inode] = true
	}
	now, err := inodeOf(os.Stat(r.path))
	// Between a rotation and the next line there is no file of that name.
	return err != nil || len(files) > 0 && files[len(files)-1].inode == now
}

func inodeOf(fi fs.FileInfo, err error) (uint64, error) {
	if err != nil {
		return 0, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	return st.Ino, nil
}

func closeAll(files []logFile) {
	for _, f := range files {
		f.Close()
	}
}

// lastLines returns the last n lines of the first size bytes.
func lastLines(f io.ReaderAt, size int64, n int) ([]string, error) {
	if n <= 0 {
		return nil, nil
	}
	var data []byte
	for start := size; start > 0 && bytes.Count(data, []byte{'\n'}) <= n; {
		step := min(start, 64<<10)
		block := make([]byte, step, step+int64(len(data)))
		if _, err := f.ReadAt(block, start-step); err != nil {
			return nil, err
		}
		data = append(block, data...)
		start -= step
	}
	var lines []string
	for line := range bytes.Lines(data) {
		lines = append(lines, Clean(string(line)))
	}
	return lines[max(0, len(lines)-n):], nil
}
