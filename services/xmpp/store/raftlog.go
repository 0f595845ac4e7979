package store

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// raftLog is Raft's log and stable store on the disk, with what Raft lacks for
// a disk that fills up: it steps down where an append fails, which is right,
// and then panics where it cannot store the next term, which is not.
type raftLog struct {
	*raftboltdb.BoltStore
	disk *disk
	// stop ends waiting for room.
	stop <-chan struct{}
	// fatal takes the first error that is not a lack of room.
	fatal chan<- error
	// grown counts the bytes appended since the log was last truncated.
	grown atomic.Int64
}

// StoreLogs implements raft.LogStore. After an error for lack of room nothing
// is stored. A leader's first entry, the no-op, waits for room: nobody waits
// for it, and to refuse it would only start the next election.
func (l *raftLog) StoreLogs(logs []*raft.Log) error {
	var err error
	if len(logs) == 1 && logs[0].Type == raft.LogNoop {
		err = l.disk.wait(l.stop, func() error { return l.BoltStore.StoreLogs(logs) })
	} else {
		err = l.disk.note(l.BoltStore.StoreLogs(logs))
	}
	if err != nil && !isFull(err) {
		l.fail(err)
	}
	for _, e := range logs {
		l.grown.Add(int64(len(e.Data)) + 64)
	}
	return err
}

// StoreLog implements raft.LogStore.
func (l *raftLog) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// DeleteRange implements raft.LogStore.
func (l *raftLog) DeleteRange(first, last uint64) error {
	l.grown.Store(0)
	return l.disk.note(l.BoltStore.DeleteRange(first, last))
}

// Set implements raft.StableStore.
func (l *raftLog) Set(k, v []byte) error {
	return l.must(func() error { return l.BoltStore.Set(k, v) })
}

// SetUint64 implements raft.StableStore. Raft stores the term that it has just
// read whenever it starts.
func (l *raftLog) SetUint64(k []byte, v uint64) error {
	if old, err := l.BoltStore.GetUint64(k); err == nil && old == v {
		return nil
	}
	return l.must(func() error { return l.BoltStore.SetUint64(k, v) })
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
	}
	s.log.Log(context.Background(), to, msg, args...)
}
