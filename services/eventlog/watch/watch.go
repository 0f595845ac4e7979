// Package watch looks at a node, at its files and, over their control sockets,
// at its services, and says which conditions there are that a person should
// mend, each with the command that does. It changes nothing and keeps no
// record: package eventlog makes faults of what it finds.
package watch

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"parley/init/initapi"
	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/eventlog/eventlogapi"
	"parley/services/pki"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

// Findings are what a look has found.
type Findings struct {
	// Conditions are those that there are.
	Conditions []Condition
	// Events tell what has changed that is no fault.
	Events []eventlogapi.Event
}

// Condition is a fault, and the level of the event that tells of it.
type Condition struct {
	eventlogapi.Fault
	Level eventlogapi.Level
}

// Deps of a Watcher.
type Deps struct {
	Config interface {
		Load() (config.Document, error)
	}
	XMPP interface {
		Status(ctx context.Context) (xmppapi.Status, error)
		Cluster(ctx context.Context) (xmppapi.Cluster, error)
		CallBridges(ctx context.Context) ([]xmppapi.CallBridge, error)
	}
	// Init knows how often a service had to be started anew.
	Init interface {
		Status(ctx context.Context) (initapi.Status, error)
	}
	// Database is what the Call Bridges share.
	Database interface {
		Status(ctx context.Context) (databaseapi.Status, error)
	}
	// Services are asked whether they answer.
	Services []Service
	// Files has the certificates.
	Files pki.Source
	// Disk tells how many bytes of the state disk can still be written, and
	// how many it has in all.
	Disk func() (free, total uint64, err error)
	// Now is time.Now outside tests.
	Now func() time.Time
}

// Watcher finds conditions. It is for one goroutine.
type Watcher struct {
	deps Deps
	// seen counts the looks in which a condition was found one after another.
	seen map[string]int
	// leader is the address of the last leader that was known, "" before
	// there was one.
	leader   string
	restarts restarts
}

// New returns a watcher that has seen nothing.
func New(deps Deps) *Watcher {
	return &Watcher{deps: deps, seen: map[string]int{}, restarts: restarts{count: map[string]int{}, ends: map[string][]time.Time{}}}
}

// How many looks have to find a condition before it counts: what mends itself
// in a moment, as the loss of a leader does, is nobody's work. A service that
// does not answer may be on its way down with the whole node, or be started
// anew.
const (
	patience        = 2
	patienceService = 7
)

// finding is a condition in one look.
type finding struct {
	Condition
	looks int
}

// Look says what there is now. standing are the conditions of earlier looks
// that are still there, by key. It takes as long as ctx allows at most.
func (w *Watcher) Look(ctx context.Context, standing map[string]eventlogapi.Fault) Findings {
	found, events := w.look(ctx, standing)
	seen := map[string]int{}
	var all []Condition
	for _, f := range found {
		seen[f.Key] = w.seen[f.Key] + 1
		if _, stands := standing[f.Key]; stands || seen[f.Key] >= f.looks {
			all = append(all, f.Condition)
		}
	}
	w.seen = seen
	return Findings{all, events}
}

func (w *Watcher) look(ctx context.Context, standing map[string]eventlogapi.Fault) (found []finding, events []eventlogapi.Event) {
	found = w.disk(standing)
	found = append(found, w.restarted(ctx, standing, found)...)
	d, err := w.deps.Config.Load()
	if err != nil {
		found = append(found, raise("config", eventlogapi.Error, "The configuration of this node cannot be read", problem.Text(err)+"; see 'syslog tail'"))
		return append(found, keep(standing, found, "")...), nil
	}
	status, err := w.deps.XMPP.Status(ctx)
	if err != nil {
		// Nothing is known of the rest; what stood, stands.
		found = append(append(found, unanswered("xmpp.service", "XMPP", err)), w.certificates(d, time.Time{})...)
		found = append(found, keep(standing, found, "xmpp.")...)
		return append(found, w.others(ctx, d, standing)...), nil
	}
	found = append(found, w.certificates(d, status.Expires)...)
	cl, err := w.deps.XMPP.Cluster(ctx)
	if err != nil {
		found = append(found, keep(standing, found, "xmpp.")...)
		return append(found, w.others(ctx, d, standing)...), nil
	}
	found = append(found, w.cluster(cl, standing)...)
	found = append(found, doors(d.XMPP, status, found)...)
	if bridges, err := w.deps.XMPP.CallBridges(ctx); err == nil {
		found = append(found, secrets(d, bridges)...)
	} else {
		found = append(found, keep(standing, found, keySecrets)...)
	}
	return append(found, w.others(ctx, d, standing)...), w.leads(cl)
}

// raise is a condition that counts when it is found twice.
func raise(key string, level eventlogapi.Level, message, hint string) finding {
	return finding{Condition{eventlogapi.Fault{Key: key, Message: message, Hint: hint}, level}, patience}
}

// keep are the conditions below prefix that stood and were not looked at now.
func keep(standing map[string]eventlogapi.Fault, found []finding, prefix string) []finding {
	var kept []finding
	for _, key := range slices.Sorted(maps.Keys(standing)) {
		if strings.HasPrefix(key, prefix) && !slices.ContainsFunc(found, func(f finding) bool { return f.Key == key }) {
			kept = append(kept, finding{Condition{standing[key], eventlogapi.Info}, patience})
		}
	}
	return kept
}

// parts are what is wrong and the fix of a problem's text.
func parts(text string) (wrong, fix string) {
	wrong, fix, ok := strings.Cut(text, "; ")
	if !ok {
		fix = "see 'syslog tail'"
	}
	return wrong, fix
}
