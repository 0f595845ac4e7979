package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// version of the frames.
const version = 2

// errRetry is a leader's answer that it is not the one, or not yet.
var errRetry = errors.New("not the leader")

// follow serves this node's sessions by a leader on another one, until the
// leadership changes.
func (r *Relay) follow(ctx context.Context, lead Leadership, changed <-chan struct{}) {
	const shortest, longest = 5 * time.Millisecond, 250 * time.Millisecond
	backoff := shortest
	// broke: there was a connection, and what became of it is not known.
	broke := false
	// current ends when the leadership does: nothing waits for the old one.
	current, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		select {
		case <-changed:
			cancel()
		case <-current.Done():
		}
	})
	for ctx.Err() == nil {
		over := false
		select {
		case <-changed:
			over = true
		default:
		}
		r.mu.Lock()
		// Where nobody is known to lead, it has to be found out whether the
		// old leader's machine is there without its program.
		over = over && (!broke || r.lead.Addr != "" || r.lead.Local != nil)
		if lead.is(&r.lead) {
			lead.Addr = r.lead.Addr
		}
		nobody := r.lead.Addr == "" && r.lead.Local == nil
		r.mu.Unlock()
		if over {
			return
		}
		dialing := current
		if nobody {
			dialing = ctx
		}
		conn, err := r.dial(dialing, lead.Addr)
		switch {
		case err == nil && nobody:
			conn.Close()
			return
		case err == nil:
			began := time.Now()
			joined, err := r.attend(ctx, current, conn, lead)
			r.log.Info("connection to the leader ended", "leader", lead.Addr, "attached", joined, "err", err)
			if ctx.Err() != nil {
				return
			}
			again := joined || !broke && !errors.Is(err, errRetry)
			broke = !errors.Is(err, errRetry)
			if joined && time.Since(began) > time.Second {
				backoff = shortest
			}
			// At once, but not for ever.
			if again && backoff == shortest {
				backoff *= 2
				continue
			}
		case broke && (nobody || current.Err() == nil):
			broke = false
			refused := r.deps.Refused(err)
			r.log.Warn("leader lost", "leader", lead.Addr, "refused", refused, "err", err)
			if r.deps.LeaderLost != nil && ctx.Err() == nil {
				r.deps.LeaderLost(lead.Addr, refused)
			}
			continue
		}
		wait := time.NewTimer(backoff)
		select {
		case <-wait.C:
		case <-changed:
		case <-ctx.Done():
		}
		wait.Stop()
		backoff = min(2*backoff, longest)
	}
}

func (r *Relay) dial(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Handshake)
	defer cancel()
	return r.deps.Dial(ctx, addr)
}

// loud says that a machine answers for a program that is not there.
func loud(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// attend attaches over a connection, and returns when that has ended, with
// whether it was attached. It is given up if current ends before it is.
func (r *Relay) attend(ctx, current context.Context, conn net.Conn, lead Leadership) (joined bool, err error) {
	l := &lane{term: lead.Term, id: lead.ID}
	out := newOutbox(0)
	l.up = out.add
	var work sync.WaitGroup
	defer work.Wait()
	defer conn.Close()
	handshake := context.AfterFunc(current, func() { conn.Close() })
	defer handshake()

	conn.SetDeadline(time.Now().Add(r.cfg.Handshake))
	hello := message{kind: kHello, n: version, m: lead.Term, text: lead.ID}
	if _, err := conn.Write(appendFrame(nil, &hello)); err != nil {
		return false, err
	}
	in := newReader(conn)
	switch m, err := in.next(); {
	case err != nil:
		return false, err
	case m.kind == kRetry:
		return false, fmt.Errorf("%w: %s", errRetry, m.text)
	case m.kind != kWelcome || m.n != lead.Term:
		return false, fmt.Errorf("kind %d is no welcome: %w", m.kind, errFrame)
	default:
		l.instance = m.m
	}
	conn.SetDeadline(time.Time{})
	if !handshake() {
		return false, errRetry
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	r.mu.Lock()
	joined = r.join(l, &lead)
	r.mu.Unlock()
	if !joined {
		return false, errRetry
	}
	defer func() {
		r.mu.Lock()
		r.loseLane(l)
		r.mu.Unlock()
	}()
	work.Go(func() {
		if err := out.write(conn, r.cfg.Stall); !errors.Is(err, net.ErrClosed) {
			r.log.Info("connection to the leader takes nothing", "leader", lead.Addr, "err", err)
		}
		conn.Close()
	})
	defer out.stop()
	work.Go(func() {
		select {
		case <-l.lost:
		case <-out.cut:
		}
		out.stop()
		conn.Close()
	})
	for {
		m, err := in.next()
		if err != nil {
			r.broken(l, err)
			return true, err
		}
		if err := r.hear(l, m); err != nil {
			return true, err
		}
		if !in.more() {
			r.acknowledge(l)
		}
	}
}

// acknowledge tells the leader what the copy of its sessions has.
func (r *Relay) acknowledge(l *lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lane == l && r.held.on {
		r.held.on = false
		l.up(&message{kind: kMirrorAck, n: r.held.gen, m: r.held.count})
	}
}

// stale is how old a copy may be, as a multiple of MirrorWait. The leader goes
// on without it after one; but it has said so on the same connection, and that
// is lost only if the network was gone, whereas this node may merely be late.
const stale = 4

// broken gives up a copy that the leader has gone on without: it does once it
// has waited for us long enough, and that may have been lost with the
// connection.
func (r *Relay) broken(l *lane, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := &r.held
	if r.lane != l || h.sessions == nil || h.instance != l.instance {
		return
	}
	if age := h.age(time.Now()); age > stale*r.cfg.MirrorWait {
		r.log.Warn("copy of the leader's sessions is too old", "age", age, "err", err)
		*h = held{}
	}
}
