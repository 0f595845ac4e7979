package xmpp

import (
	"context"
	"sync"

	"parley/services/problem"
)

// activity is the one change of the cluster that may be under way, in words
// for the console.
type activity struct {
	mu    sync.Mutex
	what  string
	state string
	// over is closed at the end of one that nobody has asked for; it is nil
	// during the others.
	over chan struct{}
}

// begin refuses a second one, but waits for one that the node does by itself;
// end is called when it is over.
func (a *activity) begin(ctx context.Context, what string) (end func(), err error) {
	for {
		a.mu.Lock()
		doing, over := a.what, a.over
		if doing == "" {
			a.what = what
			a.mu.Unlock()
			return a.end, nil
		}
		a.mu.Unlock()
		if over == nil {
			return nil, problem.New(problem.ClusterBusy, "doing", doing)
		}
		select {
		case <-over:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// beginUnasked begins what the node does by itself, unless something is under
// way.
func (a *activity) beginUnasked(what string) (end func(), ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.what != "" {
		return nil, false
	}
	a.what, a.over = what, make(chan struct{})
	return a.end, true
}

func (a *activity) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over != nil {
		close(a.over)
	}
	a.what, a.state, a.over = "", "", nil
}

// now says what is being waited for.
func (a *activity) now(state string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state = state
}

func (a *activity) text() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}
