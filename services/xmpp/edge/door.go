package edge

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"parley/services/xmpp/stream"
)

// ServeClients serves clients: STARTTLS, or TLS from the first byte. It blocks
// until ctx ends and its connections with it, which are told system-shutdown.
// It closes l: when it returns, the port can be listened on again.
func (e *Edge) ServeClients(ctx context.Context, l net.Listener) error {
	return e.serve(ctx, l, (*peer).negotiateClient)
}

// ServeComponents serves components as XEP-0114 has them, over TLS from the
// first byte: the protocol has no STARTTLS. See ServeClients.
func (e *Edge) ServeComponents(ctx context.Context, l net.Listener) error {
	return e.serve(ctx, l, (*peer).negotiateComponent)
}

// door is one listener's connections.
type door struct {
	mu     sync.Mutex
	peers  map[*peer]struct{}
	closed bool
	wg     sync.WaitGroup
}

func (e *Edge) serve(ctx context.Context, l net.Listener, negotiate func(*peer) (*session, error)) error {
	d := &door{peers: make(map[*peer]struct{})}
	e.enter(d)
	defer e.leave(d)
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		close(closed)
	})
	err := e.accept(ctx, l, d, negotiate)
	if stop() {
		l.Close()
	} else {
		// Accept returns before Close does, which has the port still.
		<-closed
	}
	d.shut()
	d.wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// accept takes connections until the listener closes.
func (e *Edge) accept(ctx context.Context, l net.Listener, d *door, negotiate func(*peer) (*session, error)) error {
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of file descriptors, or reset before it was taken.
			e.log.Warn("accept failed", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		a := addressOf(c)
		if !e.strangers.enter(a) {
			e.log.Debug("connection refused: too many have not authenticated", "addr", a)
			c.Close()
			continue
		}
		tuneTCP(c, 2*e.limits.Write)
		p := &peer{edge: e, wire: &wire{Conn: c}, addr: a, stranger: true}
		p.conn = p.wire
		if !d.add(p) {
			p.known()
			c.Close()
			continue
		}
		go func() {
			s, err := negotiate(p)
			p.known()
			if err != nil {
				if err != errHanded {
					p.part(err)
				}
				d.remove(p)
				return
			}
			// The stack that TLS handshakes and authentication have grown
			// goes with this goroutine.
			go func() {
				s.run()
				d.remove(p)
			}()
		}()
	}
}

// add takes p in, unless the door is shut.
func (d *door) add(p *peer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.peers[p] = struct{}{}
	d.wg.Add(1)
	return true
}

func (d *door) remove(p *peer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.peers, p)
	d.wg.Done()
}

// shut tells all that the server goes down.
func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for p := range d.peers {
		p.stop(&stream.Error{Condition: stream.SystemShutdown})
		p.hangUp()
	}
}

// each does f with all that are there.
func (d *door) each(f func(*peer)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for p := range d.peers {
		f(p)
	}
}

func (e *Edge) enter(d *door) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.doors[d] = struct{}{}
}

func (e *Edge) leave(d *door) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.doors, d)
}
