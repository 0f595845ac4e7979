package callbridge

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"parley/services/eventlog/eventlogapi"
)

// reporter tells the event log, in the background: a log that does not answer
// must not hold a connection up. What it does not take is told later.
type reporter struct {
	// key names the one condition that it has.
	key    string
	events Events
	log    *slog.Logger
	wake   chan struct{}

	mu    sync.Mutex
	queue []eventlogapi.Event
	// fault is the condition, nil for none. known says that it is known
	// whether there is one, told that the log has it so.
	fault       *eventlogapi.Fault
	known, told bool
}

const (
	// maxQueue is how many events wait for a log that does not answer; older
	// ones are dropped.
	maxQueue = 100
	// reportAgain is how soon a log that does not answer is asked again, and
	// reportTime how long it may take.
	reportAgain = 2 * time.Second
	reportTime  = 5 * time.Second
	// deafAfter is how long it may not answer before that is worth a line: it
	// may only be starting.
	deafAfter = 10 * time.Second
	// remindEvery is how often a condition that lasts is raised again: the
	// log may have been started anew, and have lost it.
	remindEvery = 30 * time.Second
)

func newReporter(key string, events Events, log *slog.Logger) *reporter {
	return &reporter{key: key, events: events, log: log, wake: make(chan struct{}, 1)}
}

// failed takes events; a fault, if any, is now the condition.
func (r *reporter) failed(fault *eventlogapi.Fault, events ...eventlogapi.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(events)
	if fault != nil {
		if r.fault == nil || r.fault.Message != fault.Message || r.fault.Hint != fault.Hint {
			r.told = false
		}
		r.fault, r.known = fault, true
	}
	r.signal()
}

// mended takes events; there is no fault any more.
func (r *reporter) mended(events ...eventlogapi.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(events)
	if !r.known || r.fault != nil {
		r.told = false
	}
	r.fault, r.known = nil, true
	r.signal()
}

func (r *reporter) add(events []eventlogapi.Event) {
	for _, e := range events {
		if e.Time.IsZero() {
			e.Time = time.Now()
		}
		r.queue = append(r.queue, e)
	}
	if n := len(r.queue) - maxQueue; n > 0 {
		r.queue = r.queue[n:]
	}
}

func (r *reporter) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run reports until ctx ends.
func (r *reporter) run(ctx context.Context) {
	var again <-chan time.Time
	var silent time.Time
	warned := false
	remind := time.NewTicker(remindEvery)
	defer remind.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-again:
		case <-remind.C:
			r.mu.Lock()
			r.told = r.told && r.fault == nil
			r.mu.Unlock()
		}
		again = nil
		err := r.report(ctx)
		if err == nil {
			silent, warned = time.Time{}, false
			continue
		}
		again = time.After(reportAgain)
		if silent.IsZero() {
			silent = time.Now()
		}
		if !warned && time.Since(silent) >= deafAfter && ctx.Err() == nil {
			r.log.Warn("the event log does not answer", "err", err)
			warned = true
		}
	}
}

// report tells what is to be told.
func (r *reporter) report(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	r.mu.Lock()
	queue, fault, due := r.queue, r.fault, r.known && !r.told
	r.queue = nil
	r.mu.Unlock()
	if len(queue) > 0 {
		if err := r.events.Log(ctx, queue...); err != nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			later := r.queue
			r.queue = queue
			r.add(later)
			return err
		}
	}
	if !due {
		return nil
	}
	var err error
	if fault != nil {
		err = r.events.Raise(ctx, *fault)
	} else {
		err = r.events.Drop(ctx, r.key)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// It may have changed meanwhile, and then is told again.
	r.told = r.fault == fault
	return nil
}
