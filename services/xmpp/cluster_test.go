package xmpp

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/services/config"
	"parley/services/problem"
	"parley/services/xmpp/store"
)

func TestClusterForms(t *testing.T) {
	ms := newCluster(t, 3)
	awaitMembers(t, ms...)
	leader := leaderOf(t, ms...)
	for i, m := range ms {
		m.change(problem.BridgeExists, func() error {
			_, err := m.AddCallBridge(t.Context(), fmt.Sprintf("cb%d", i), "")
			return err
		})
		if got, err := m.CallBridges(t.Context()); err != nil || len(got) != i+1 {
			t.Errorf("CallBridges on %s = %v, %v; want %d, what it has just added too", m.addr.Load(), got, err, i+1)
		}
	}
	for _, m := range ms {
		await(t, "margin of 1", func() error {
			if c, err := m.Cluster(t.Context()); err != nil || c.Margin != 1 || !c.Leader {
				return fmt.Errorf("Cluster of %s = %+v, %v", m.addr.Load(), c, err)
			}
			return nil
		})
	}
	leader.end()
	rest := slices.DeleteFunc(slices.Clone(ms), func(m *member) bool { return m == leader })
	if next := leaderOf(t, rest...); next == leader {
		t.Error("the leader that stopped still leads")
	}
	for _, m := range rest {
		m.addUser("user-" + strings.ReplaceAll(m.addr.Load().String(), ".", "-"))
	}
	leader.start()
	awaitServed(t, ms...)
	await(t, "the node that was away has the accounts", func() error {
		us, err := leader.Users(t.Context())
		if err == nil && len(us) != 2 {
			err = fmt.Errorf("it has %d", len(us))
		}
		return err
	})
}

func TestNoDuplicateMembers(t *testing.T) {
	ms := newCluster(t, 3)
	rejoin := func(m, by *member) {
		t.Helper()
		m.enable()
		m.join(by, false)
		awaitServed(t, ms...)
		awaitMembers(t, ms...)
	}
	forget := func(m *member) string {
		t.Helper()
		still, err := m.Reset(t.Context())
		if err != nil {
			t.Fatalf("Reset of %s = %s", m.addr.Load(), problem.Text(err))
		}
		return still
	}
	// A node that is reset has some seconds to tell the others, which a busy
	// machine may need for elections: they count it until it joins again.
	told := map[string]int{}
	for round := 0; round < 2 || (told["follower"] < 2 || told["leader"] < 2) && round < 6; round++ {
		leader := leaderOf(t, ms...)
		var follower *member
		for _, m := range ms {
			if m != leader {
				follower = m
			}
		}
		for _, m := range []*member{follower, leader} {
			role := "follower"
			if leaderOf(t, ms...) == m {
				role = "leader"
			}
			switch still := forget(m); still {
			case "":
				told[role]++
			case m.addr.Load().String() + ":5222":
				t.Logf("round %d: Reset of %s, the %s, leaves it a member", round, still, role)
			default:
				t.Errorf("round %d: Reset of %s leaves a member %q", round, m.addr.Load(), still)
			}
			by := ms[0]
			if m == by {
				by = ms[1]
			}
			rejoin(m, by)
		}
	}
	if told["follower"] < 2 || told["leader"] < 2 {
		t.Errorf("the others were told of %v resets; want 2 of each", told)
	}
	// The node cannot tell the others: its store is gone while it is down.
	lost := ms[2]
	lost.end()
	if err := os.RemoveAll(config.FolderPaths(lost.dir).XMPP()); err != nil {
		t.Fatal(err)
	}
	lost.start()
	rejoin(lost, ms[0])
}

func TestAddressChange(t *testing.T) {
	ms := newCluster(t, 3)
	for _, m := range []*member{leaderOf(t, ms...), ms[0]} {
		old := m.addr.Load()
		a := netip.AddrFrom4([4]byte{127, testNet, old.As4()[2] + 100, old.As4()[3] + 10*byte(clusterNet.Add(1)%20)})
		m.end()
		m.addr.Store(&a)
		m.start()
		awaitServed(t, ms...)
		awaitMembers(t, ms...)
	}
}

// A node that is removed, by itself or by others, stands alone and can join
// again; one that was down meanwhile finds it out.
func TestRemove(t *testing.T) {
	ms := newCluster(t, 3)
	again := func(m, by *member) {
		t.Helper()
		await(t, "no member any more", func() error {
			if c, err := m.Cluster(t.Context()); err != nil || c.Member {
				return fmt.Errorf("member %v, %v", c.Member, err)
			}
			return nil
		})
		m.join(by, true)
		awaitServed(t, ms...)
		awaitMembers(t, ms...)
	}
	leader := leaderOf(t, ms...)
	leader.change(problem.ClusterNotMember, func() error { return leader.ClusterLeave(t.Context()) })
	i := slices.Index(ms, leader)
	a, b := ms[(i+1)%3], ms[(i+2)%3]
	awaitMembers(t, a, b)
	again(leader, a)

	if err := a.ClusterRemove(t.Context(), b.addr.Load().String(), false); problem.CodeOf(err) != problem.ClusterLiving {
		t.Errorf("ClusterRemove of a living node, not confirmed = %v; want %s", err, problem.ClusterLiving)
	}
	a.remove(b.addr.Load().String())
	again(b, leader)

	b.end()
	await(t, "removal of a dead node, once it is known to be", func() error {
		err := a.ClusterRemove(t.Context(), b.addr.Load().String()+":5222", false)
		if problem.CodeOf(err) == problem.ClusterNode {
			return nil
		}
		return err
	})
	awaitMembers(t, a, leader)
	b.start()
	again(b, leader)
	if err := a.ClusterRemove(t.Context(), "127.0.0.99", false); problem.CodeOf(err) != problem.ClusterNode {
		t.Errorf("ClusterRemove of a stranger = %v; want %s", err, problem.ClusterNode)
	}
}

// A cluster that lost its majority for good is founded again by one that is
// left, and the others, which come back with the old membership, do it no harm.
func TestInitializeAgain(t *testing.T) {
	ms := newCluster(t, 3)
	ms[0].addUser("ann")
	ms[1].end()
	ms[2].end()
	if err := ms[0].ClusterInitialize(t.Context(), true); err != nil {
		t.Fatalf("ClusterInitialize again = %s", problem.Text(err))
	}
	awaitServed(t, ms[0])
	awaitMembers(t, ms[0])
	ms[1].start()
	ms[2].start()
	awaitServed(t, ms[1], ms[2])
	if us, err := ms[0].Users(t.Context()); err != nil || len(us) != 1 {
		t.Errorf("Users = %v, %v; want ann", us, err)
	}
	awaitMembers(t, ms[0])
	for _, m := range ms[1:] {
		// Who leads the others may have yet to hear that they were given up.
		await(t, "reset of "+m.addr.Load().String(), func() error {
			_, err := m.Reset(t.Context())
			return err
		})
		m.join(ms[0], true)
	}
	awaitServed(t, ms...)
	awaitMembers(t, ms...)
}

// What a leader says to a node that asks whether it may join.
func TestCheckJoin(t *testing.T) {
	m := newCluster(t, 1)[0]
	if _, err := m.AddCallBridge(t.Context(), "cb1", "kvgP1SRzWVabhiPVAb1"); err != nil {
		t.Fatal(err)
	}
	same := digest(store.CallBridge{Name: "cb1", Secret: "kvgP1SRzWVabhiPVAb1"})
	other := digest(store.CallBridge{Name: "cb1", Secret: "uBiLLdIU8vVqj86CAb1"})
	tests := []struct {
		name   string
		change func(*joinRequest)
		want   problem.Code
		in     string
	}{
		{"another domain", func(r *joinRequest) { r.Hello.Domain = "example.org" }, problem.ClusterDomain, "example.org"},
		{"another protocol", func(r *joinRequest) { r.Hello.Protocol, r.Hello.Version = protocol+1, "9.1" }, problem.ClusterVersion, "9.1"},
		{"a slow clock", func(r *joinRequest) { r.Hello.Time = r.Hello.Time.Add(-95 * time.Second) }, problem.ClusterClock, "95 s"},
		{"a fast clock", func(r *joinRequest) { r.Hello.Time = r.Hello.Time.Add(95 * time.Second) }, problem.ClusterClock, "s from"},
		{"another secret", func(r *joinRequest) { r.Bridges = map[string]string{"cb1": other} }, problem.ClusterSecret, "cb1"},
		{"a bridge that the cluster has not", func(r *joinRequest) { r.Bridges = map[string]string{"cb1": same, "cb9": same, "cb8": same} }, problem.ClusterBridge, "no Call Bridge cb8, cb9; note its secret from 'xmpp callbridge list', type 'xmpp callbridge del cb8' here"},
		{"a bridge with another secret, and one that the cluster has not", func(r *joinRequest) { r.Bridges = map[string]string{"cb1": other, "cb0": same} }, problem.ClusterSecret, "Call Bridge cb1 is"},
		{"itself", func(r *joinRequest) { r.Hello.ID = m.core.State().ID }, problem.ClusterSelf, "cb1 is this node itself"},
		{"no way back", func(r *joinRequest) { r.Bridges = map[string]string{"cb1": same} }, problem.ClusterBack, "127.0.0.99:5222"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := joinRequest{Node: "cb1", Hello: m.hello(m.core)}
			req.Hello.ID, req.Hello.Address = "new", "127.0.0.99:5222"
			tt.change(&req)
			before := m.core.State().LastIndex
			_, err := m.checkJoin(t.Context(), m.core, req)
			if problem.CodeOf(err) != tt.want || !strings.Contains(problem.Text(err), tt.in) {
				t.Errorf("checkJoin = %s; want %s with %q", problem.Text(err), tt.want, tt.in)
			}
			if now := m.core.State().LastIndex; now != before {
				t.Errorf("the log went from %d to %d", before, now)
			}
		})
	}
}
