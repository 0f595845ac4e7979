package relay

import (
	"testing"
	"time"

	"parley/services/xmpp/link"
)

// What the peer has is given up some time after the leader has taken the call
// that says so, however long ago that was made: the connection may be cut.
func TestForget(t *testing.T) {
	const retain = 3 * time.Second
	begin := time.Now()
	s := newSession(link.Session{Kind: link.Client}, begin)
	for n := range uint64(2) {
		if err := s.deliver(link.Delivery{N: n + 1, Item: link.Item(n + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	s.acknowledge(1)
	for _, step := range []struct {
		name        string
		at          time.Duration
		calls, took uint64
		want        int
	}{
		{"noted", retain, 5, 4, 2},
		{"not taken for long", 4 * retain, 9, 4, 2},
		{"taken just now", 4*retain + time.Second, 9, 5, 2},
		{"taken long ago", 5 * retain, 9, 9, 1},
		{"the other is not delivered", 20 * retain, 9, 9, 1},
	} {
		s.forget(begin.Add(step.at), retain, step.calls, step.took)
		if got := len(s.Queue); got != step.want {
			t.Errorf("%s: %d deliveries are told to a new leader; want %d", step.name, got, step.want)
		}
	}
}
