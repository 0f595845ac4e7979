package peer

import "time"

const (
	// lateness is within which an answer after a false alarm comes: what is
	// silent for longer was lost.
	lateness = time.Second
	// leniency is how many times its least a limit may become.
	leniency = 4
	// calm without a false alarm halves a limit again.
	calm = time.Minute
)

// tolerance is how long a member may be silent before it counts as unreachable. It
// grows with each false alarm: on a machine that has too much to do an answer is
// late now and again, and to act as if the member were lost, by dialing and
// electing, gives it more to do.
type tolerance struct {
	least, limit time.Duration
	// alarmed is when the member was called silent, if it has not answered
	// since.
	alarmed time.Time
	// grew is when limit last changed.
	grew time.Time
}

// times is how many times its least the limit is.
func (t *tolerance) times() int { return int(t.limit / t.least) }

// alarm notes that the member was called silent.
func (t *tolerance) alarm(now time.Time) { t.alarmed = now }

// lost notes that it was with reason.
func (t *tolerance) lost() { t.alarmed = time.Time{} }

// answered notes that the member lives, and reports whether the last alarm was
// false: it was only late.
func (t *tolerance) answered(now time.Time) (late bool) {
	late = !t.alarmed.IsZero() && now.Sub(t.alarmed) <= lateness
	t.alarmed = time.Time{}
	switch {
	case late:
		t.limit = min(2*t.limit, leniency*t.least)
		t.grew = now
	case t.limit > t.least && now.Sub(t.grew) >= calm:
		t.limit = max(t.limit/2, t.least)
		t.grew = now
	}
	return late
}
