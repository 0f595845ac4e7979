package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// raftLog is Raft's log and stable store on the disk, with what Raft lacks for
// a disk that fills up: it steps down where an append fails, which is right,
// and then panics where it cannot store the next term, which is not.
type raftLog struct {
	*journal
	stable *stable
	disk   *disk
	// stop ends waiting for room.
	stop <-chan struct{}
	// fatal takes the first error that is not a lack of room.
	fatal chan<- error
	// grown counts the bytes appended since the log was last truncated.
	grown atomic.Int64
	// backlog says that what was applied cannot be written: then the log
	// must not grow either.
	backlog func() bool
	// alone says that this node is the one voter, and leads that it is the
	// leader of several.
	alone, leads func() bool
}

// onDisk waits until the entry at index is on this node's disk. A leader of
// several does not wait for that before it sends its entries out, so that all
// disks write at once. It counts itself at once too, so the others must not be
// counted before its own disk has the entry: what is committed is on the disks
// of a majority, the leader's among them. Nor may one that has led confirm to
// the next leader what it has stored so.
func (l *raftLog) onDisk(index uint64) error {
	err := l.journal.onDisk(index)
	if err != nil {
		l.fail(err)
	}
	return err
}

// StoreLogs implements raft.LogStore. After an error for lack of room nothing
// is stored. The first entry of a leader without peers, the no-op, waits for
// room: nobody waits for it, and to refuse it would only start the next
// election. With peers another node may have room.
func (l *raftLog) StoreLogs(logs []*raft.Log) error {
	var err error
	if l.backlog() {
		err = fmt.Errorf("changes are not written: %w", l.disk.note(syscall.ENOSPC))
	} else if len(logs) == 1 && logs[0].Type == raft.LogNoop && l.alone() {
		err = l.disk.wait(l.stop, func() error { return l.journal.StoreLogs(logs) })
	} else if l.leads() && !slices.ContainsFunc(logs, isConfiguration) {
		err = l.disk.note(l.journal.storeSoon(logs))
	} else {
		err = l.disk.note(l.journal.StoreLogs(logs))
	}
	if err != nil && !isFull(err) {
		l.fail(err)
	}
	for _, e := range logs {
		l.grown.Add(int64(len(e.Data)) + 64)
	}
	return err
}

// isConfiguration is of entries that may make this node the one voter, whose
// own disk is the majority.
func isConfiguration(e *raft.Log) bool { return e.Type == raft.LogConfiguration }

// StoreLog implements raft.LogStore.
func (l *raftLog) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// DeleteRange implements raft.LogStore.
func (l *raftLog) DeleteRange(first, last uint64) error {
	l.grown.Store(0)
	if l.disk.full(true) {
		l.journal.keepNothing()
	}
	err := l.disk.note(l.journal.DeleteRange(first, last))
	if err != nil && !isFull(err) {
		l.fail(err)
	}
	return err
}

// GetLog implements raft.LogStore. Raft panics where it cannot read an entry.
func (l *raftLog) GetLog(index uint64, e *raft.Log) error {
	err := l.journal.GetLog(index, e)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		l.fail(err)
		runtime.Goexit()
	}
	return err
}

// Close closes the files.
func (l *raftLog) Close() error { return errors.Join(l.journal.Close(), l.stable.Close()) }

// Get implements raft.StableStore.
func (l *raftLog) Get(k []byte) ([]byte, error) { return l.stable.Get(k) }

// GetUint64 implements raft.StableStore.
func (l *raftLog) GetUint64(k []byte) (uint64, error) { return l.stable.GetUint64(k) }

// Set implements raft.StableStore.
func (l *raftLog) Set(k, v []byte) error {
	return l.must(func() error { return l.stable.Set(k, v) })
}

// SetUint64 implements raft.StableStore.
func (l *raftLog) SetUint64(k []byte, v uint64) error {
	return l.must(func() error { return l.stable.SetUint64(k, v) })
}

// must waits until there is room. Raft panics on any error here, and must not
// go on as if there were none: so where the store is being closed, or the disk
// is broken, Raft's goroutine ends instead, and Run with it.
func (l *raftLog) must(f func() error) error {
	err := l.disk.wait(l.stop, f)
	if err != nil {
		l.fail(err)
		runtime.Goexit()
	}
	return nil
}

func (l *raftLog) fail(err error) {
	select {
	case l.fatal <- err:
	default:
	}
}

// raftLogger passes Raft's log lines on. Elections are news at most, and a
// single voter holds one at each start.
func raftLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Output: io.Discard, Level: hclog.Info})
	l.RegisterSink(sinkTo{log})
	return l
}

type sinkTo struct{ log *slog.Logger }

func (s sinkTo) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case hclog.Warn:
		to = slog.LevelInfo
	case hclog.Error:
		to = slog.LevelError
		for _, p := range repeated {
			if strings.HasPrefix(msg, p) {
				to = slog.LevelDebug
			}
		}
	}
	s.log.Log(context.Background(), to, msg, args...)
}

// repeated are Raft's words about a node that cannot be reached, several a
// second; that it cannot is told elsewhere, once.
var repeated = []string{
	"failed to heartbeat", "failed to appendEntries", "failed to pipeline", "failed to start pipeline", "failed to make requestVote",
	"failed to contact", "failed to decode incoming command", "failed to flush response", "failed to accept connection",
}
