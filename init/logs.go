package pid1

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"parley/services/journal"
)

// maxHeld bounds what is logged before there is a place for it.
const maxHeld = 2000

// held is a log that keeps its lines until the state folder is there, and
// lets them go after it is not.
type held struct {
	mu    sync.Mutex
	file  *journal.File
	lines []string
}

func (h *held) Line(l string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file != nil {
		return h.file.Line(l)
	}
	if len(h.lines) < maxHeld {
		h.lines = append(h.lines, l)
	}
	return nil
}

func (h *held) open(file *journal.File) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.file = file
	for _, l := range h.lines {
		if err := h.file.Line(l); err != nil {
			return err
		}
	}
	h.lines = nil
	return nil
}

func (h *held) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file != nil {
		_ = h.file.Close()
		h.file = nil
	}
}

// logs is both log files.
type logs struct {
	*journal.Journal
	syslog, audit *held
}

func newLogs() *logs {
	l := &logs{syslog: &held{}, audit: &held{}}
	l.Journal = journal.NewOn(l.syslog, l.audit, nil)
	return l
}

func (l *logs) open(dir string) error {
	if err := l.syslog.open(journal.NewFile(filepath.Join(dir, journal.Syslog))); err != nil {
		return err
	}
	return l.audit.open(journal.NewDurableFile(filepath.Join(dir, journal.Audit)))
}

// syncEvery bounds what a power cut takes from syslog; the kernel by itself
// leaves half a minute of lines in memory. Audit lines are durable at once.
const syncEvery = 2 * time.Second

// keep makes syslog durable now and then, until ctx ends.
func (l *logs) keep(ctx context.Context) {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.syslog.sync()
		}
	}
}

// sync reports no error: it would have to be logged to the same disk.
func (h *held) sync() {
	h.mu.Lock()
	f := h.file
	h.mu.Unlock()
	if f != nil {
		_ = f.Sync()
	}
}

func (l *logs) close() {
	l.syslog.close()
	l.audit.close()
}
