package store

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// isFull says that err is a lack of room, which passes, rather than damage.
// bbolt hides the errno of a file that cannot be extended in a text.
func isFull(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if err != nil && (errors.Is(err, e) || strings.HasSuffix(err.Error(), e.Error())) {
			return true
		}
	}
	return false
}

// disk knows whether there is room. It may be used from any goroutine.
type disk struct {
	dir     string
	reserve uint64
	// waiting counts writers that retry until there is room.
	waiting atomic.Int32
	// last is when a write last found no room, in Unix nanoseconds.
	last atomic.Int64
}

// retry is the pause between attempts of a write that found no room, and how
// long after such a failure changes are refused without an attempt: each
// attempt that fails costs an election.
const retry = 200 * time.Millisecond

// note remembers a lack of room and returns err as it is.
func (d *disk) note(err error) error {
	if isFull(err) {
		d.last.Store(time.Now().UnixNano())
	}
	return err
}

// full says whether a change is to be refused. The reserve is for changes
// that free room, and for Raft's own writes.
func (d *disk) full(grows bool) bool {
	if d.waiting.Load() > 0 || time.Since(time.Unix(0, d.last.Load())) < retry {
		return true
	}
	if !grows || d.reserve == 0 {
		return false
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &fs); err != nil {
		return false
	}
	return fs.Bavail*uint64(fs.Bsize) < d.reserve
}

// wait repeats f until it does not fail for lack of room, or stop closes.
func (d *disk) wait(stop <-chan struct{}, f func() error) error {
	err := d.note(f())
	if !isFull(err) {
		return err
	}
	d.waiting.Add(1)
	defer d.waiting.Add(-1)
	tick := time.NewTicker(retry)
	defer tick.Stop()
	for isFull(err) {
		select {
		case <-stop:
			return fmt.Errorf("%w: %w", ErrClosed, err)
		case <-tick.C:
			err = f()
		}
	}
	return err
}
