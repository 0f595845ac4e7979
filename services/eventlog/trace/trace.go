// Package trace has a service log in detail while people ask for that: it
// turns the debug records of the service's logger into info records for as long
// as the event log says that its subsystem is traced. Who asks are Webadmin and the console; how
// long a trace lasts is the event log's matter; what a record says is the
// service's, which writes no secrets and nothing of what people say.
package trace

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The subsystems, by the names that people know them by.
const (
	XMPP       = "XMPP"
	DNS        = "DNS"
	CallBridge = "Call Bridge"
)

// Subsystems are those that can be traced, in the order of a list of them.
func Subsystems() []string { return []string{XMPP, CallBridge, DNS} }

// Word is a subsystem as it is typed on the console.
func Word(subsystem string) string {
	return strings.ReplaceAll(strings.ToLower(subsystem), " ", "")
}

// Source says which subsystems are traced, and until when: eventlogapi.API.
type Source interface {
	Traces(ctx context.Context) (map[string]time.Time, error)
}

const (
	// askEvery is how late a service may learn of a trace.
	askEvery = time.Second
	askMax   = time.Second
	// perSecond records are kept in the long run, burst at once: a trace of a
	// busy server must not take the disk from the rest of the log.
	perSecond = 100
	burst     = 500
)

// Tracer follows one subsystem.
type Tracer struct {
	subsystem string
	source    Source
	// until is the end of the trace in Unix nanoseconds.
	until atomic.Int64

	mu sync.Mutex
	// room is the number of records that may be written at filled, left the
	// number of those that were not since one was.
	room   float64
	filled time.Time
	left   int
}

// New returns the tracer of a subsystem; it is off before Run.
func New(subsystem string, source Source) *Tracer {
	return &Tracer{subsystem: subsystem, source: source, room: burst}
}

// Run asks the event log until ctx ends. While that does not answer a trace
// ends when it was to.
func (t *Tracer) Run(ctx context.Context) error {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		ask, cancel := context.WithTimeout(ctx, askMax)
		traces, err := t.source.Traces(ask)
		cancel()
		if err == nil {
			// A subsystem that is not there has the zero time, which is past.
			t.until.Store(max(0, traces[t.subsystem].UnixNano()))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (t *Tracer) on() bool {
	until := t.until.Load()
	return until > 0 && time.Now().UnixNano() < until
}

// Logger is log, whose debug records are written as info ones during a trace,
// with the subsystem as "traced".
func (t *Tracer) Logger(log *slog.Logger) *slog.Logger { return slog.New(&handler{log.Handler(), t}) }

// take says whether one more record may be written, and how many were not
// before it.
func (t *Tracer) take() (left int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if !t.filled.IsZero() {
		t.room = min(burst, t.room+perSecond*now.Sub(t.filled).Seconds())
	}
	t.filled = now
	if t.room < 1 {
		t.left++
		return 0, false
	}
	t.room--
	left, t.left = t.left, 0
	return left, true
}

// handler is a slog.Handler over that of the service's logger.
type handler struct {
	slog.Handler
	tracer *Tracer
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Handler.Enabled(ctx, level) || level >= slog.LevelDebug && h.tracer.on()
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if h.Handler.Enabled(ctx, r.Level) {
		return h.Handler.Handle(ctx, r)
	}
	left, ok := h.tracer.take()
	if !ok {
		return nil
	}
	r = r.Clone()
	r.Level = slog.LevelInfo
	if left > 0 {
		r.AddAttrs(slog.Int("left_out_before", left))
	}
	r.AddAttrs(slog.String("traced", h.tracer.subsystem))
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(as []slog.Attr) slog.Handler {
	return &handler{h.Handler.WithAttrs(as), h.tracer}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.Handler.WithGroup(name), h.tracer}
}
