package mmptest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"parley/services/eventlog/eventlogapi"
	"parley/services/problem"
)

// EventLog is the twin of the event log service. Its time is Now. Every
// event has a Message; queries other than for new ones, or so many, are not
// understood.
type EventLog struct {
	// Silent has it not answer.
	Silent bool

	mu     sync.Mutex
	lastID uint64
	events []eventlogapi.Event
	faults []eventlogapi.Fault
	traces map[string]time.Time
}

var _ eventlogapi.API = (*EventLog)(nil)

// Fingerprint is all that changes of the state, as text.
func (l *EventLog) Fingerprint() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprint(l.events, l.faults, l.traces)
}

func (l *EventLog) answers() error {
	if l.Silent {
		return problem.New(problem.NotReachable, "service", "eventlog")
	}
	return nil
}

// Log implements eventlogapi.API.
func (l *EventLog) Log(_ context.Context, events ...eventlogapi.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.lastID++
		e.ID, e.Time = l.lastID, Now()
		l.events = append(l.events, e)
	}
	return l.answers()
}

// Events implements eventlogapi.API.
func (l *EventLog) Events(_ context.Context, q eventlogapi.Query) ([]eventlogapi.Event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var newest []eventlogapi.Event
	for _, e := range slices.Backward(l.events) {
		if e.ID > q.After && (q.Limit == 0 || len(newest) < q.Limit) {
			newest = append(newest, e)
		}
	}
	return newest, l.answers()
}

// Clear implements eventlogapi.API.
func (l *EventLog) Clear(ctx context.Context, by string) (int, error) {
	l.mu.Lock()
	n := len(l.events)
	l.events = nil
	l.mu.Unlock()
	return n, l.Log(ctx, eventlogapi.Event{Level: eventlogapi.Info, Message: fmt.Sprintf("%d log messages cleared by %q", n, by)})
}

// Raise implements eventlogapi.API.
func (l *EventLog) Raise(_ context.Context, f eventlogapi.Fault) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.Since = Now()
	l.faults = append(l.faults, f)
	return l.answers()
}

// Drop implements eventlogapi.API.
func (l *EventLog) Drop(_ context.Context, key string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = slices.DeleteFunc(l.faults, func(f eventlogapi.Fault) bool { return f.Key == key })
	return l.answers()
}

// Faults implements eventlogapi.API.
func (l *EventLog) Faults(context.Context) ([]eventlogapi.Fault, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.faults), l.answers()
}

// Trace implements eventlogapi.API.
func (l *EventLog) Trace(_ context.Context, subsystem string, d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(l.traces, subsystem); d > 0 {
		if l.traces == nil {
			l.traces = map[string]time.Time{}
		}
		l.traces[subsystem] = Now().Add(d)
	}
	return l.answers()
}

// Traces implements eventlogapi.API.
func (l *EventLog) Traces(context.Context) (map[string]time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.traces), l.answers()
}
