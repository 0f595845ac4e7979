package relay

import (
	"context"
	"fmt"
	"sync"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stream"
)

// desk is where the leader's node takes the calls of one relay, its own or
// another node's. Its goroutine makes them in their order; questions wait for
// their answers in goroutines of their own. To the leader a desk is the edge
// of that node.
type desk struct {
	reign *reign
	// emit takes the leader's calls and answers to the relay. It does not
	// block, and may be called from any goroutine.
	emit func(message)
	// ready is called once when all that there was has been attached.
	ready func()

	mu sync.Mutex
	// room is signalled when the queue has been taken.
	room  sync.Cond
	queue []message
	// bytes of the queue, limit of them for put; 0 is none.
	bytes, limit int
	ended        bool
	wake         chan struct{}

	// asked are the questions that have no answer yet; cancel ends one.
	asked map[uint64]context.CancelFunc
	// asking counts their goroutines.
	asking sync.WaitGroup
}

var _ link.Keeper = (*desk)(nil)

func newDesk(g *reign, limit int, emit func(message), ready func()) *desk {
	d := &desk{reign: g, emit: emit, ready: ready, limit: limit, wake: make(chan struct{}, 1), asked: map[uint64]context.CancelFunc{}}
	d.room.L = &d.mu
	return d
}

// put queues a call. It waits only where the desk has a limit, which is the
// back-pressure on the connection.
func (d *desk) put(m message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.limit > 0 && d.bytes > d.limit && !d.ended {
		d.room.Wait()
	}
	if d.ended {
		return
	}
	d.queue = append(d.queue, m)
	d.bytes += m.size()
	if len(d.queue) == 1 {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

// run makes the calls until stop is closed or one is at fault. When it
// returns nothing more is said to the leader, and no question is open.
func (d *desk) run(stop <-chan struct{}) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		d.mu.Lock()
		d.ended = true
		d.queue = nil
		d.room.Broadcast()
		d.mu.Unlock()
		cancel()
		d.asking.Wait()
		d.reign.vacate(d)
	}()
	var batch []message
	var count uint64
	for {
		select {
		case <-stop:
			return nil
		case <-d.wake:
		}
		d.mu.Lock()
		batch, d.queue = d.queue, batch[:0]
		d.bytes = 0
		d.room.Broadcast()
		d.mu.Unlock()
		last := false
		for i := range batch {
			select {
			case <-stop:
				return nil
			default:
			}
			m := &batch[i]
			count++
			last = last || m.kind == kClose || m.kind == kDetach || m.kind == kDelivered
			if err := d.call(ctx, m); err != nil {
				return err
			}
		}
		if last {
			d.emit(message{kind: kPassed, n: count})
		}
		clear(batch)
		if cap(batch) > 4096 {
			batch = nil
		}
	}
}

func (d *desk) call(ctx context.Context, m *message) error {
	local := d.reign.local
	switch m.kind {
	case kSend:
		if m.stanza == nil {
			var err error
			if m.stanza, err = stream.ParseStanza(m.bytes); err != nil {
				return fmt.Errorf("stanza %d of session %s: %w", m.n, m.ref.ID, err)
			}
		}
		local.Send(m.ref, m.n, m.stanza)
	case kDelivered:
		local.Delivered(m.ref, m.n)
	case kEnable:
		local.Enable(m.ref, m.enable)
	case kDetach:
		d.reign.absent(d, m.ref)
		local.Detach(m.ref)
	case kClose:
		d.reign.gone(d, m.ref)
		local.Close(m.ref)
	case kAttach:
		if m.session == nil {
			return errFrame
		}
		if m.m != 0 {
			d.reign.keep(d, m)
		} else {
			d.reign.attach(d, *m.session, m.n)
		}
	case kAttachEnd:
		d.ready()
	case kOpen, kResume:
		d.ask(ctx, *m)
	case kCancel:
		d.mu.Lock()
		cancel := d.asked[m.n]
		d.mu.Unlock()
		if cancel != nil {
			cancel()
		}
	default:
		return fmt.Errorf("kind %d is no call: %w", m.kind, errFrame)
	}
	return nil
}

// ask puts a question to the leader. One that was cancelled gets no answer,
// and what it has led to is undone.
func (d *desk) ask(ctx context.Context, m message) {
	ctx, cancel := context.WithCancel(ctx)
	d.mu.Lock()
	d.asked[m.n] = cancel
	d.mu.Unlock()
	d.asking.Add(1)
	go func() {
		defer d.asking.Done()
		defer cancel()
		answer := message{kind: kOpened, n: m.n, ref: m.ref}
		var err error
		if m.kind == kOpen {
			answer.jid, err = d.reign.local.Open(ctx, m.open(), d)
		} else {
			answer.kind = kResumed
			var s link.Session
			if s, err = d.reign.local.Resume(ctx, m.resume(), d); err == nil {
				answer.session, answer.ref = &s, s.Ref
			}
		}
		answer.fault, answer.text = faultOf(err)
		if err != nil {
			answer.jid, answer.session = jid.JID{}, nil
		}
		d.mu.Lock()
		delete(d.asked, m.n)
		cancelled := ctx.Err() != nil
		d.mu.Unlock()
		switch {
		case !cancelled:
			if err == nil {
				d.reign.taken(d, answer.ref)
			}
			d.emit(answer)
		case err != nil:
		case m.kind == kOpen:
			d.reign.local.Close(m.ref)
		default:
			d.reign.local.Detach(answer.ref)
		}
	}()
}

// Deliver implements link.Edge.
func (d *desk) Deliver(ref link.Ref, v link.Delivery) { d.emit(deliverMessage(ref, v)) }

// Confirm implements link.Edge.
func (d *desk) Confirm(ref link.Ref, seq uint64) { d.emit(message{kind: kConfirm, ref: ref, n: seq}) }

// Memo implements link.Edge.
func (d *desk) Memo(ref link.Ref, memo []byte) { d.emit(message{kind: kMemo, ref: ref, bytes: memo}) }

// Keep implements link.Keeper. Only the desk of the leader's own node is one.
func (d *desk) Keep(s link.Session) { d.emit(message{kind: kKeep, session: &s}) }

// End implements link.Edge.
func (d *desk) End(ref link.Ref, condition string) {
	d.reign.gone(d, ref)
	d.emit(message{kind: kEnd, ref: ref, text: condition})
}
