package eventlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"parley/services/durable"
	"parley/services/eventlog/eventlogapi"
)

// Bounds of what is kept; the oldest events go first. The file may be twice as
// large before it is written anew.
const (
	maxEvents = 10_000
	maxBytes  = 4 << 20
)

// retryMend is how soon a file that could not be written is tried again.
const retryMend = 10 * time.Second

// record is the events that are kept: in memory, and as lines of JSON in a
// file. Whole lines survive whatever happens; what was added last is on the
// disk once it is synced. It is guarded by its server's mutex, save sync.
//
// Invariant: unless behind, the file has all that memory has.
type record struct {
	path string
	log  *slog.Logger

	// events are in the order of their IDs, which go on over restarts.
	events []eventlogapi.Event
	bytes  int
	lastID uint64

	f *os.File
	// size and lines are the file's.
	size  int64
	lines int
	dirty bool
	// behind says that the file could not be written; tried is when it was
	// last tried anew.
	behind bool
	tried  time.Time
}

func newRecord(path string, log *slog.Logger) *record { return &record{path: path, log: log} }

// open reads the file and makes it ready for more. What is not a whole line is
// left out.
func (r *record) open() error {
	if err := os.MkdirAll(filepath.Dir(r.path), 0o750); err != nil {
		return fmt.Errorf("make folder of the event log: %w", err)
	}
	data, err := os.ReadFile(r.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the event log: %w", err)
	}
	whole := true
	for line := range bytes.Lines(data) {
		var e eventlogapi.Event
		if json.Unmarshal(line, &e) != nil || e.ID <= r.lastID || line[len(line)-1] != '\n' {
			whole = false
			continue
		}
		r.keep(e)
		r.lines++
	}
	r.size = int64(len(data))
	if whole {
		err = r.reopen()
	} else {
		r.log.Warn("the event log was not whole, what was is kept", "events", len(r.events))
		err = r.rewrite()
	}
	r.note(err)
	return nil
}

// add keeps events and gives them their IDs.
func (r *record) add(events []eventlogapi.Event) {
	if len(events) == 0 {
		return
	}
	var data []byte
	for _, e := range events {
		e.ID = r.lastID + 1
		r.keep(e)
		data = appendLine(data, e)
	}
	if r.behind {
		return
	}
	r.note(r.append(data, len(events)))
}

// keep adds an event to memory.
func (r *record) keep(e eventlogapi.Event) {
	r.events = append(r.events, e)
	r.bytes += weigh(e)
	r.lastID = e.ID
	drop := 0
	for len(r.events)-drop > maxEvents || r.bytes > maxBytes {
		r.bytes -= weigh(r.events[drop])
		drop++
	}
	r.events = r.events[drop:]
}

// weigh is about what a line takes.
func weigh(e eventlogapi.Event) int { return 100 + len(e.Message) + len(e.Hint) }

func appendLine(data []byte, e eventlogapi.Event) []byte {
	// Nothing in an event can fail to encode.
	line, _ := json.Marshal(e)
	return append(append(data, line...), '\n')
}

func (r *record) append(data []byte, lines int) error {
	if _, err := r.f.Write(data); err != nil {
		// Half a line may be there now; nothing is added to it, see mend.
		return fmt.Errorf("write the event log: %w", err)
	}
	r.size, r.lines, r.dirty = r.size+int64(len(data)), r.lines+lines, true
	if r.lines > 2*maxEvents || r.size > 2*maxBytes {
		return r.rewrite()
	}
	return nil
}

// clear replaces all events by e and says how many there were. Where that does
// not reach the disk nothing has changed.
func (r *record) clear(e eventlogapi.Event) (int, error) {
	old := *r
	e.ID = r.lastID + 1
	r.events, r.bytes = nil, 0
	r.keep(e)
	if err := r.rewrite(); err != nil {
		*r = old
		// Perhaps the file is new already, and only could not be opened.
		r.note(err)
		return 0, err
	}
	r.note(nil)
	return len(old.events), nil
}

// rewrite makes the file what memory has.
func (r *record) rewrite() error {
	var data []byte
	for _, e := range r.events {
		data = appendLine(data, e)
	}
	if err := durable.WriteFile(r.path, data, 0o640); err != nil {
		return fmt.Errorf("write the event log: %w", err)
	}
	r.size, r.lines, r.dirty = int64(len(data)), len(r.events), false
	return r.reopen()
}

// reopen opens the file that has the name now.
func (r *record) reopen() error {
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open the event log: %w", err)
	}
	r.close()
	r.f = f
	return nil
}

// note keeps whether the file is behind, and logs when that changes.
func (r *record) note(err error) {
	switch {
	case err != nil && !r.behind:
		r.log.Warn("the event log is in memory only for now", "err", err)
	case err == nil && r.behind:
		r.log.Info("the event log is on the disk again")
	}
	r.behind = err != nil
}

// mend writes a file that is behind, now and then.
func (r *record) mend(now time.Time) {
	if !r.behind || now.Sub(r.tried) < retryMend {
		return
	}
	r.tried = now
	r.note(r.rewrite())
}

// unsynced returns the file if it has lines that may not be on the disk yet.
func (r *record) unsynced() *os.File {
	if !r.dirty {
		return nil
	}
	r.dirty = false
	return r.f
}

// sync makes lines of f durable.
func (r *record) sync(f *os.File) {
	// One that was replaced meanwhile has nothing that the new one has not.
	if err := f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		r.log.Warn("sync the event log", "err", err)
	}
}

func (r *record) close() {
	if r.f != nil {
		r.f.Close()
		r.f = nil
	}
}
