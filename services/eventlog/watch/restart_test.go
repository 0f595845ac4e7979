package watch

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// A service that init has to start again and again is told of, until it has
// held for a while.
func TestServiceThatEndsAgainAndAgain(t *testing.T) {
	n := healthy(t)
	w := n.watcher()
	var got []Condition
	for _, step := range []struct {
		after  time.Duration
		ends   int
		exit   string
		silent bool
		want   int
	}{
		{0, 0, "", false, 0},
		// What was before the first look may be long ago.
		{3 * time.Second, 2, "exit status 2", false, 0},
		{time.Minute, 1, "killed by SIGSEGV", false, 0},
		{3 * time.Second, 0, "killed by SIGSEGV", false, 1},
		{3 * time.Second, 0, "killed by SIGSEGV", true, 1},
		{8 * time.Minute, 0, "killed by SIGSEGV", false, 1},
		// Those two were 10 minutes ago.
		{2 * time.Minute, 0, "killed by SIGSEGV", false, 0},
		{time.Hour, 1, "exit status 2", false, 0},
		{3 * time.Second, 0, "exit status 2", false, 0},
	} {
		n.now = n.now.Add(step.after)
		n.init.Services = slices.Clone(n.init.Services)
		n.init.Services[0].Restarts += step.ends
		n.init.Services[0].LastExit = step.exit
		n.initErr = nil
		if step.silent {
			n.initErr = errors.New("late")
		}
		got = w.Look(t.Context(), standing(got)).Conditions
		if len(got) != step.want {
			t.Errorf("at %v: %v; want %d", n.now.Sub(now), lines(got), step.want)
		}
		const want = "it has ended 3 times within 10 minutes, the last time by: killed by SIGSEGV; see 'syslog tail', then 'reboot' if it stays so"
		if step.want > 0 && len(got) > 0 && (got[0].Message != "Service xmpp ends again and again" || got[0].Hint != want) {
			t.Errorf("condition %q; want %q", lines(got)[0], want)
		}
	}
}
