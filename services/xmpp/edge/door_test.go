package edge

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// lingering is a listener whose Accept returns a while before it is closed, as
// those of the kernel do on a busy machine.
type lingering struct {
	net.Listener
	begun  atomic.Bool
	ending chan struct{}
	closed atomic.Bool
}

func (l *lingering) Accept() (net.Conn, error) {
	<-l.ending
	return nil, net.ErrClosed
}

// Close of one that is being closed does not wait, like that of net's.
func (l *lingering) Close() error {
	if l.begun.Swap(true) {
		return net.ErrClosed
	}
	close(l.ending)
	time.Sleep(100 * time.Millisecond)
	l.closed.Store(true)
	return nil
}

// Who has shut a door opens the next on the same port.
func TestPortIsFreeWhenTheDoorIsShut(t *testing.T) {
	e := New(Config{Domain: testDomain}, Deps{Log: slog.New(slog.DiscardHandler)})
	l := &lingering{ending: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.ServeClients(ctx, l); err != nil {
		t.Error("ServeClients:", err)
	}
	if !l.closed.Load() {
		t.Error("ServeClients has returned, and its listener is not closed")
	}
}
