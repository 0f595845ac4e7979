package relay

import (
	"context"
	"net"
	"os"
	"sync"
	"time"
)

// gate can be shut, which freezes what passes it.
type gate struct {
	mu   sync.Mutex
	open chan struct{}
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) shut() { g.mu.Lock(); defer g.mu.Unlock(); g.open = make(chan struct{}) }

func (g *gate) thaw() { g.mu.Lock(); defer g.mu.Unlock(); close(g.open) }

func (g *gate) pass(stop <-chan struct{}) bool {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return true
	default:
	}
	select {
	case <-open:
		return true
	case <-stop:
		return false
	}
}

// wire is a connection between two nodes, which stands still while one of
// them is frozen.
type wire struct {
	net.Conn
	gates [2]*gate
	// limit is until when a write may wait for a gate, under mu.
	mu    sync.Mutex
	limit time.Time
	// latency of each write, during which nothing else is written.
	latency time.Duration
	done    chan struct{}
	once    sync.Once
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.done) })
	return w.Conn.Close()
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit = t
	return w.Conn.SetWriteDeadline(t)
}

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	limit := w.limit
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	if !limit.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, limit)
	}
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-w.done:
		case <-ctx.Done():
		case <-stop:
		}
	}()
	for _, g := range w.gates {
		if !g.pass(over) {
			if ctx.Err() != nil {
				return 0, os.ErrDeadlineExceeded
			}
			return 0, net.ErrClosed
		}
	}
	time.Sleep(w.latency)
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	for _, g := range w.gates {
		if !g.pass(w.done) {
			return 0, net.ErrClosed
		}
	}
	return n, err
}
