package xmpp

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/services/problem"
)

// With one of three nodes lost, neither of the others can be taken out, in any
// way, until that one has been: the last would serve nobody. Nothing has changed
// by the attempts.
func TestRemoveNeeded(t *testing.T) {
	ms := newCluster(t, 3)
	lost := ms[1]
	lost.end()
	rest := []*member{ms[0], ms[2]}
	leader := leaderOf(t, rest...)
	follower := rest[0]
	if follower == leader {
		follower = rest[1]
	}
	at := func(m *member) string { return m.addr.Load().String() }
	await(t, "the leader to miss "+at(lost), func() error {
		c, err := leader.Cluster(t.Context())
		if err == nil && c.Margin != 0 {
			err = fmt.Errorf("margin %d", c.Margin)
		}
		return err
	})
	reset := func(m *member) func() error {
		return func() error { _, err := m.Reset(t.Context()); return err }
	}
	for _, tt := range []struct {
		name string
		out  *member
		f    func() error
	}{
		{"the follower by the leader", follower, func() error { return leader.ClusterRemove(t.Context(), at(follower), true) }},
		{"the follower by itself", follower, func() error { return follower.ClusterLeave(t.Context()) }},
		{"the leader by the follower", leader, func() error { return follower.ClusterRemove(t.Context(), at(leader), true) }},
		{"the leader by itself", leader, func() error { return leader.ClusterLeave(t.Context()) }},
		{"the leader by its address", leader, func() error { return leader.ClusterRemove(t.Context(), at(leader), true) }},
		{"reset of the follower", follower, reset(follower)},
		{"reset of the leader", leader, reset(leader)},
	} {
		began := time.Now()
		err := tt.f()
		want := "type 'xmpp cluster remove " + at(lost) + "' before"
		if text := problem.Text(err); problem.CodeOf(err) != problem.ClusterNeeded || !strings.HasPrefix(text, "without "+at(tt.out)+" ") || !strings.Contains(text, want) {
			t.Fatalf("%s = %v; want %s with %q", tt.name, err, problem.ClusterNeeded, want)
		}
		t.Logf("%s: refused after %v", tt.name, time.Since(began).Round(time.Millisecond))
		if now := leaderOf(t, rest...); now != leader {
			t.Fatalf("%s: %s leads now; want %s still", tt.name, at(now), at(leader))
		}
	}
	for _, m := range rest {
		if got := m.addresses(); len(got) != 3 {
			t.Errorf("members on %s = %v; want all three still", at(m), got)
		}
	}
	leader.addUser("ann")

	// The way that the text names.
	follower.remove(at(lost))
	awaitMembers(t, rest...)
	if still, err := follower.Reset(t.Context()); err != nil || still != "" {
		t.Fatalf("Reset then = %q, %v; want it out of the cluster", still, err)
	}
	awaitMembers(t, leader)
	awaitServed(t, leader)
	lost.start()
	await(t, "the lost node to know", func() error {
		if c, err := lost.Cluster(t.Context()); err != nil || c.Member {
			return fmt.Errorf("member %v, %v", c.Member, err)
		}
		return nil
	})
	for _, m := range []*member{follower, lost} {
		m.enable()
		m.join(leader, true)
	}
	awaitServed(t, ms...)
	awaitMembers(t, ms...)
}

// A node without a leader tells a cluster that has yet to elect one from one
// that cannot.
func TestLeaderless(t *testing.T) {
	ms := newCluster(t, 3)
	leader := leaderOf(t, ms...)

	says := func(code problem.Code, in string) func() error {
		return func() error {
			err := leader.core.leaderless(leader.core.State())
			if text := problem.Text(err); problem.CodeOf(err) != code || !strings.Contains(text, in) || !leaderMissing(err) {
				return fmt.Errorf("leaderless = %s", text)
			}
			return nil
		}
	}
	await(t, "all reached", says(problem.ClusterElecting, "though 3 of its 3 nodes"))
	rest := slices.DeleteFunc(slices.Clone(ms), func(m *member) bool { return m == leader })
	rest[0].end()
	await(t, "two reached", says(problem.ClusterElecting, "though 2 of its 3 nodes"))
	rest[1].end()
	await(t, "none reached", says(problem.ClusterNoMajority, "most of the cluster's nodes cannot be reached"))
}
