package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"parley/services/eventlog/eventlogapi"
	"parley/services/journal"
	"parley/services/problem"
)

const (
	// maxText bounds message and hint, in bytes.
	maxText = 1 << 10
	// maxAnswer is the events of one answer.
	maxAnswer = 1000
)

// Log implements eventlogapi.API.
func (s *Server) Log(_ context.Context, events ...eventlogapi.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(time.Now(), events)
	return nil
}

// add files events and writes them to syslog. s.mu is held. A disk that takes
// no more is not the caller's trouble: the events are kept in memory.
func (s *Server) add(now time.Time, events []eventlogapi.Event) {
	events = slices.Clone(events)
	for i := range events {
		e := &events[i]
		*e = clean(*e, now)
		args := []any{}
		if e.Hint != "" {
			args = append(args, "hint", e.Hint)
		}
		s.log.Log(context.Background(), slogLevel(e.Level), e.Message, args...)
	}
	s.record.add(events)
}

// clean makes an event fit for a file, a terminal and a page.
func clean(e eventlogapi.Event, now time.Time) eventlogapi.Event {
	if e.Time.IsZero() {
		e.Time = now
	}
	e.Time = e.Time.UTC().Truncate(time.Millisecond)
	if e.Level != eventlogapi.Warning && e.Level != eventlogapi.Error {
		e.Level = eventlogapi.Info
	}
	e.Message, e.Hint = text(e.Message), text(e.Hint)
	return e
}

// text is one bounded line.
func text(s string) string {
	s = strings.TrimSpace(journal.Clean(s))
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

func slogLevel(l eventlogapi.Level) slog.Level {
	switch l {
	case eventlogapi.Warning:
		return slog.LevelWarn
	case eventlogapi.Error:
		return slog.LevelError
	}
	return slog.LevelInfo
}

// Events implements eventlogapi.API.
func (s *Server) Events(_ context.Context, q eventlogapi.Query) ([]eventlogapi.Event, error) {
	limit := q.Limit
	if limit <= 0 || limit > maxAnswer {
		limit = maxAnswer
	}
	text := strings.ToLower(q.Text)
	s.mu.Lock()
	defer s.mu.Unlock()
	found := []eventlogapi.Event{}
	for _, e := range slices.Backward(s.record.events) {
		switch {
		case e.ID <= q.After || len(found) == limit:
			return found, nil
		case q.Before != 0 && e.ID >= q.Before,
			len(q.Levels) > 0 && !slices.Contains(q.Levels, e.Level),
			!strings.Contains(strings.ToLower(e.Message), text):
			continue
		}
		found = append(found, e)
	}
	return found, nil
}

// Clear implements eventlogapi.API.
func (s *Server) Clear(_ context.Context, by string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := clean(eventlogapi.Event{Message: fmt.Sprintf(`%d log messages cleared by "%s"`, len(s.record.events), by)}, time.Now())
	n, err := s.record.clear(e)
	if errors.Is(err, unix.ENOSPC) {
		return 0, problem.New(problem.StoreFull)
	}
	if err != nil {
		return 0, err
	}
	s.log.Info(e.Message)
	return n, nil
}
