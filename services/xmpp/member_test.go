package xmpp

import (
	"context"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/services/account"
	"parley/services/config"
	"parley/services/files"
	"parley/services/pki"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

// member is a server of a cluster on loopback.
type member struct {
	*Server
	t     *testing.T
	dir   string
	store *config.Store
	addr  atomic.Pointer[netip.Addr]
	stop  context.CancelFunc
	done  chan error
}

// clusterNet gives each test addresses of its own, and testNet each run.
var (
	clusterNet atomic.Int32
	testNet    = byte(50 + os.Getpid()%50)
)

func testLog() *slog.Logger {
	if os.Getenv("PARLEY_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

// newMembers starts n servers that share one certificate, in cluster mode and
// enabled, in no cluster yet.
func newMembers(t *testing.T, n int) []*member {
	t.Helper()
	subnet := clusterNet.Add(1)
	var ms []*member
	for i := range n {
		dir, err := os.MkdirTemp("", "xmpp")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		m := &member{t: t, dir: dir, store: config.NewStore(config.FolderPaths(dir).Live())}
		a := netip.AddrFrom4([4]byte{127, testNet, byte(subnet), byte(i + 1)})
		m.addr.Store(&a)
		fs := files.NewStore(files.Config{Dir: config.FolderPaths(dir).Files(), State: dir}, files.Deps{Audit: silent{}})
		if err := fs.Prepare(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			attrs := pki.Attributes{Subject: pkix.Name{CommonName: "example.com"}, DNS: []string{"example.com"}}
			if _, _, err := pki.SelfSigned(fs, files.Who{Name: "admin", Role: account.Admin}, "one", attrs, pki.DefaultDays, time.Now()); err != nil {
				t.Fatal(err)
			}
		} else {
			for _, f := range []string{"one.key", "one.crt"} {
				data, err := os.ReadFile(filepath.Join(config.FolderPaths(ms[0].dir).Files(), f))
				if err == nil {
					err = os.WriteFile(filepath.Join(config.FolderPaths(dir).Files(), f), data, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		m.start()
		t.Cleanup(func() { m.end() })
		m.configure(func(x *config.XMPP) {
			*x = config.XMPP{
				Domain: "example.com", Listen: []string{"a"}, Key: "one.key", Certificate: "one.crt",
				Cluster: config.Cluster{Enabled: true, Trust: "one.crt"},
			}
		})
		ms = append(ms, m)
	}
	return ms
}

func (m *member) start() {
	m.t.Helper()
	m.Server = New(Config{Paths: config.FolderPaths(m.dir), Group: -1, Version: "test"}, Deps{
		Config: m.store, Log: testLog().With("node", m.addr.Load().String()),
		Listen: func(ctx context.Context, _ []string, port int) ([]net.Listener, error) {
			var lc net.ListenConfig
			l, err := lc.Listen(ctx, "tcp", netip.AddrPortFrom(*m.addr.Load(), uint16(port)).String())
			return []net.Listener{l}, err
		},
		Address: func(string) (netip.Addr, error) { return *m.addr.Load(), nil },
		Examine: func(_ context.Context, in json.RawMessage) (json.RawMessage, error) {
			return json.Marshal(m.addr.Load().String() + " examined for " + string(in))
		},
	})
	var ctx context.Context
	ctx, m.stop = context.WithCancel(context.Background())
	m.done = make(chan error, 1)
	go func(s *Server) { m.done <- s.Run(ctx) }(m.Server)
	await(m.t, "control socket of "+m.addr.Load().String(), func() error {
		_, err := xmppapi.NewClient(config.FolderPaths(m.dir).Socket("xmpp")).Status(m.t.Context())
		return err
	})
}

// end stops the server as an operator would.
func (m *member) end() {
	if m.stop == nil {
		return
	}
	m.stop()
	m.stop = nil
	if err := <-m.done; err != nil {
		m.t.Errorf("Run of %s = %v; want nil", m.addr.Load(), err)
	}
}

func (m *member) configure(change func(*config.XMPP)) {
	m.t.Helper()
	err := m.store.Transact(func(d *config.Document) error {
		change(&d.XMPP)
		return nil
	}, func() error { return m.Reload(m.t.Context()) })
	if err != nil {
		m.t.Fatalf("configure %s: %s", m.addr.Load(), problem.Text(err))
	}
}

func (m *member) enable() { m.configure(func(x *config.XMPP) { x.Enabled = true }) }

// await repeats f until it has no error.
func await(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// awaitServed waits until all nodes serve clients.
func awaitServed(t *testing.T, ms ...*member) {
	t.Helper()
	for _, m := range ms {
		await(t, m.addr.Load().String()+" serves", func() error {
			st, err := m.Status(t.Context())
			if err == nil && !st.Running {
				err = fmt.Errorf("not running: %s", st.Trouble)
			}
			return err
		})
	}
}

// newCluster is the article's steps on n servers.
func newCluster(t *testing.T, n int) []*member {
	t.Helper()
	ms := newMembers(t, n)
	if err := ms[0].ClusterInitialize(t.Context(), false); err != nil {
		t.Fatalf("ClusterInitialize = %s", problem.Text(err))
	}
	ms[0].enable()
	awaitServed(t, ms[0])
	for _, m := range ms[1:] {
		m.enable()
		m.join(ms[0], false)
	}
	awaitServed(t, ms...)
	return ms
}

// change does f, again where there was no leader, or others were too late, as
// they are where all stand still for a moment, or where a leader that was lost has
// left the outcome open; done is what f then says of what was done.
func (m *member) change(done problem.Code, f func() error) {
	m.t.Helper()
	open := false
	await(m.t, "change on "+m.addr.Load().String(), func() error {
		err := f()
		switch code := problem.CodeOf(err); {
		case err == nil || open && code == done:
			return nil
		case code == problem.NoLeader, code == problem.ClusterLate, code == problem.ClusterBack, code == problem.ClusterRoute:
		case code == problem.ChangeUnknown || leaderMissing(err):
			open = true
		default:
			m.t.Fatalf("change on %s = %s", m.addr.Load(), problem.Text(err))
		}
		return err
	})
}

// join makes m a member by way of another one.
func (m *member) join(by *member, discard bool) {
	m.t.Helper()
	m.change(problem.ClusterMember, func() error {
		return m.ClusterJoin(m.t.Context(), by.addr.Load().String(), discard)
	})
}

// remove has m take another one out.
func (m *member) remove(address string) {
	m.t.Helper()
	m.change(problem.ClusterNode, func() error { return m.ClusterRemove(m.t.Context(), address, true) })
}

func (m *member) addUser(name string) {
	m.t.Helper()
	m.change(problem.UserExists, func() error {
		return m.AddUser(m.t.Context(), xmppapi.Credential{Name: name, Password: "secret"})
	})
}

// addresses are the members as one node sees them.
func (m *member) addresses() []string {
	m.t.Helper()
	c, err := m.Cluster(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	var as []string
	for _, n := range c.Nodes {
		as = append(as, strings.TrimSuffix(n.Address, ":5222"))
	}
	return as
}

// awaitMembers waits until all of ms agree that they are the members.
func awaitMembers(t *testing.T, ms ...*member) {
	t.Helper()
	var want []string
	for _, m := range ms {
		want = append(want, m.addr.Load().String())
	}
	slices.Sort(want)
	for _, m := range ms {
		await(t, "members of "+m.addr.Load().String(), func() error {
			got := m.addresses()
			if len(got) > 0 && got[len(got)-1] != m.addr.Load().String() {
				return fmt.Errorf("the local node is not the last of %v", got)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				return fmt.Errorf("got %v; want %v", got, want)
			}
			return nil
		})
	}
}

// leaderOf is the node that all of ms take for the leader.
func leaderOf(t *testing.T, ms ...*member) *member {
	t.Helper()
	var leader *member
	await(t, "one leader", func() error {
		leader = nil
		var seen []string
		for _, m := range ms {
			c, err := m.Cluster(t.Context())
			if err != nil {
				return err
			}
			for _, n := range c.Nodes {
				if n.Leader {
					seen = append(seen, n.Address)
					if n.Self {
						leader = m
					}
				}
			}
		}
		if same := slices.Compact(slices.Clone(seen)); len(seen) < len(ms) || len(same) != 1 || leader == nil {
			return fmt.Errorf("leaders seen: %v", seen)
		}
		return nil
	})
	return leader
}
