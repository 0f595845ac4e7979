package store

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"parley/services/network/loopback"
	"parley/services/problem"
	"parley/services/xmpp/link"
)

// network makes the transports of a group.
type network interface {
	listen(t testing.TB, addr string) raft.Transport
	address(t testing.TB, n int) string
}

// memory is a network in which nodes can be cut off.
type memory struct {
	mu  sync.Mutex
	all map[raft.ServerAddress]*raft.InmemTransport
}

func (m *memory) address(_ testing.TB, n int) string { return fmt.Sprintf("node%d", n) }

func (m *memory) listen(_ testing.TB, addr string) raft.Transport {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, tr := raft.NewInmemTransportWithTimeout(raft.ServerAddress(addr), 200*time.Millisecond)
	m.all[raft.ServerAddress(addr)] = tr
	for a, other := range m.all {
		tr.Connect(a, other)
		other.Connect(raft.ServerAddress(addr), tr)
	}
	return tr
}

// tcp is one of loopback addresses. A node that is down keeps its own.
type tcp struct{}

func (tcp) listen(t testing.TB, addr string) raft.Transport {
	tr, err := raft.NewTCPTransport(addr, nil, 3, time.Second, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func (tcp) address(testing.TB, int) string { return loopback.Address().String() + ":5222" }

// steady is the timing of groups whose leader is not lost: a machine that is
// busy for a moment makes no election.
var steady = Config{NoSync: true, Timing: Timing{Heartbeat: 5 * time.Second}}

// node is a member of a test group.
type node struct {
	*Store
	net  network
	cfg  Config
	addr string
	stop func() error
}

// boot opens and runs a node on its address.
func (n *node) boot(t testing.TB) {
	t.Helper()
	n.Store = New(n.cfg, Deps{Log: testLog().With("node", n.addr), Transport: n.net.listen(t, n.addr)})
	n.stop = run(t, n.Store)
}

// group is a cluster of nodes in one process.
type group struct {
	t     testing.TB
	nodes []*node
}

func newGroup(t testing.TB, net network, size int, cfg Config) *group {
	t.Helper()
	g := &group{t: t}
	for i := range size {
		c := cfg
		c.Dir = t.TempDir()
		n := &node{net: net, cfg: c, addr: net.address(t, i)}
		g.nodes = append(g.nodes, n)
		if i == 0 {
			n.boot(t)
			if err := n.WaitReady(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := n.Address(t.Context(), n.addr); err != nil {
				t.Fatal("Address:", err)
			}
			continue
		}
		g.join(n)
	}
	return g
}

// join makes a node anew and has the leader take it in.
func (g *group) join(n *node) {
	g.t.Helper()
	if err := Reset(n.cfg.Dir); err != nil {
		g.t.Fatal(err)
	}
	id, err := CreateMember(n.cfg.Dir)
	if err != nil {
		g.t.Fatal(err)
	}
	n.boot(g.t)
	g.onLeader(func(l *node) error { return l.AddLearner(g.t.Context(), id, n.addr) })
	g.onLeader(func(l *node) error { return l.Promote(g.t.Context(), id) })
}

// onLeader repeats f on whoever leads until it succeeds.
func (g *group) onLeader(f func(l *node) error) {
	g.t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for _, n := range g.nodes {
			if n.Store != nil && n.State().Ready {
				if err = f(n); err == nil {
					return
				}
			}
		}
	}
	g.t.Fatal("no leader does it:", err)
}

// apply has whoever leads make a change once: op refuses to be made twice, or
// its number does.
func (g *group) apply(op Op) {
	g.t.Helper()
	open := false
	g.onLeader(func(l *node) error {
		rs, err := l.Apply(g.t.Context(), op)
		open = open || errors.Is(err, ErrOutcome)
		if err == nil && rs[0].Err != nil && !(open && problem.CodeOf(rs[0].Err) == problem.UserExists) {
			g.t.Fatalf("Apply(%T) refused: %v", op, rs[0].Err)
		}
		return err
	})
}

func (g *group) leader() (l *node) {
	g.t.Helper()
	g.onLeader(func(n *node) error { l = n; return nil })
	return l
}

// without are the others. Whoever follows is without(l) for an l that led: the
// next leader may be another.
func (g *group) without(one *node) (ns []*node) {
	for _, n := range g.nodes {
		if n != one {
			ns = append(ns, n)
		}
	}
	return ns
}

// checkMembers checks that the group has just these nodes, with a vote.
func (g *group) checkMembers() {
	g.t.Helper()
	want := map[string]string{}
	for _, n := range g.nodes {
		want[n.addr] = n.State().ID
	}
	got := map[string]string{}
	ms := g.leader().State().Members
	for _, m := range ms {
		got[m.Addr] = m.ID
		if !m.Voter {
			g.t.Errorf("member %s has no vote", m.Addr)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(ms) != len(want) {
		g.t.Errorf("members: %v\n%s", ms, diff)
	}
}

// networks runs a test on each kind of network.
func networks(t *testing.T, f func(t *testing.T, net network)) {
	t.Run("memory", func(t *testing.T) { f(t, &memory{all: map[raft.ServerAddress]*raft.InmemTransport{}}) })
	t.Run("tcp", func(t *testing.T) { f(t, tcp{}) })
}

func TestGroupApplies(t *testing.T) {
	networks(t, func(t *testing.T, net network) {
		g := newGroup(t, net, 3, steady)
		g.checkMembers()
		l := g.leader()
		apply(t, l.Store, &AccountAdd{Name: "ada"})
		_, index, err := l.ApplyAt(t.Context(), &MessagePut{Account: "ada", Stanza: []byte("1")})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range g.nodes {
			if err := n.WaitApplied(t.Context(), index); err != nil {
				t.Fatal(err)
			}
			if c, err := n.Pending("ada"); c != 1 || err != nil {
				t.Errorf("Pending(ada) on %s = %d, %v; want 1", n.addr, c, err)
			}
			st := n.State()
			if st.LeaderID != l.State().ID || st.LeaderAddr != l.addr || len(st.Members) != 3 || time.Since(st.Contact) > 10*time.Second {
				t.Errorf("State() on %s = %+v", n.addr, st)
			}
		}
		for _, f := range g.without(l) {
			if _, err := f.Apply(t.Context(), &AccountAdd{Name: "bob"}); problem.CodeOf(err) != problem.NoLeader {
				t.Errorf("Apply on a follower = %v; want %s", err, problem.NoLeader)
			}
			if err := f.Remove(t.Context(), "x"); problem.CodeOf(err) != problem.NoLeader {
				t.Errorf("Remove on a follower = %v; want %s", err, problem.NoLeader)
			}
		}
	})
}

// inboxes reads ada's inbox on each node, as it is now: messages of "sender
// number …", which must come in order from 1. It returns the last number of
// each sender.
func (g *group) inboxes() (all []map[string]uint64) {
	g.t.Helper()
	var index uint64
	g.onLeader(func(l *node) (err error) {
		_, index, err = l.ApplyAt(g.t.Context(), &AccountSet{Name: "ada"})
		return err
	})
	for _, n := range g.nodes {
		if err := n.WaitApplied(g.t.Context(), index); err != nil {
			g.t.Fatal(err)
		}
		got := map[string]uint64{}
		for after := link.Item(0); ; {
			ms, err := n.Inbox("ada", after, 1000)
			if err != nil {
				g.t.Fatal(err)
			}
			if len(ms) == 0 {
				break
			}
			for _, m := range ms {
				var sender string
				var seq uint64
				fmt.Sscan(string(m.Stanza), &sender, &seq)
				if seq != got[sender]+1 {
					g.t.Fatalf("%s: message %d of sender %s follows %d", n.addr, seq, sender, got[sender])
				}
				got[sender] = seq
				after = m.Item
			}
		}
		all = append(all, got)
	}
	return all
}

// agreed tells if all nodes name one leader in one term.
func (g *group) agreed() bool {
	first := g.nodes[0].State()
	for _, n := range g.nodes[1:] {
		if st := n.State(); st.Term != first.Term || st.LeaderID != first.LeaderID {
			return false
		}
	}
	return first.LeaderID != ""
}
