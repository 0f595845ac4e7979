package callbridge

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/eventlog/eventlogapi"
)

// Two bridges with one name and one secret end each other's connection for
// ever, and in between each of them is well. So evictions are remembered: there
// is a twin from the twinEvictions-th within twinWindow until there was none for
// that long, or this bridge has another name.
const (
	twinEvictions = 3
	twinWindow    = 5 * time.Minute
	// twinLook is how often it is looked whether it is over.
	twinLook = 10 * time.Second
)

// twinKey names the condition.
const twinKey = "callbridge.twin"

// twins remembers evictions of one configuration.
type twins struct {
	reporter *reporter

	mu   sync.Mutex
	conf config.BridgeLink
	at   []time.Time
	// node is where the other one was last seen, "" where that is not known.
	node string
	// told: there is the condition.
	told bool
}

func newTwins(events Events, log *slog.Logger) *twins {
	return &twins{reporter: newReporter(twinKey, events, log)}
}

// begin is a connection attempt by a configuration.
func (t *twins) begin(conf config.BridgeLink) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conf.Name != conf.Name || t.conf.Domain != conf.Domain || t.conf.Secret != conf.Secret {
		t.conf, t.at, t.node = conf, nil, ""
		t.tell()
	}
}

// evicted is that another connection took this one's place.
func (t *twins) evicted() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = append(t.recent(), time.Now())
	t.tell()
}

// seen is that another node has this bridge's name.
func (t *twins) seen(node string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.node = node
}

// run ends the condition when it is over.
func (t *twins) run(ctx context.Context) {
	var reporting sync.WaitGroup
	reporting.Go(func() { t.reporter.run(ctx) })
	defer reporting.Wait()
	tick := time.NewTicker(twinLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		t.mu.Lock()
		t.at = t.recent()
		t.tell()
		t.mu.Unlock()
	}
}

// recent are the evictions that count still. The caller holds mu.
func (t *twins) recent() []time.Time {
	return slices.DeleteFunc(t.at, func(at time.Time) bool { return time.Since(at) >= twinWindow })
}

// fault is the condition, nil for none. The caller holds mu.
func (t *twins) fault() *eventlogapi.Fault {
	if len(t.at) < twinEvictions {
		return nil
	}
	where := ""
	if t.node != "" {
		where = "the other one is on " + t.node + "; "
	}
	return &eventlogapi.Fault{
		Key: twinKey, Message: fmt.Sprintf("Another Call Bridge connects as '%s', and each ends the other's connection", t.conf.Name),
		Hint: where + "each has a name and a secret of its own: on one of the two type 'callbridge xmpp name <name>', then 'callbridge xmpp secret'",
	}
}

// tell has the event log know. The caller holds mu.
func (t *twins) tell() {
	f, before := t.fault(), t.told
	t.told = f != nil
	switch {
	case f == nil && before:
		t.reporter.mended(eventlogapi.Event{Level: eventlogapi.Info, Message: "No other Call Bridge ends this one's connection any more"})
	case f == nil:
		t.reporter.mended()
	case before:
		t.reporter.failed(f)
	default:
		t.reporter.failed(f, eventlogapi.Event{Level: eventlogapi.Error, Message: f.Message, Hint: f.Hint})
	}
}

// step is what a Test says of it; none while there is no twin.
func (t *twins) step() (s callbridgeapi.Step, is bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.fault()
	if f == nil {
		return s, false
	}
	return callbridgeapi.Step{What: "unique name", Detail: f.Message, Hint: f.Hint}, true
}
