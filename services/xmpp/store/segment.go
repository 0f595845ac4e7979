package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"parley/services/durable"
)

// newSegment makes the file of a segment, of a spare one where there is. It
// gets its name when its header is on the disk. Caller holds w.
func (j *journal) newSegment(h segmentHeader) (*segment, error) {
	path := j.segmentPath(h.seq)
	from := ""
	if h.size == uint64(j.opt.segment) && len(j.spares) > 0 {
		from = j.spares[len(j.spares)-1]
		j.spares = j.spares[:len(j.spares)-1]
	} else {
		from = j.sparePath()
		if err := j.allocate(from, int64(h.size)); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(from, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	if _, err = f.WriteAt(h.encode(), 0); err == nil {
		err = j.sync(f)
	}
	if err == nil {
		err = os.Rename(from, path)
	}
	if err == nil {
		err = j.syncDir()
	}
	if err != nil {
		f.Close()
		os.Remove(from)
		return nil, fmt.Errorf("make segment: %w", err)
	}
	return &segment{seq: h.seq, size: int64(h.size), f: f}, nil
}

func (j *journal) sparePath() string {
	j.spareNo++
	return filepath.Join(j.dir, fmt.Sprintf("%s%d", sparePrefix, j.spareNo))
}

// allocate makes a file of zeroes. They are written: a block that is merely
// reserved costs a change of the file system's structure when it is first used.
func (j *journal) allocate(path string, size int64) (err error) {
	temp := filepath.Join(filepath.Dir(path), durable.TempPrefix+filepath.Base(path))
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("make segment: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err == nil {
			err = os.Rename(temp, path)
		}
		if err != nil {
			os.Remove(temp)
			err = fmt.Errorf("make segment: %w", err)
		}
	}()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	zeroes := make([]byte, 256<<10)
	for at := int64(0); at < size; at += int64(len(zeroes)) {
		if _, err := f.WriteAt(zeroes[:min(int64(len(zeroes)), size-at)], at); err != nil {
			return err
		}
	}
	return j.sync(f)
}

// needSpare has a spare segment made where there is none, so that an append
// does not have to. Caller holds w, or is alone.
func (j *journal) needSpare() {
	if len(j.spares) > 0 || j.closed {
		return
	}
	path := j.sparePath()
	j.making.Go(func() {
		// Without room there is none; the append will say so.
		if err := j.allocate(path, j.opt.segment); err != nil {
			return
		}
		j.w.Lock()
		defer j.w.Unlock()
		j.spares = append(j.spares, path)
	})
}
