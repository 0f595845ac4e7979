package eventlog

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"parley/services/durable"
	"parley/services/eventlog/eventlogapi"
	"parley/services/eventlog/watch"
)

// posted is a fault and who is to take it off.
type posted struct {
	eventlogapi.Fault
	// Watched is a fault that the watcher found; all others are of services.
	Watched bool `json:"watched,omitempty"`
}

// board is what lasts: faults and traces. It is guarded by its server's mutex.
type board struct {
	path string
	log  *slog.Logger

	faults map[string]posted
	traces map[string]time.Time
}

// saved is the file of a board.
type saved struct {
	Faults []posted             `json:"faults"`
	Traces map[string]time.Time `json:"traces"`
}

func newBoard(path string, log *slog.Logger) *board {
	return &board{path: path, log: log, faults: map[string]posted{}, traces: map[string]time.Time{}}
}

// open takes what an earlier process of this boot has saved. Without it the
// board fills again by itself.
func (b *board) open() {
	if b.path == "" {
		return
	}
	var s saved
	data, err := os.ReadFile(b.path)
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			b.log.Warn("read faults", "err", err)
		}
		return
	}
	for _, p := range s.Faults {
		b.faults[p.Key] = p
	}
	for subsystem, until := range s.Traces {
		b.traces[subsystem] = until
	}
}

func (b *board) save() {
	if b.path == "" {
		return
	}
	data, err := json.Marshal(saved{b.sorted(), b.traces})
	if err == nil {
		err = durable.WriteFile(b.path, data, 0o640)
	}
	if err != nil {
		b.log.Warn("save faults", "err", err)
	}
}

// sorted are the faults, the oldest first.
func (b *board) sorted() []posted {
	all := make([]posted, 0, len(b.faults))
	for _, p := range b.faults {
		all = append(all, p)
	}
	slices.SortFunc(all, func(x, y posted) int {
		return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.Key, y.Key))
	})
	return all
}

// post adds a fault, or changes one, and says whether its words are new.
func (b *board) post(p posted, now time.Time) (news bool) {
	p.Message, p.Hint = text(p.Message), text(p.Hint)
	old, there := b.faults[p.Key]
	switch {
	case there:
		p.Since = old.Since
	case p.Since.IsZero():
		p.Since = now
	}
	p.Since = p.Since.UTC().Truncate(time.Millisecond)
	if there && old == p {
		return false
	}
	b.faults[p.Key] = p
	return !there || old.Message != p.Message
}

// watched are the faults of the watcher, by key.
func (b *board) watched() map[string]eventlogapi.Fault {
	m := map[string]eventlogapi.Fault{}
	for key, p := range b.faults {
		if p.Watched {
			m[key] = p.Fault
		}
	}
	return m
}

// settle makes the watcher's faults those that it found. news are those whose
// words are new, over those that are taken off.
func (b *board) settle(found []watch.Condition, now time.Time) (news []watch.Condition, over []eventlogapi.Fault) {
	before := b.sorted()
	still := map[string]bool{}
	for _, c := range found {
		still[c.Key] = true
		if b.post(posted{c.Fault, true}, now) {
			news = append(news, c)
		}
	}
	for _, p := range before {
		if p.Watched && !still[p.Key] {
			delete(b.faults, p.Key)
			over = append(over, p.Fault)
		}
	}
	if !slices.Equal(before, b.sorted()) {
		b.save()
	}
	return news, over
}
