package peer

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// counter is a state machine that counts entries.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) Apply(*raft.Log) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

func (c *counter) get() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *counter) Snapshot() (raft.FSMSnapshot, error) { return nil, raft.ErrNothingNewToSnapshot }
func (c *counter) Restore(io.ReadCloser) error         { return nil }

// voter is a node with a Raft.
type voter struct {
	*node
	*raft.Raft
	fsm   *counter
	trans *raft.NetworkTransport
}

func (v *voter) halt() {
	v.Shutdown().Error()
	v.trans.Close()
	v.node.stop()
}

// newVoters makes a cluster of n.
func newVoters(t testing.TB, n int) []*voter {
	t.Helper()
	var all []*voter
	var servers []raft.Server
	for i := range n {
		v := &voter{node: newNode(t, fmt.Sprint("n", i), nil)}
		servers = append(servers, raft.Server{ID: raft.ServerID(v.id), Address: raft.ServerAddress(v.addr)})
		all = append(all, v)
	}
	for i, v := range all {
		var others []Member
		for _, o := range all {
			if o != v {
				others = append(others, Member{o.id, o.addr})
			}
		}
		v.SetMembers(others)
		v.trans = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: v.StreamLayer(func() string { return v.addr }),
			MaxPool: 3, Timeout: 2 * time.Second, Logger: hclog.NewNullLogger()})
		cfg := raft.DefaultConfig()
		cfg.LocalID = raft.ServerID(v.id)
		cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout, cfg.CommitTimeout = 300*time.Millisecond, 300*time.Millisecond, 200*time.Millisecond, 5*time.Millisecond
		cfg.Logger = hclog.NewNullLogger()
		v.fsm = &counter{}
		store := raft.NewInmemStore()
		if i == 0 {
			if err := raft.BootstrapCluster(cfg, store, store, raft.NewDiscardSnapshotStore(), v.trans, raft.Configuration{Servers: servers}); err != nil {
				t.Fatal(err)
			}
		}
		r, err := raft.NewRaft(cfg, v.fsm, store, store, raft.NewDiscardSnapshotStore(), v.trans)
		if err != nil {
			t.Fatal(err)
		}
		v.Raft = r
		t.Cleanup(v.halt)
	}
	return all
}

func leaderOf(t testing.TB, all []*voter) (leader *voter) {
	t.Helper()
	await(t, "there is a leader", func() bool {
		for _, v := range all {
			if v.State() == raft.Leader && v.VerifyLeader().Error() == nil {
				leader = v
				return true
			}
		}
		return false
	})
	return leader
}

// apply has whoever leads take n entries; more where it was lost meanwhile and
// the outcome left open.
func apply(t testing.TB, all []*voter, n int) {
	t.Helper()
	l := leaderOf(t, all)
	for range n {
		await(t, "an entry is taken", func() bool {
			err := l.Apply([]byte("x"), 5*time.Second).Error()
			if err != nil {
				t.Logf("%s led: %v", l.id, err)
				l = leaderOf(t, all)
			}
			return err == nil
		})
	}
}

func TestRaft(t *testing.T) {
	all := newVoters(t, 3)
	apply(t, all, 100)
	for _, v := range all {
		await(t, v.id+" has all", func() bool { return v.fsm.get() >= 100 })
	}
	t.Run("connections break", func(t *testing.T) {
		for range 3 {
			for _, v := range all {
				for _, c := range v.open() {
					c.abort()
				}
			}
			apply(t, all, 10)
		}
	})
	t.Run("leader ends", func(t *testing.T) {
		l := leaderOf(t, all)
		n := l.fsm.get()
		var rest []*voter
		for _, v := range all {
			if v != l {
				rest = append(rest, v)
			}
		}
		for _, v := range rest {
			await(t, v.id+" reaches the leader", func() bool { return v.asks(l.id) })
		}
		l.halt()
		await(t, "it is known to be gone", func() bool { return rest[0].Peers()[l.id].Refused && rest[1].Peers()[l.id].Refused })
		apply(t, rest, 10)
		for _, v := range rest {
			await(t, v.id+" has all", func() bool { return v.fsm.get() >= n+10 })
		}
	})
}

// TestRaftIsNotForOthers: neither a node that took a member's address nor one of
// another cluster is spoken to as a member.
func TestRaftIsNotForOthers(t *testing.T) {
	a, b := newNode(t, "a", nil), newNode(t, "b", nil)
	layer := a.StreamLayer(func() string { return a.addr })
	bs := b.StreamLayer(func() string { return b.addr })
	go func() {
		for {
			if _, err := bs.Accept(); err != nil {
				return
			}
		}
	}()
	dial := func() error {
		c, err := layer.Dial(raft.ServerAddress(b.addr), 10*time.Second)
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := dial(); err != nil {
		t.Errorf("Dial of an unknown member = %v; want nil", err)
	}
	a.SetMembers([]Member{{"x", b.addr}})
	if err := dial(); err == nil {
		t.Error("Dial of another member's address = nil; want an error")
	}
	a.SetMembers([]Member{{"b", b.addr}})
	if err := dial(); err != nil {
		t.Errorf("Dial of the member = %v; want nil", err)
	}
	h := *b.hello.Load()
	h.Cluster = "c2"
	b.hello.Store(&h)
	if err := dial(); err == nil {
		t.Error("Dial of a node of another cluster = nil; want an error")
	}
	h.Cluster = ""
	b.hello.Store(&h)
	c, err := layer.Dial(raft.ServerAddress(b.addr), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	bs.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read after the other layer's Close = %v; want EOF", err)
	}
	if err := dial(); err == nil {
		t.Error("Dial without a layer there = nil; want an error")
	}
	layer.Close()
	if _, err := layer.Accept(); err != net.ErrClosed {
		t.Errorf("Accept after Close = %v; want ErrClosed", err)
	}
}

// TestRaftDataPath: a snapshot's size goes through whole.
func TestRaftDataPath(t *testing.T) {
	a, b := newNode(t, "a", nil), newNode(t, "b", nil)
	layer, bs := a.StreamLayer(func() string { return a.addr }), b.StreamLayer(func() string { return b.addr })
	const size = 64 << 20
	got := make(chan int64)
	go func() {
		c, err := bs.Accept()
		if err != nil {
			got <- -1
			return
		}
		n, _ := io.Copy(io.Discard, c)
		got <- n
	}()
	c, err := layer.Dial(raft.ServerAddress(b.addr), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	buf := make([]byte, 256<<10)
	for range size / len(buf) {
		if _, err := c.Write(buf); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	if n := <-got; n != size {
		t.Errorf("%d bytes; want %d", n, size)
	}
	t.Logf("%.0f MB/s", size/1e6/time.Since(start).Seconds())
}
