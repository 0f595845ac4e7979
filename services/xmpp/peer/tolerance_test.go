package peer

import (
	"testing"
	"time"
)

func TestTolerance(t *testing.T) {
	const least = 400 * time.Millisecond
	type step struct {
		// after is since the step before; alarm, lost: what happens, otherwise an
		// answer.
		after       time.Duration
		alarm, lost bool
		late        bool
		want        time.Duration
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"answers", []step{{want: least}, {after: time.Hour, want: least}}},
		{"late once", []step{{alarm: true, want: least}, {after: 200 * time.Millisecond, late: true, want: 2 * least}, {after: time.Second, want: 2 * least}}},
		{"late for as long as may be", []step{{alarm: true, want: least}, {after: lateness, late: true, want: 2 * least}}},
		{"lost", []step{{alarm: true, want: least}, {after: lateness + 1, want: least}, {after: time.Second, want: least}}},
		{"gone, and back at once", []step{{alarm: true, want: least}, {after: 10 * time.Millisecond, lost: true, want: least}, {after: 10 * time.Millisecond, want: least}}},
		{"late three times", []step{
			{alarm: true, want: least}, {late: true, want: 2 * least},
			{alarm: true, want: 2 * least}, {late: true, want: 4 * least},
			{alarm: true, want: 4 * least}, {late: true, want: 4 * least}}},
		{"calm", []step{
			{alarm: true, want: least}, {late: true, want: 2 * least}, {alarm: true, want: 2 * least}, {late: true, want: 4 * least},
			{after: calm - 1, want: 4 * least}, {after: 1, want: 2 * least}, {after: calm - 1, want: 2 * least}, {after: 1, want: least}, {after: calm, want: least}}},
		{"late again before it is calm", []step{
			{alarm: true, want: least}, {late: true, want: 2 * least}, {after: calm - 1, alarm: true, want: 2 * least}, {late: true, want: 4 * least},
			{after: calm - 1, want: 4 * least}, {after: 1, want: 2 * least}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tol := tolerance{least: least, limit: least}
			now := time.Now()
			for i, s := range tt.steps {
				now = now.Add(s.after)
				var late bool
				switch {
				case s.alarm:
					tol.alarm(now)
				case s.lost:
					tol.lost()
				default:
					late = tol.answered(now)
				}
				if late != s.late || tol.limit != s.want || tol.times() != int(s.want/least) {
					t.Errorf("step %d: late %v, limit %v, %d times; want %v, %v", i, late, tol.limit, tol.times(), s.late, s.want)
				}
			}
		})
	}
}
