// Package eventlogapi is what the event log offers the other services,
// console and Webadmin over its control socket: the types, the client, and the
// handler that puts a log behind it. It holds no state and decides nothing.
package eventlogapi

import (
	"context"
	"time"
)

// API is the event log as others see it. *Client and the service implement it.
type API interface {
	// Log adds events, in their order. A zero Time is now.
	Log(ctx context.Context, events ...Event) error
	// Events returns what there is, the newest first.
	Events(ctx context.Context, q Query) ([]Event, error)
	// Clear empties the log, notes that by has done so, and says how many
	// events there were.
	Clear(ctx context.Context, by string) (int, error)

	// Raise makes a fault condition, or changes the one of that Key, which
	// keeps its Since. A zero Since is now.
	Raise(ctx context.Context, f Fault) error
	// Drop ends the fault condition of a Key, if there is one.
	Drop(ctx context.Context, key string) error
	// Faults are the conditions that last, the oldest first.
	Faults(ctx context.Context) ([]Fault, error)

	// Trace has a subsystem log in detail for a time; 0 ends it.
	Trace(ctx context.Context, subsystem string, d time.Duration) error
	// Traces are the subsystems that do, and until when.
	Traces(ctx context.Context) (map[string]time.Time, error)
}

// Level of an event, as the article prints it.
type Level string

// The levels.
const (
	Info    Level = "Info"
	Warning Level = "Warning"
	Error   Level = "Error"
)

// Event is a line of the log.
type Event struct {
	// ID numbers events from 1, over restarts; the log gives it.
	ID    uint64    `json:"id,omitempty"`
	Time  time.Time `json:"time"`
	Level Level     `json:"level"`
	// Message is the original's wording, to the letter, where it has one.
	Message string `json:"message"`
	// Hint is ours beside it: what was asked of whom, what came back, and
	// the command that mends it.
	Hint string `json:"hint,omitempty"`
}

// Query selects events; what is zero does not count.
type Query struct {
	// After and Before are IDs, neither of them included: what is new, and
	// the next older page. Limit is a number of events (1000 at most, and
	// where 0).
	After  uint64 `json:"after,omitempty"`
	Before uint64 `json:"before,omitempty"`
	Limit  int    `json:"limit,omitempty"`
	// Levels to show; none are all. Text has to be in the message, in any
	// case of letters.
	Levels []Level `json:"levels,omitempty"`
	Text   string  `json:"text,omitempty"`
}

// Fault is a condition that lasts until it is mended.
type Fault struct {
	// Key names the condition, "callbridge.xmpp" or "xmpp.certificate"; there
	// is one fault of a Key at a time.
	Key   string    `json:"key"`
	Since time.Time `json:"since"`
	// Message is the original's wording where it has one; Hint as in Event.
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}
