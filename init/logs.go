package pid1

import (
	"path/filepath"
	"sync"

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

func (h *held) open(path string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.file = journal.NewFile(path)
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
	if err := l.syslog.open(filepath.Join(dir, journal.Syslog)); err != nil {
		return err
	}
	return l.audit.open(filepath.Join(dir, journal.Audit))
}

func (l *logs) close() {
	l.syslog.close()
	l.audit.close()
}
