package router

import (
	"context"
	"sync/atomic"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// event is one call of an edge or of the service's own side, or of the
// router's own timers.
type event struct {
	kind   eventKind
	ref    link.Ref
	seq    uint64
	stanza *stanza.Element
	// what is the call's own argument, of its own type.
	what any
}

type eventKind uint8

const (
	evOpen eventKind = iota
	evSend
	evDelivered
	evEnable
	evResume
	evDetach
	evClose
	evAttach
	evLost
	evSettled
	evCall
	evExpire
	evSweep
)

// request is a call that waits for its answer of type T.
type request[T any] struct {
	open   link.Open
	resume link.Resume
	edge   link.Edge
	// taken is won either by the router, which then answers, or by the
	// caller, who has given up.
	taken  atomic.Bool
	answer T
	err    error
	done   chan struct{}
}

// attach is the argument of Attach.
type attach struct {
	state link.Session
	edge  link.Edge
}

// loss is the argument of Lost.
type loss struct {
	edge link.Edge
	to   link.Keeper
}

// call runs on the router's goroutine after its op, if it has one, is
// committed; it is a batch of its own.
type call struct {
	op  store.Op
	run func(store.Result)
	// taken is as in request.
	taken atomic.Bool
	err   error
	done  chan struct{}
}

// Open implements link.Leader.
func (r *Router) Open(ctx context.Context, o link.Open, e link.Edge) (jid.JID, error) {
	return ask(ctx, r, evOpen, &request[jid.JID]{open: o, edge: e})
}

// Resume implements link.Leader. The caller that gives up has changed nothing.
func (r *Router) Resume(ctx context.Context, o link.Resume, e link.Edge) (link.Session, error) {
	return ask(ctx, r, evResume, &request[link.Session]{resume: o, edge: e})
}

func ask[T any](ctx context.Context, r *Router, kind eventKind, q *request[T]) (none T, err error) {
	q.done = make(chan struct{})
	if err := r.put(ctx, event{kind: kind, ref: link.Ref{ID: q.resume.ID}, what: q}); err != nil {
		return none, err
	}
	select {
	case <-q.done:
	case <-r.done:
		if q.taken.CompareAndSwap(false, true) {
			return none, ErrStopped
		}
		<-q.done
	case <-ctx.Done():
		if q.taken.CompareAndSwap(false, true) {
			return none, ctx.Err()
		}
		<-q.done
	}
	return q.answer, q.err
}

// Send implements link.Leader.
func (r *Router) Send(ref link.Ref, seq uint64, e *stanza.Element) {
	r.tell(event{kind: evSend, ref: ref, seq: seq, stanza: e})
}

// Delivered implements link.Leader.
func (r *Router) Delivered(ref link.Ref, n uint64) {
	r.tell(event{kind: evDelivered, ref: ref, seq: n})
}

// Enable implements link.Leader.
func (r *Router) Enable(ref link.Ref, en link.Enable) {
	r.tell(event{kind: evEnable, ref: ref, what: en})
}

// Detach implements link.Leader.
func (r *Router) Detach(ref link.Ref) { r.tell(event{kind: evDetach, ref: ref}) }

// Close implements link.Leader.
func (r *Router) Close(ref link.Ref) { r.tell(event{kind: evClose, ref: ref}) }

// Attach implements link.Announcer. The state belongs to the router.
func (r *Router) Attach(s link.Session, e link.Edge) {
	r.tell(event{kind: evAttach, ref: s.Ref, what: &attach{s, e}})
}

// Lost implements link.Announcer.
func (r *Router) Lost(e link.Edge, to link.Keeper) {
	r.tell(event{kind: evLost, what: &loss{e, to}})
}

// Settled implements link.Announcer.
func (r *Router) Settled() { r.tell(event{kind: evSettled}) }

func (r *Router) tell(ev event) { r.put(context.Background(), ev) }

func (r *Router) put(ctx context.Context, ev event) error {
	select {
	case r.queue <- ev:
		return nil
	case <-r.done:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// do runs f on the router's goroutine after op is committed; op may be nil.
// Where ctx ends before the router has come to it, nothing is done.
func (r *Router) do(ctx context.Context, op store.Op, f func(store.Result)) error {
	c := &call{op: op, run: f, done: make(chan struct{})}
	if err := r.put(ctx, event{kind: evCall, what: c}); err != nil {
		return err
	}
	select {
	case <-c.done:
	case <-r.done:
		return ErrStopped
	case <-ctx.Done():
		if c.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		select {
		case <-c.done:
		case <-r.done:
			return ErrStopped
		}
	}
	return c.err
}
