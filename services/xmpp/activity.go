package xmpp

import (
	"sync"

	"parley/services/problem"
)

// activity is the one change of the cluster that may be under way, in words
// for the console.
type activity struct {
	mu    sync.Mutex
	what  string
	state string
}

// begin refuses a second one; end is called when it is over.
func (a *activity) begin(what string) (end func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.what != "" {
		return nil, problem.New(problem.ClusterBusy, "doing", a.what)
	}
	a.what = what
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.what, a.state = "", ""
	}, nil
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
