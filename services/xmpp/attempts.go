package xmpp

import (
	"slices"
	"sync"
	"time"
)

const (
	// maxAttempts with wrong passwords are asked of the directory for one name
	// within attemptsOver. Directories lock accounts after some, as a rule ten:
	// a stranger must not be able to have that done.
	maxAttempts = 5
	// homeAttempts more are asked for from addresses from which the right
	// password came before: nobody elsewhere can use up all that a user has.
	homeAttempts = 3
	attemptsOver = 10 * time.Minute
	// maxAttempted names are remembered; of more, none is asked for that is not
	// one of them.
	maxAttempted = 10_000
	// maxHomes are the addresses that are remembered of one name, and
	// maxHomely the names; more take the place of others.
	maxHomes  = 4
	maxHomely = 50_000
)

// attempts counts the wrong passwords by name. One that is being checked counts
// as one, so that many at once are no way round. It is the leader's alone: a new
// one begins anew.
type attempts struct {
	mu     sync.Mutex
	byName map[string]*attempt
	// homes are the addresses of those who had the right password, by name; the
	// last is the latest.
	homes map[string][]string
}

type attempt struct {
	// checking are under way; away and home are when wrong ones came, from
	// addresses that are none of the user's homes and that are.
	checking   tally
	away, home []time.Time
}

// tally counts by where it comes from.
type tally struct{ away, home int }

// begin says whether a password of that name, from that address, may be checked;
// then end follows. home says that the right one came from there before.
func (a *attempts) begin(name, from string) (home, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	home = from != "" && slices.Contains(a.homes[name], from)
	one := a.byName[name]
	if one == nil {
		if len(a.byName) >= maxAttempted {
			a.sweep()
		}
		if len(a.byName) >= maxAttempted {
			return home, false
		}
		if a.byName == nil {
			a.byName = map[string]*attempt{}
		}
		one = &attempt{}
		a.byName[name] = one
	}
	one.forget()
	atHome := one.checking.home + len(one.home)
	if one.checking.away+len(one.away)+atHome >= maxAttempts && (!home || atHome >= homeAttempts) {
		return home, false
	}
	if home {
		one.checking.home++
	} else {
		one.checking.away++
	}
	return home, true
}

// end notes what came of a check, for which begin has said home.
func (a *attempts) end(name, from string, home bool, v verdict) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.byName[name]
	checking, came := &one.checking.away, &one.away
	if home {
		checking, came = &one.checking.home, &one.home
	}
	*checking--
	switch v {
	case right:
		// The directory forgets the wrong ones as well.
		one.away, one.home = nil, nil
		a.settle(name, from)
	case wrong:
		*came = append(*came, time.Now())
	}
	if one.idle() {
		delete(a.byName, name)
	}
}

// settle notes that the right password came from an address.
func (a *attempts) settle(name, from string) {
	if from == "" {
		return
	}
	if a.homes == nil {
		a.homes = map[string][]string{}
	}
	if _, there := a.homes[name]; !there && len(a.homes) >= maxHomely {
		for other := range a.homes {
			delete(a.homes, other)
			break
		}
	}
	homes := slices.DeleteFunc(a.homes[name], func(h string) bool { return h == from })
	if len(homes) >= maxHomes {
		homes = homes[1:]
	}
	a.homes[name] = append(homes, from)
}

// sweep drops the names of whom there is nothing to remember any more.
func (a *attempts) sweep() {
	for name, one := range a.byName {
		if one.forget(); one.idle() {
			delete(a.byName, name)
		}
	}
}

func (a *attempt) idle() bool {
	return a.checking == tally{} && len(a.away)+len(a.home) == 0
}

// forget drops those that are long ago.
func (a *attempt) forget() {
	for _, came := range []*[]time.Time{&a.away, &a.home} {
		*came = slices.DeleteFunc(*came, func(t time.Time) bool { return time.Since(t) > attemptsOver })
	}
}
