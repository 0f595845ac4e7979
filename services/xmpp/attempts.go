package xmpp

import (
	"sync"
	"time"
)

const (
	// maxAttempts with wrong passwords are asked of the directory for one name
	// within attemptsOver. Directories lock accounts after some, as a rule ten:
	// a stranger must not be able to have that done.
	maxAttempts  = 5
	attemptsOver = 10 * time.Minute
	// maxAttempted names are remembered; of more, none is asked for that is not
	// one of them.
	maxAttempted = 10_000
)

// attempts counts the wrong passwords by name. One that is being checked counts
// as one, so that many at once are no way round.
type attempts struct {
	mu     sync.Mutex
	byName map[string]*attempt
}

type attempt struct {
	checking int
	wrong    []time.Time
}

// begin says whether a password of that name may be checked; then end follows.
func (a *attempts) begin(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.byName[name]
	if one == nil {
		if len(a.byName) >= maxAttempted {
			a.sweep()
		}
		if len(a.byName) >= maxAttempted {
			return false
		}
		if a.byName == nil {
			a.byName = map[string]*attempt{}
		}
		one = &attempt{}
		a.byName[name] = one
	}
	one.forget()
	if one.checking+len(one.wrong) >= maxAttempts {
		return false
	}
	one.checking++
	return true
}

// end notes what came of a check.
func (a *attempts) end(name string, v verdict) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.byName[name]
	one.checking--
	switch v {
	case right:
		one.wrong = nil
	case wrong:
		one.wrong = append(one.wrong, time.Now())
	}
	if one.checking == 0 && len(one.wrong) == 0 {
		delete(a.byName, name)
	}
}

// sweep drops the names of whom there is nothing to remember any more.
func (a *attempts) sweep() {
	for name, one := range a.byName {
		if one.forget(); one.checking == 0 && len(one.wrong) == 0 {
			delete(a.byName, name)
		}
	}
}

// forget drops those that are long ago.
func (a *attempt) forget() {
	for len(a.wrong) > 0 && time.Since(a.wrong[0]) > attemptsOver {
		a.wrong = a.wrong[1:]
	}
}
