package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

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

// loopback is TCP on 127.0.0.1.
type loopback struct{}

func (loopback) listen(t testing.TB, addr string) raft.Transport {
	tr, err := raft.NewTCPTransport(addr, nil, 3, time.Second, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func (l loopback) address(t testing.TB, _ int) string {
	tr, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, time.Second, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	return string(tr.LocalAddr())
}

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
	if err := n.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	var once sync.Once
	var stopErr error
	n.stop = func() error {
		once.Do(func() {
			cancel()
			stopErr = <-done
		})
		return stopErr
	}
	stop := n.stop
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error("Run:", err)
		}
	})
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
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
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

func (g *group) leader() (l *node) {
	g.t.Helper()
	g.onLeader(func(n *node) error { l = n; return nil })
	return l
}

func (g *group) followers() (fs []*node) {
	l := g.leader()
	for _, n := range g.nodes {
		if n != l {
			fs = append(fs, n)
		}
	}
	return fs
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
	t.Run("tcp", func(t *testing.T) { f(t, loopback{}) })
}

func TestGroupApplies(t *testing.T) {
	networks(t, func(t *testing.T, net network) {
		g := newGroup(t, net, 3, Config{NoSync: true})
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
		for _, f := range g.followers() {
			if _, err := f.Apply(t.Context(), &AccountAdd{Name: "bob"}); problem.CodeOf(err) != problem.NoLeader {
				t.Errorf("Apply on a follower = %v; want %s", err, problem.NoLeader)
			}
			if err := f.Remove(t.Context(), "x"); problem.CodeOf(err) != problem.NoLeader {
				t.Errorf("Remove on a follower = %v; want %s", err, problem.NoLeader)
			}
		}
	})
}

func TestTransfer(t *testing.T) {
	networks(t, func(t *testing.T, net network) {
		g := newGroup(t, net, 3, Config{NoSync: true})
		apply(t, g.leader().Store, &AccountAdd{Name: "ada"})
		var worst time.Duration
		for range 10 {
			l := g.leader()
			begin := time.Now()
			if err := l.Transfer(t.Context()); err != nil {
				t.Fatal(err)
			}
			if st := l.State(); st.Role == "LEADER" {
				t.Errorf("after Transfer it is %s", st.Role)
			}
			worst = max(worst, time.Since(begin))
		}
		t.Logf("worst of ten transfers took %v", worst)
	})
}

// Under load nothing is lost, doubled or refused by a transfer.
func TestTransferUnderLoad(t *testing.T) {
	g := newGroup(t, loopback{}, 3, Config{NoSync: true})
	apply(t, g.leader().Store, &AccountAdd{Name: "ada"})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	const senders = 8
	acked := make([]uint64, senders)
	for c := range senders {
		wg.Go(func() {
			for seq := uint64(1); ctx.Err() == nil; {
				put := &MessagePut{Account: "ada", Session: link.SessionID{byte(c + 1)}, Seq: seq, Stanza: fmt.Appendf(nil, "%d %d", c, seq)}
				for _, n := range g.nodes {
					if _, err := n.Apply(t.Context(), put); err == nil {
						acked[c] = seq
						seq++
						break
					} else if problem.CodeOf(err) != problem.NoLeader && !errors.Is(err, ErrOutcome) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for range 8 {
		g.onLeader(func(l *node) error { return l.Transfer(t.Context()) })
		time.Sleep(50 * time.Millisecond)
	}
	cancel()
	wg.Wait()
	g.checkInbox(acked)
}

// checkInbox checks that each node has the numbers 1…acked[c] of each sender,
// once and in order, and at most the next one too.
func (g *group) checkInbox(acked []uint64) {
	g.t.Helper()
	_, index, err := g.leader().ApplyAt(g.t.Context(), &AccountSet{Name: "ada"})
	if err != nil {
		g.t.Fatal(err)
	}
	for _, n := range g.nodes {
		if err := n.WaitApplied(g.t.Context(), index); err != nil {
			g.t.Fatal(err)
		}
		got := make([]uint64, len(acked))
		for after := link.Item(0); ; {
			ms, err := n.Inbox("ada", after, 1000)
			if err != nil {
				g.t.Fatal(err)
			}
			if len(ms) == 0 {
				break
			}
			for _, m := range ms {
				var c int
				var seq uint64
				fmt.Sscan(string(m.Stanza), &c, &seq)
				if seq != got[c]+1 {
					g.t.Fatalf("%s: message %d of sender %d follows %d", n.addr, seq, c, got[c])
				}
				got[c] = seq
				after = m.Item
			}
		}
		for c := range acked {
			if got[c] < acked[c] || got[c] > acked[c]+1 {
				g.t.Errorf("%s: sender %d has %d messages; %d are acknowledged", n.addr, c, got[c], acked[c])
			}
		}
	}
}

// A leader that stops without a word is replaced at once where somebody calls
// Campaign.
func TestCampaign(t *testing.T) {
	g := newGroup(t, loopback{}, 3, Config{NoSync: true})
	apply(t, g.leader().Store, &AccountAdd{Name: "ada"})
	if err := g.leader().Campaign(); err != nil {
		t.Error("Campaign on a leader:", err)
	}
	for range 3 {
		l := g.leader()
		fs := g.without(l)
		term := l.State().Term
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		// Both at once: a split vote is made good without a timeout, and one
		// that was elected may be followed by the other.
		for _, f := range fs {
			if err := f.Campaign(); err != nil {
				t.Fatal(err)
			}
		}
		n := g.leader()
		t.Logf("%v to the next leader, %d terms", time.Since(begin), n.State().Term-term)
		l.boot(t)
		waitFor(t, "return", g.agreed)
	}
}

func TestMembersReplaced(t *testing.T) {
	for _, size := range []int{3, 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			g := newGroup(t, loopback{}, size, Config{NoSync: true})
			apply(t, g.leader().Store, &AccountAdd{Name: "ada"})
			for round := range 6 {
				n := g.leader()
				if round%2 == 1 {
					n = g.followers()[0]
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
				apply(t, g.leader().Store, &MessagePut{Account: "ada", Stanza: []byte("x")})
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
	g := newGroup(t, loopback{}, 3, Config{NoSync: true})
	l := g.leader()
	fs := g.followers()
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
	g := newGroup(t, loopback{}, 3, Config{NoSync: true})
	apply(t, g.leader().Store, &AccountAdd{Name: "ada"})
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
	f := g.followers()[0]
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

func (g *group) without(one *node) (ns []*node) {
	for _, n := range g.nodes {
		if n != one {
			ns = append(ns, n)
		}
	}
	return ns
}

func TestSetAddress(t *testing.T) {
	g := newGroup(t, loopback{}, 3, Config{NoSync: true})
	l := g.leader()
	a, b := g.followers()[0], g.followers()[1]
	idA, idB := a.State().ID, b.State().ID
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	a.addr = loopback{}.address(t, 0)
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
	g := newGroup(t, loopback{}, 3, Config{NoSync: true})
	l := g.leader()
	apply(t, l.Store, &AccountAdd{Name: "ada"})
	apply(t, l.Store, &ClusterSet{Cluster{ID: "c", Domain: "d", SaltKey: []byte("k")}})
	_, index, err := l.ApplyAt(t.Context(), &MessagePut{Account: "ada", Stanza: []byte("1")})
	if err != nil {
		t.Fatal(err)
	}
	f := g.followers()[0]
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

func TestMessagePutOnce(t *testing.T) {
	s, _ := start(t, Config{Dir: t.TempDir(), NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada"})
	id, other := link.SessionID{1}, link.SessionID{2}
	stamp := time.UnixMilli(5000).UTC()
	put := func(id link.SessionID, seq uint64) Result {
		return apply(t, s, &MessagePut{Session: id, Seq: seq, Account: "ada", Stamp: stamp, Stanza: []byte("x")})
	}
	for _, tt := range []struct {
		id    link.SessionID
		seq   uint64
		again bool
	}{{id, 1, false}, {id, 1, true}, {id, 3, false}, {id, 2, true}, {other, 2, false}, {id, 0, false}, {id, 0, false}, {id, 4, false}} {
		if res := put(tt.id, tt.seq); res.Again != tt.again || (res.Item == 0) != tt.again {
			t.Errorf("put %d of %x = %+v; want again %v", tt.seq, tt.id, res, tt.again)
		}
	}
	if m, ok, err := s.Session(id); m != (SessionMark{id, 3, 4, stamp}) || !ok || err != nil {
		t.Errorf("Session = %+v, %v, %v; want 3 to 4", m, ok, err)
	}
	if m, ok, err := s.Session(link.SessionID{7}); ok || err != nil {
		t.Errorf("Session of a stranger = %+v, %v, %v; want none", m, ok, err)
	}
	if refused(t, s, &MessagePut{Session: id, Seq: 9, Account: "eve"}) == nil || put(id, 9).Again {
		t.Error("a refused message counts as put")
	}
	ms, err := s.Sessions()
	if diff := cmp.Diff([]SessionMark{{id, 9, 9, stamp}, {other, 2, 2, stamp}}, ms); diff != "" || err != nil {
		t.Errorf("Sessions: %v\n%s", err, diff)
	}
	apply(t, s, &SessionEnd{IDs: []link.SessionID{id, {9}}})
	if put(id, 1).Again {
		t.Error("a session's numbers are there after its end")
	}
}

// A leader on its disk's reserve would refuse changes that others have room for.
func TestLeaderWithoutRoomHandsOver(t *testing.T) {
	g := newGroup(t, loopback{}, 3, Config{NoSync: true})
	f := g.followers()[0]
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	f.cfg.Reserve = 1 << 60
	f.boot(t)
	var stood time.Time
	waitFor(t, "leadership of the node without room", func() bool {
		// One election must be over before the next, which would depose the
		// leader that comes after.
		if time.Since(stood) > 300*time.Millisecond {
			stood = time.Now()
			// Until it runs it is closed.
			if err := f.Campaign(); err != nil && !errors.Is(err, ErrClosed) {
				t.Fatal(err)
			}
		}
		return f.State().Role == "LEADER"
	})
	waitFor(t, "change by another leader", func() bool {
		// The one before may not know yet that it is none any more.
		l := g.leader()
		if l == f {
			return false
		}
		_, err := l.Apply(t.Context(), &AccountAdd{Name: "ada"})
		return err == nil
	})
}
