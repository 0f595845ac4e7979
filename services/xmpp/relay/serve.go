package relay

import (
	"context"
	"net"
	"sync"
	"time"

	"parley/services/xmpp/link"
)

// served is the connection of another node's relay to this one, whose node
// leads.
type served struct {
	from string
	out  *outbox
	done chan struct{}

	// The relay's lock guards what follows. attached: all its sessions are
	// known; gone: it is broken.
	attached, gone bool
	// slow: as the mirror it was late; gen and count are what it has to
	// acknowledge to be one again.
	slow       bool
	gen, count uint64
}

// Serve takes an accepted connection of the relay of another node and owns
// it. It returns when the connection has ended. from is that node's address,
// as it stands in Leadership.Others.
func (r *Relay) Serve(ctx context.Context, conn net.Conn, from string) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	log := r.log.With("node", from)
	conn.SetDeadline(time.Now().Add(r.cfg.Handshake))
	in := newReader(conn)
	hello, err := in.next()
	if err != nil || hello.kind != kHello {
		log.Debug("no hello", "err", err)
		return
	}
	s := &served{from: from, out: newOutbox(r.cfg.Queue), done: make(chan struct{})}
	defer close(s.done)
	g, why := r.admit(ctx, s, &hello)
	if g == nil {
		retry := message{kind: kRetry, text: why}
		conn.Write(appendFrame(nil, &retry))
		return
	}
	conn.SetDeadline(time.Time{})
	s.out.add(&message{kind: kWelcome, n: g.term, m: r.instance})

	d := newDesk(g, r.cfg.Queue, func(m message) { s.out.add(&m) }, func() { r.attached(g, s) })
	var work sync.WaitGroup
	var writeErr, callErr error
	work.Go(func() {
		writeErr = s.out.write(conn, r.cfg.Stall)
		s.out.stop()
	})
	work.Go(func() {
		callErr = d.run(s.out.cut)
		s.out.stop()
	})
	work.Go(func() {
		select {
		case <-g.over:
		case <-s.out.cut:
		}
		s.out.stop()
		conn.Close()
	})
	readErr := r.read(in, s, d)
	s.out.stop()
	work.Wait()
	log.Info("node detached", "read", readErr, "write", writeErr, "call", callErr)
	r.mu.Lock()
	s.gone = true
	over := r.reign != g
	if !over && r.backup.to == s {
		r.choose(time.Now())
	}
	var keeper link.Keeper
	if g.desk != nil {
		keeper = g.desk
	}
	r.mu.Unlock()
	if !over {
		g.local.Lost(d, keeper)
	}
}

// admit waits a moment for this node to know that it leads, and for the last
// connection of the same node to have ended: what that has said comes first.
func (r *Relay) admit(ctx context.Context, s *served, hello *message) (*reign, string) {
	if hello.n != version {
		return nil, "another version"
	}
	late := time.NewTimer(r.cfg.Handshake / 4)
	defer late.Stop()
	for {
		r.mu.Lock()
		g, changed, old, stopped := r.reign, r.changed, (*served)(nil), r.stopped
		ok := g != nil && g.term == hello.m && g.id == hello.text && !stopped
		if ok {
			if old = g.links[s.from]; old == nil || isClosed(old.done) {
				g.links[s.from] = s
				r.mu.Unlock()
				return g, ""
			}
		}
		r.mu.Unlock()
		switch {
		case ok:
			old.out.stop()
			select {
			case <-old.done:
				continue
			case <-late.C:
			case <-ctx.Done():
			}
			return nil, "still attached"
		case g != nil && g.term > hello.m || stopped:
			return nil, "leader of another term"
		}
		select {
		case <-changed:
		case <-r.stop:
		case <-late.C:
			return nil, "does not lead"
		case <-ctx.Done():
			return nil, "closing"
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// read hands on what comes, until that ends.
func (r *Relay) read(in *reader, s *served, d *desk) error {
	for {
		m, err := in.next()
		if err != nil {
			return err
		}
		if m.kind == kMirrorAck {
			r.acknowledged(s, m.n, m.m)
			continue
		}
		d.put(m)
	}
}

// attached notes that a node has told all its sessions.
func (r *Relay) attached(g *reign, s *served) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reign != g || s.attached {
		return
	}
	s.attached = true
	g.tell()
	switch {
	case r.lane == nil || !r.lane.own:
	case r.backup.to == nil:
		r.choose(time.Now())
	case r.backup.synced:
		s.out.add(&message{kind: kMirrorDrop})
	}
}
