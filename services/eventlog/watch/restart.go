package watch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley/init/initapi"
	"parley/services/eventlog/eventlogapi"
)

// A service that init had to start anew so often within that time has more than
// bad luck.
const (
	tooOften      = 3
	tooOftenSince = 10 * time.Minute
)

// keyRestarts begins the condition of a service that ends again and again.
const keyRestarts = "init.restarts."

// restarts remembers when services were seen to have ended.
type restarts struct {
	// count is init's for each service, ends when it went up.
	count map[string]int
	ends  map[string][]time.Time
}

// look takes what init tells of one service, and says how often that one has
// ended lately. The first time tells nothing of when.
func (r *restarts) look(s initapi.Service, now time.Time) int {
	before, known := r.count[s.Name]
	r.count[s.Name] = s.Restarts
	for n := before; known && n < s.Restarts; n++ {
		r.ends[s.Name] = append(r.ends[s.Name], now)
	}
	r.ends[s.Name] = slices.DeleteFunc(r.ends[s.Name], func(at time.Time) bool { return now.Sub(at) > tooOftenSince })
	return len(r.ends[s.Name])
}

// restarted finds the services that end again and again.
func (w *Watcher) restarted(ctx context.Context, standing map[string]eventlogapi.Fault, found []finding) []finding {
	status, err := w.deps.Init.Status(ctx)
	if err != nil {
		// Init is always there; it may be late.
		return keep(standing, found, keyRestarts)
	}
	var all []finding
	now := w.deps.Now()
	for _, s := range status.Services {
		n := w.restarts.look(s, now)
		if n < tooOften {
			continue
		}
		hint := fmt.Sprintf("it has ended %d times within %d minutes", n, tooOftenSince/time.Minute)
		if s.LastExit != "" {
			hint += ", the last time by: " + s.LastExit
		}
		all = append(all, raise(keyRestarts+s.Name, eventlogapi.Error, "Service "+s.Name+" ends again and again",
			hint+"; see 'syslog tail', then 'reboot' if it stays so"))
	}
	return all
}
