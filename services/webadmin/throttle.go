package webadmin

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// tries is how many logins an address may try at once, and one more each
	// tryAgain. Beside it the account store locks names.
	tries    = 10
	tryAgain = 6 * time.Second
	// maxSources bounds the addresses that are remembered.
	maxSources = 4096
)

// throttle bounds the logins from one address, by a bucket of tries that
// refills.
type throttle struct {
	now func() time.Time
	mu  sync.Mutex
	// full is when an address's bucket is full again; one that is not here
	// has a full one.
	full map[netip.Addr]time.Time
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, full: map[netip.Addr]time.Time{}}
}

// take counts a try; wait is how long until there is one, where there is none
// now.
func (t *throttle) take(remote string) (wait time.Duration) {
	from := source(remote)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	full := t.full[from]
	// A clock that was set back must not keep an address out for longer.
	if full.Before(now) || full.Sub(now) > tries*tryAgain {
		full = now
	}
	full = full.Add(tryAgain)
	if over := full.Sub(now) - tries*tryAgain; over > 0 {
		return over
	}
	if len(t.full) >= maxSources {
		t.drop(now)
	}
	t.full[from] = full
	return 0
}

// drop makes room: what is full anyway, or where nothing is, everything.
func (t *throttle) drop(now time.Time) {
	for a, full := range t.full {
		if !full.After(now) {
			delete(t.full, a)
		}
	}
	if len(t.full) >= maxSources {
		clear(t.full)
	}
}

// source is who an address stands for: of IPv6 a network, since each host has
// 2⁶⁴ addresses.
func source(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
