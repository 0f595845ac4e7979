package webadmin

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/eventlog/eventlogapi"
)

func TestTimeline(t *testing.T) {
	at := func(d time.Duration, message string) eventlogapi.Event {
		return eventlogapi.Event{Time: start.Add(d), Message: message}
	}
	change := func(d time.Duration, node, before string) eventlogapi.Event {
		return at(d, eventlogapi.LeaderChange{Node: node, Before: before}.Message())
	}
	for _, tt := range []struct {
		name   string
		events []eventlogapi.Event
		want   []leaderSpan
	}{
		{"none", []eventlogapi.Event{at(0, "something else")}, nil},
		{"one change", []eventlogapi.Event{change(0, "b", "a")}, []leaderSpan{{"a", 0, 0, 71, false}, {"b", 1, 71, 569, true}}},
		{"to and fro", []eventlogapi.Event{change(30*time.Minute, "a", "b"), at(time.Minute, "x"), change(0, "b", "a")},
			[]leaderSpan{{"a", 0, 0, 71, false}, {"b", 1, 71, 284, true}, {"a", 0, 355, 285, true}}},
		{"at once", []eventlogapi.Event{change(time.Second, "a", "c"), change(time.Second, "c", "b"), change(0, "b", "a")},
			[]leaderSpan{{"a", 0, 0, 71, false}, {"b", 1, 71, 4, false}, {"c", 2, 75, 4, false}, {"a", 0, 79, 561, true}}},
		{"a clock that was set back", []eventlogapi.Event{change(2*time.Hour, "b", "a")}, []leaderSpan{{"a", 0, 0, 80, false}, {"b", 1, 80, 560, true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := newTimeline(tt.events, start.Add(time.Hour))
			if diff := cmp.Diff(tt.want, got.Spans); diff != "" {
				t.Errorf("spans (-want +got):\n%s", diff)
			}
			// The legend has each leader of the picture, once.
			names := map[string]int{}
			for _, l := range got.Leaders {
				names[l.Node] = l.Color
			}
			for _, span := range got.Spans {
				if color, ok := names[span.Node]; !ok || color != span.Color || len(names) != len(got.Leaders) {
					t.Errorf("legend %+v does not explain %+v", got.Leaders, span)
				}
			}
		})
	}
}

// TestTimelineIsBounded: however often the leader changes, the picture is as
// wide as it is.
func TestTimelineIsBounded(t *testing.T) {
	var events []eventlogapi.Event
	for i := range 500 {
		events = append(events, eventlogapi.Event{Time: start.Add(-time.Duration(i)), Message: eventlogapi.LeaderChange{Node: fmt.Sprint(i), Before: fmt.Sprint(i + 1)}.Message()})
	}
	got := newTimeline(events, start)
	if len(got.Changes) != maxChanges || len(got.Spans) != maxChanges+1 {
		t.Errorf("%d changes and %d spans; want %d and one more", len(got.Changes), len(got.Spans), maxChanges)
	}
	for _, s := range got.Spans {
		if s.X < 0 || s.Width < 0 || s.X+s.Width > timelineWidth || s.Color >= colors {
			t.Errorf("span %+v is outside of the picture", s)
		}
	}
}
