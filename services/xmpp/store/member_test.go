package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"parley/services/problem"
	"parley/services/xmpp/link"
)

func TestMembersReplaced(t *testing.T) {
	for _, size := range []int{3, 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			g := newGroup(t, tcp{}, size, Config{NoSync: true})
			g.apply(&AccountAdd{Name: "ada"})
			for round := range 6 {
				n := g.leader()
				if round%2 == 1 {
					n = g.without(n)[0]
				}
				if err := n.stop(); err != nil {
					t.Fatal(err)
				}
				if round < 4 {
					g.join(n)
				} else {
					// It could not tell the others, and left and came.
					id := n.State().ID
					g.onLeader(func(l *node) error { return l.Remove(t.Context(), id) })
					g.join(n)
				}
				g.checkMembers()
				g.apply(&MessagePut{Account: "ada", Session: link.SessionID{1}, Seq: uint64(round + 1), Stanza: []byte("x")})
			}
			for _, n := range g.nodes {
				waitFor(t, "messages", func() bool { c, err := n.Pending("ada"); return err == nil && c == 6 })
			}
		})
	}
}

// A node that was reset has its old address: it must not vote as the one that
// it was.
func TestResetNodeHasNoVote(t *testing.T) {
	g := newGroup(t, tcp{}, 3, Config{NoSync: true})
	l := g.leader()
	fs := g.without(l)
	reset := fs[0]
	if err := reset.stop(); err != nil {
		t.Fatal(err)
	}
	if err := Reset(reset.cfg.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateMember(reset.cfg.Dir); err != nil {
		t.Fatal(err)
	}
	reset.boot(t)
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	// It may have come to lead meanwhile, and does not without the others.
	waitFor(t, "node that gives leadership up", func() bool { return fs[1].State().Role != "LEADER" })
	for range 5 {
		if err := fs[1].Campaign(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if role := fs[1].State().Role; role == "LEADER" {
			t.Fatal("the vote of a node without its memory was counted")
		}
	}
	if err := reset.Campaign(); err != nil || reset.State().Role != "FOLLOWER" {
		t.Errorf("Campaign of a node without a vote = %v, role %s", err, reset.State().Role)
	}
	l.boot(t)
	g.leader()
}

func TestRemove(t *testing.T) {
	g := newGroup(t, tcp{}, 3, steady)
	g.apply(&AccountAdd{Name: "ada"})
	l := g.leader()
	if err := l.Remove(t.Context(), l.State().ID); err != nil {
		t.Fatal("Remove of the leader:", err)
	}
	begin := time.Now()
	g.nodes = g.without(l)
	next := g.leader()
	t.Logf("next leader after %v", time.Since(begin))
	if got := len(next.State().Members); got != 2 {
		t.Errorf("%d members; want 2", got)
	}
	// The one that was removed stays up, and stays quiet.
	term := next.State().Term
	if err := l.Campaign(); err != nil {
		t.Error("Campaign of a removed node:", err)
	}
	time.Sleep(1200 * time.Millisecond)
	if st := l.State(); st.Role != "FOLLOWER" || next.State().Term != term || !next.State().Ready {
		t.Errorf("the removed node is %s, the term %d; want FOLLOWER, %d", st.Role, next.State().Term, term)
	}
	if got := l.raft.State(); got != raft.Follower {
		t.Errorf("Raft of the removed node is %v; want %v", got, raft.Follower)
	}
	f := g.without(next)[0]
	if err := next.Remove(t.Context(), f.State().ID); err != nil {
		t.Fatal("Remove of a follower:", err)
	}
	if err := next.Remove(t.Context(), f.State().ID); err != nil {
		t.Error("Remove of one that is no member:", err)
	}
	if err := next.Remove(t.Context(), next.State().ID); problem.CodeOf(err) != problem.ClusterLast {
		t.Errorf("Remove of the last = %v; want %s", err, problem.ClusterLast)
	}
	apply(t, next.Store, &AccountAdd{Name: "bob"})
}

func TestSetAddress(t *testing.T) {
	g := newGroup(t, tcp{}, 3, steady)
	l := g.leader()
	a, b := g.without(l)[0], g.without(l)[1]
	idA, idB := a.State().ID, b.State().ID
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	a.addr = tcp{}.address(t, 0)
	a.boot(t)
	if err := l.SetAddress(t.Context(), idA, a.addr); err != nil {
		t.Fatal(err)
	}
	_, index, err := l.ApplyAt(t.Context(), &AccountAdd{Name: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.WaitApplied(t.Context(), index); err != nil {
		t.Fatal(err)
	}
	g.checkMembers()
	// An address that another member has still.
	if err := l.SetAddress(t.Context(), idB, a.addr); err != nil {
		t.Fatal(err)
	}
	if err := l.SetAddress(t.Context(), idA, b.addr); err != nil {
		t.Fatal(err)
	}
	for _, m := range l.State().Members {
		if m.ID == idA && m.Addr != b.addr || m.ID == idB && m.Addr != a.addr {
			t.Errorf("after a swap: %+v", m)
		}
	}
	if err := l.SetAddress(t.Context(), "nobody", "x"); problem.CodeOf(err) != problem.ClusterNode {
		t.Errorf("SetAddress of nobody = %v; want %s", err, problem.ClusterNode)
	}
}

func TestRefound(t *testing.T) {
	g := newGroup(t, tcp{}, 3, steady)
	l := g.leader()
	apply(t, l.Store, &AccountAdd{Name: "ada"})
	apply(t, l.Store, &ClusterSet{Cluster{ID: "c", Domain: "d", SaltKey: []byte("k")}})
	_, index, err := l.ApplyAt(t.Context(), &MessagePut{Account: "ada", Stanza: []byte("1")})
	if err != nil {
		t.Fatal(err)
	}
	f := g.without(l)[0]
	if err := f.WaitApplied(t.Context(), index); err != nil {
		t.Fatal(err)
	}
	for _, n := range g.nodes {
		if err := n.stop(); err != nil {
			t.Fatal(err)
		}
	}
	old := f.State().ID
	for range 2 {
		if err := Refound(f.cfg.Dir, f.addr); err != nil {
			t.Fatal("Refound:", err)
		}
	}
	f.boot(t)
	if err := f.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := f.State()
	if diff := cmp.Diff([]Member{{st.ID, f.addr, true}}, st.Members); diff != "" || st.ID == old {
		t.Errorf("after Refound: identity %s, before %s, members\n%s", st.ID, old, diff)
	}
	if n, err := f.Pending("ada"); n != 1 || err != nil {
		t.Errorf("Pending = %d, %v; want 1", n, err)
	}
	if c, ok, err := f.Cluster(); c.ID != "c" || string(c.SaltKey) != "k" || !ok || err != nil {
		t.Errorf("Cluster() = %+v, %v, %v", c, ok, err)
	}
	apply(t, f.Store, &MessagePut{Account: "ada", Stanza: []byte("2")})
	// The others can be taken in again.
	g2 := &group{t: t, nodes: []*node{f}}
	for _, n := range g.nodes {
		if n != f {
			g2.nodes = append(g2.nodes, n)
			g2.join(n)
		}
	}
	g2.checkMembers()
}
