package node_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/services/xmpp/realclient"
)

// traffic is a steady row of messages from one client to another.
type traffic struct {
	t        *testing.T
	prefix   string
	from, to *realclient.Client
}

// startTraffic has from send to user, at that interval, and returns when the
// first has come.
func startTraffic(t *testing.T, prefix string, from, to *realclient.Client, user string, every time.Duration) *traffic {
	t.Helper()
	from.Do("steady", user+"@"+domain, prefix, strconv.Itoa(int(every.Milliseconds())))
	to.Await("the first of "+prefix, body(prefix+"-0"))
	return &traffic{t, prefix, from, to}
}

func (f *traffic) messages() []realclient.Event {
	return f.to.Events(func(e realclient.Event) bool {
		return e.Event == "message" && strings.HasPrefix(e.Body, f.prefix+"-")
	})
}

// awaitMore waits until n more messages have come.
func (f *traffic) awaitMore(n int) {
	f.t.Helper()
	before := len(f.messages())
	await(f.t, fmt.Sprintf("%d more of %s", n, f.prefix), func(context.Context) error {
		if got := len(f.messages()) - before; got < n {
			return fmt.Errorf("%d have come", got)
		}
		return nil
	})
}

// finish ends the row, and checks that what was acknowledged came, and nothing
// more than once to a session that went on. A sender that kept its stream has
// all acknowledged, and in order; the libraries do not send again in order, nor
// always all, what was under way when they lost their connection.
func (f *traffic) finish() {
	f.t.Helper()
	f.from.Do("halt", f.prefix)
	n := f.from.Await("the end of "+f.prefix, func(e realclient.Event) bool { return e.Event == "halted" && e.ID == f.prefix }).Count
	id := func(i int) string { return fmt.Sprintf("%s-%d", f.prefix, i) }
	kept := f.from.Count(lost) == 0
	if kept {
		f.from.Await("the acknowledgement of the last of "+f.prefix, acked(id(n-1)))
	}
	acknowledged := map[string]bool{}
	for _, i := range f.from.IDs("acked") {
		acknowledged[i] = true
	}
	var missing, twice, disorder []string
	for i := range n {
		if !acknowledged[id(i)] {
			if kept {
				f.t.Errorf("%s was not acknowledged, and later ones were", id(i))
			}
			continue
		}
		if !soon(func() bool { return f.to.Count(body(id(i))) > 0 }) {
			missing = append(missing, id(i))
		}
	}
	count, last := map[string]int{}, -1
	for _, e := range f.messages() {
		at, _ := strconv.Atoi(strings.TrimPrefix(e.Body, f.prefix+"-"))
		if count[e.Body]++; count[e.Body] > 1 {
			twice = append(twice, e.Body)
		} else if at < last && kept {
			disorder = append(disorder, e.Body)
		}
		last = at
	}
	if sessions(f.to) > 1 {
		twice, disorder = nil, nil
	}
	if len(missing)+len(twice)+len(disorder) > 0 {
		f.t.Errorf("%s: of %d messages %d were acknowledged and did not come: %v; came again: %v; came late: %v", f.prefix, n, len(missing), missing, twice, disorder)
	}
}

// soon says whether f comes true within a few seconds.
func soon(f func() bool) bool {
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// sessions is how many the client has had.
func sessions(c *realclient.Client) int {
	return c.Count(func(e realclient.Event) bool { return e.Event == "connected" })
}

// gap is the longest time between two messages so far that came after a moment.
func (f *traffic) gap(after time.Time) (longest time.Duration) {
	var last int64
	for _, e := range f.messages() {
		if last != 0 && (after.IsZero() || e.At > after.UnixNano()) {
			longest = max(longest, time.Duration(e.At-last))
		}
		last = e.At
	}
	return longest
}

// untouched says that the clients have kept the streams they began with.
func untouched(t *testing.T, cs ...*realclient.Client) {
	t.Helper()
	for _, c := range cs {
		if es := c.Events(lost); len(es) > 0 {
			t.Errorf("a client of a living node lost its stream: %+v", es)
		}
	}
}
