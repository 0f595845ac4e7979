package xmpp

import (
	"fmt"
	"testing"

	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// When a node that its own list of members lacks may act on that.
func TestSurelyOutside(t *testing.T) {
	const own = "c1"
	list := func(ids ...string) (ms []store.Member) {
		for _, id := range ids {
			ms = append(ms, store.Member{ID: id, Addr: id + ":5222", Voter: true})
		}
		return ms
	}
	stranger := func(cluster string) peer.State { return peer.State{Stranger: "another", StrangerCluster: cluster} }
	tests := []struct {
		name          string
		members       []store.Member
		last, applied uint64
		peers         map[string]peer.State
		outside, sure bool
	}{
		{name: "no store yet"},
		{name: "a member", members: list("me", "a"), last: 9, applied: 9},
		{name: "a member that all others have given up", members: list("me", "a"), last: 9, applied: 9, peers: map[string]peer.State{"a": stranger("")}},
		{name: "committed", members: list("a"), last: 9, applied: 9, outside: true, sure: true},
		{name: "not known to be committed", members: list("a"), last: 9, applied: 8, outside: true},
		{name: "the other has left", members: list("a"), last: 9, applied: 8, peers: map[string]peer.State{"a": stranger("")}, outside: true, sure: true},
		{name: "the other has founded another cluster", members: list("a"), last: 9, applied: 8, peers: map[string]peer.State{"a": stranger("c2")}, outside: true, sure: true},
		{name: "another member has its address", members: list("a"), last: 9, applied: 8, peers: map[string]peer.State{"a": stranger(own)}, outside: true},
		{name: "one of the others has left", members: list("a", "b"), last: 9, applied: 8, peers: map[string]peer.State{"a": stranger("")}, outside: true},
		{name: "both others have left", members: list("a", "b"), last: 9, applied: 8, peers: map[string]peer.State{"a": stranger(""), "b": stranger("c2")}, outside: true, sure: true},
		{name: "the other lives", members: list("a"), last: 9, applied: 8, peers: map[string]peer.State{"a": {Reachable: true}}, outside: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := store.State{ID: "me", Members: tt.members, LastIndex: tt.last, AppliedIndex: tt.applied}
			if got := outside(st); got != tt.outside {
				t.Errorf("outside = %v; want %v", got, tt.outside)
			}
			if got := surelyOutside(st, tt.peers, own); got != tt.sure {
				t.Errorf("surelyOutside = %v; want %v", got, tt.sure)
			}
		})
	}
}

// One of two that is taken out, does not hear of it, and finds the other gone
// from the cluster, too, knows it by itself.
func TestTakenOutUntold(t *testing.T) {
	ms := newCluster(t, 2)
	leader := leaderOf(t, ms...)
	out := ms[0]
	if out == leader {
		out = ms[1]
	}
	// While something else is under way it does not act on what it is told.
	deaf, ok := out.activity.beginUnasked("a test")
	if !ok {
		t.Fatal("something is under way already")
	}
	if err := leader.ClusterRemove(t.Context(), out.addr.Load().String(), true); err != nil {
		t.Fatal(err)
	}
	await(t, "the copy to have the removal", func() error {
		c, err := out.Cluster(t.Context())
		if err == nil && (!c.Member || !c.Outside || len(c.Nodes) != 1) {
			err = fmt.Errorf("Cluster = %+v; want a member that is outside, and the other alone in the list", c)
		}
		return err
	})
	if err := leader.ClusterLeave(t.Context()); err != nil {
		t.Fatal(err)
	}
	deaf()
	out.end()
	out.start()
	await(t, "the node stands alone", func() error {
		c, err := out.Cluster(t.Context())
		if err == nil && (c.Member || c.Outside) {
			err = fmt.Errorf("Cluster = %+v; want no member", c)
		}
		return err
	})
	if err := leader.ClusterInitialize(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	awaitServed(t, leader)
	if err := out.ClusterJoin(t.Context(), leader.addr.Load().String(), true); err != nil {
		t.Fatal(err)
	}
	awaitServed(t, ms...)
	awaitMembers(t, ms...)
}
