package webadmin

import (
	"slices"
	"time"

	"parley/services/eventlog/eventlogapi"
)

// timeline is who led the cluster when, as far as the event log goes back.
type timeline struct {
	// Changes are the newest first.
	Changes []leaderChange
	// Spans fill the picture from left to right: From to now.
	Spans []leaderSpan
	From  time.Time
	// Leaders are the picture's legend.
	Leaders []leaderColor
}

type leaderColor struct {
	Node  string
	Color int
}

type leaderChange struct {
	Time         time.Time
	Node, Before string
}

// leaderSpan is a time with one leader, and its place in the picture.
type leaderSpan struct {
	Node string
	// Color numbers the leaders in the picture.
	Color    int
	X, Width int
	// Wide says that the name fits in.
	Wide bool
}

const (
	// maxChanges is how many are shown.
	maxChanges = 20
	// timelineWidth is the picture's, thin the least of a span, wide that of a
	// name.
	timelineWidth, thin, wide = 640, 4, 150
	// colors are as many as the style sheet has.
	colors = 5
)

// newTimeline reads it out of events, which are the newest first. It begins a
// little before the first change, since somebody led by then.
func newTimeline(events []eventlogapi.Event, now time.Time) timeline {
	var t timeline
	for _, e := range events {
		if c, ok := eventlogapi.ParseLeaderChange(e.Message); ok && len(t.Changes) < maxChanges {
			t.Changes = append(t.Changes, leaderChange{e.Time, c.Node, c.Before})
		}
	}
	if len(t.Changes) == 0 {
		return t
	}
	first := t.Changes[len(t.Changes)-1]
	whole := max(now.Sub(first.Time), time.Second)
	t.From = first.Time.Add(-whole / 8)
	whole = max(now.Sub(t.From), time.Second)
	place := func(at time.Time) int {
		return int(float64(timelineWidth) * min(1, max(0, float64(at.Sub(t.From))/float64(whole))))
	}
	leaders := []string{first.Before}
	t.Spans = []leaderSpan{{Node: first.Before}}
	for _, c := range slices.Backward(t.Changes) {
		color := slices.Index(leaders, c.Node)
		if color < 0 {
			color = len(leaders)
			leaders = append(leaders, c.Node)
		}
		last := &t.Spans[len(t.Spans)-1]
		// Changes that follow one another at once are to be seen as well.
		x := min(max(place(c.Time), last.X+thin), timelineWidth-thin)
		last.Width = max(0, x-last.X)
		t.Spans = append(t.Spans, leaderSpan{Node: c.Node, Color: color % colors, X: x})
	}
	t.Spans[len(t.Spans)-1].Width = timelineWidth - t.Spans[len(t.Spans)-1].X
	for i, node := range leaders {
		t.Leaders = append(t.Leaders, leaderColor{node, i % colors})
	}
	for i := range t.Spans {
		t.Spans[i].Wide = t.Spans[i].Width >= wide
	}
	return t
}
