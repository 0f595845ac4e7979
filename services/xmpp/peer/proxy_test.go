package peer

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"parley/services/network/loopback"
)

// proxy is a TCP path that breaks on demand. What was cut is held back and
// arrives after the cut, as with TCP.
type proxy struct {
	t    *testing.T
	addr string

	mu     sync.Mutex
	target string
	l      net.Listener
	cut    [2]chan struct{} // there and back; closed: open
	conns  map[net.Conn]struct{}
	wg     sync.WaitGroup
}

const (
	there = 0
	back  = 1
)

// newProxy leads to target, which may be set later.
func newProxy(t *testing.T) *proxy {
	p := &proxy{t: t, conns: make(map[net.Conn]struct{})}
	for i := range p.cut {
		p.cut[i] = make(chan struct{})
		close(p.cut[i])
	}
	p.open(loopback.Address().String() + ":5222")
	t.Cleanup(func() {
		p.refuse()
		p.reset()
		p.set(there, false)
		p.set(back, false)
		p.wg.Wait()
	})
	return p
}

func (p *proxy) to(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = addr
}

func (p *proxy) open(addr string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.l, p.addr = l, l.Addr().String()
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.carry(c) })
		}
	})
}

// refuse closes the listener; allow opens it again.
func (p *proxy) refuse() { p.l.Close() }
func (p *proxy) allow()  { p.open(p.addr) }

// set cuts a direction or mends it.
func (p *proxy) set(dir int, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.cut[dir]:
		if cut {
			p.cut[dir] = make(chan struct{})
		}
	default:
		if !cut {
			close(p.cut[dir])
		}
	}
}

// reset resets all connections.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	clear(p.conns)
}

func (p *proxy) carry(c net.Conn) {
	p.mu.Lock()
	target := p.target
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	d, err := net.Dial("tcp", target)
	if err != nil {
		c.Close()
		return
	}
	p.mu.Lock()
	p.conns[d] = struct{}{}
	p.mu.Unlock()
	p.wg.Go(func() { p.copy(d, c, there) })
	p.copy(c, d, back)
}

func (p *proxy) copy(to, from net.Conn, dir int) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		open := p.cut[dir]
		p.mu.Unlock()
		<-open
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				from.Close()
			}
		}
		if err != nil {
			if err == io.EOF {
				to.(*net.TCPConn).CloseWrite()
			} else {
				to.Close()
			}
			return
		}
	}
}

// proxied makes two nodes that know each other by proxies; pb leads to b.
func proxied(t *testing.T) (a, b *node, pa, pb *proxy) {
	t.Helper()
	pa, pb = newProxy(t), newProxy(t)
	behind := func(p *proxy) func(*node) {
		return func(n *node) {
			p.to(n.addr)
			h := *n.hello.Load()
			h.Address = p.addr
			n.hello.Store(&h)
		}
	}
	a, b = newNode(t, "a", behind(pa)), newNode(t, "b", behind(pb))
	a.SetMembers([]Member{{"b", pb.addr}})
	b.SetMembers([]Member{{"a", pa.addr}})
	await(t, "a reaches b", a.reaches("b"))
	await(t, "b reaches a", b.reaches("a"))
	return a, b, pa, pb
}

// busy is by how much a machine may be slower that does other things.
const busy = 10

// within fails where what took much longer than it does on a machine of its own.
func within(t *testing.T, what string, d time.Duration, f func() bool) {
	t.Helper()
	start := time.Now()
	await(t, what, f)
	if took := time.Since(start); took > busy*d {
		t.Errorf("%s: after %v; want at most %v", what, took, d)
	} else {
		t.Logf("%s: after %v", what, took.Round(time.Millisecond))
	}
}
