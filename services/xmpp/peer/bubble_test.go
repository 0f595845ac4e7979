package peer

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// bubble is nodes in a bubble of synctest, whose network takes its time.
type bubble struct {
	t     *testing.T
	nodes map[string]*bubbleNode

	mu    sync.Mutex
	delay time.Duration
	// refused is an address where nobody listens.
	refused string
	// lines are the connections of now.
	lines []line
	wg    sync.WaitGroup
}

// line is a connection: its two ends, and lost, which is closed when it carries
// nothing any more.
type line struct {
	near, far net.Conn
	lost      chan struct{}
}

// bubbleNode counts what its Net does.
type bubbleNode struct {
	*Net
	id           string
	identity     atomic.Pointer[Identity]
	dials, flaps atomic.Int32
}

func newBubble(t *testing.T, ids ...string) *bubble {
	cert := (*authority)(nil).issue(spec{cn: testDomain})
	l := &bubble{t: t, nodes: make(map[string]*bubbleNode)}
	ctx, cancel := context.WithCancel(context.Background())
	for _, id := range ids {
		n := &bubbleNode{id: id}
		n.identity.Store(&Identity{Certificate: cert.tls(), Trust: bundle(t, cert), Domain: testDomain})
		n.Net = New(Config{}, Deps{
			Identity: func() (Identity, error) { return *n.identity.Load(), nil },
			Self:     func() Hello { return Hello{ID: id, Address: id + ":5222", Cluster: "c1"} },
			Log:      slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", id),
			DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
				n.dials.Add(1)
				return l.dial(addr)
			},
		})
		n.Handle("link", func(ctx context.Context, c net.Conn, _ Hello) {
			<-ctx.Done()
			c.Close()
		})
		l.nodes[id+":5222"] = n
		l.wg.Go(func() { n.Run(ctx) })
	}
	synctest.Wait()
	for _, id := range ids {
		n := l.node(id)
		layer := n.StreamLayer(func() string { return id + ":5222" })
		l.wg.Go(func() {
			for err := error(nil); err == nil; {
				_, err = layer.Accept()
			}
		})
		l.wg.Go(func() { n.count(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		l.lose()
		l.wg.Wait()
	})
	return l
}

// meet has a and b know each other, with a connection of Raft each way, and
// returns the connections that they have dialed after a while.
func (l *bubble) meet() map[*conn]bool {
	l.t.Helper()
	l.node("a").SetMembers([]Member{{"b", "b:5222"}})
	l.node("b").SetMembers([]Member{{"a", "a:5222"}})
	time.Sleep(time.Second)
	for from, to := range map[string]string{"a": "b:5222", "b": "a:5222"} {
		if _, err := l.node(from).layer.Dial(raft.ServerAddress(to), time.Minute); err != nil {
			l.t.Fatal(err)
		}
	}
	// Between two pings.
	time.Sleep(4050 * time.Millisecond)
	met := make(map[*conn]bool)
	for _, n := range l.nodes {
		if got := n.kinds(); got != "map[ping:1 raft:1 spare:3]" {
			l.t.Fatalf("connections of %s: %s", n.id, got)
		}
		for _, c := range n.open() {
			if c.dialed {
				met[c] = true
			}
		}
		n.dials.Store(0)
	}
	return met
}

func (l *bubble) node(id string) *bubbleNode { return l.nodes[id+":5222"] }

// count adds up how often a member became unreachable.
func (n *bubbleNode) count(ctx context.Context) {
	was := map[string]bool{}
	for {
		changed := n.Changed()
		for id, s := range n.Peers() {
			if was[id] && !s.Reachable {
				n.flaps.Add(1)
			}
			was[id] = s.Reachable
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (l *bubble) dial(addr string) (net.Conn, error) {
	client, near := net.Pipe()
	far, server := net.Pipe()
	lost := make(chan struct{})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused == addr {
		return nil, syscall.ECONNREFUSED
	}
	l.lines = append(l.lines, line{near, far, lost})
	l.wg.Go(func() { l.carry(far, near, lost) })
	l.wg.Go(func() { l.carry(near, far, lost) })
	n := l.nodes[addr]
	l.wg.Go(func() { n.Serve(tls.Server(server, n.ServerTLS())) })
	return client, nil
}

// carry brings what is read to its place, each piece as late as it is then.
func (l *bubble) carry(to, from net.Conn, lost chan struct{}) {
	type piece struct {
		data []byte
		err  error
		due  time.Time
	}
	pieces := make(chan piece, 1000)
	l.wg.Go(func() {
		for {
			buf := make([]byte, 16<<10)
			n, err := from.Read(buf)
			l.mu.Lock()
			due := time.Now().Add(l.delay)
			l.mu.Unlock()
			pieces <- piece{buf[:n], err, due}
			if err != nil {
				return
			}
		}
	})
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		select {
		case <-lost:
			p.data = nil
		default:
		}
		if p.err == nil {
			to.Write(p.data)
			continue
		}
		select {
		case <-lost:
			// Nor is the end told.
			if p.err == io.EOF {
				time.Sleep(time.Minute)
			}
		default:
		}
		to.Close()
		from.Close()
		return
	}
}

// slow has all that is sent from now on arrive after d.
func (l *bubble) slow(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

// lose has the connections of now carry nothing any more.
func (l *bubble) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.lines {
		close(c.lost)
	}
	l.lines = nil
}

// end closes the connections of now, and has an address refuse others; "" is none.
func (l *bubble) end(refused string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.lines {
		c.near.Close()
		c.far.Close()
	}
	l.lines, l.refused = nil, refused
}

func (n *bubbleNode) has(c *conn) bool { return slices.Contains(n.open(), c) }

// kinds counts the connections that a node has dialed and has open.
func (n *bubbleNode) kinds() string {
	count := map[string]int{}
	for _, c := range n.open() {
		if c.dialed {
			count[c.kind]++
		}
	}
	return fmt.Sprint(count)
}
