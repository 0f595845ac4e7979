package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// ErrStopped: the router does not run any more.
var ErrStopped = errors.New("router is stopped")

// Store is what the router needs of the replicated store.
type Store interface {
	Apply(ctx context.Context, ops ...store.Op) ([]store.Result, error)
	Account(name string) bool
	CallBridge(name string) (store.CallBridge, bool, error)
	Roster(account string) ([]store.Entry, uint64, error)
	Entry(account, contact string) (store.Entry, error)
	Inbox(account string, after link.Item, limit int) ([]store.Message, error)
	Pending(account string) (int, error)
}

// Config of a Router.
type Config struct {
	// Domain that it serves, prepared.
	Domain string
	// Version is told to who asks (XEP-0092).
	Version string
}

// Deps of a Router.
type Deps struct {
	Store Store
	Log   *slog.Logger
}

// Limits of a Router.
const (
	// queueLen is how many calls wait; a caller of the next one waits itself.
	queueLen = 1024
	// maxBatch and maxBatchBytes bound what is committed in one go.
	maxBatch      = 1024
	maxBatchBytes = 1 << 20
	// applyWait is how long stanzas are held while the store has no leader.
	applyWait = 5 * time.Second
)

// Router implements link.Leader.
type Router struct {
	domain  string
	version string
	store   Store
	log     *slog.Logger
	queue   chan event
	done    chan struct{}

	// All below belongs to Run's goroutine.
	sessions   map[link.SessionID]*session
	users      map[string]*user
	components map[string]*session
	// marked sessions get a Confirm at the end of the batch.
	marked []*session
	// hungry sessions may take more from their inbox.
	hungry map[*session]struct{}
	acks   acks
	pushes uint64
	// doubt: the outcome of some change was not known.
	doubt bool
}

var _ link.Leader = (*Router)(nil)

// New makes a router.
func New(cfg Config, deps Deps) *Router {
	return &Router{
		domain: cfg.Domain, version: cfg.Version, store: deps.Store, log: deps.Log.With("component", "router"),
		queue: make(chan event, queueLen), done: make(chan struct{}),
		sessions: map[link.SessionID]*session{}, users: map[string]*user{}, components: map[string]*session{},
		hungry: map[*session]struct{}{}, acks: acks{items: map[string][]link.Item{}},
	}
}

// event is one call of an edge or of the service's own side.
type event struct {
	kind   eventKind
	id     link.SessionID
	seq    uint64
	stanza *stanza.Element
	items  []link.Item
	open   *opening
	call   *call
}

type eventKind uint8

const (
	evOpen eventKind = iota
	evSend
	evDelivered
	evClose
	evCall
)

// opening is an Open that waits for its answer.
type opening struct {
	link.Open
	edge link.Edge
	// taken is won either by the router, which then answers, or by the
	// caller, who has given up.
	taken atomic.Bool
	jid   jid.JID
	err   error
	done  chan struct{}
}

// call runs on the router's goroutine after its op, if it has one, is
// committed; it is a batch of its own.
type call struct {
	op   store.Op
	run  func(store.Result)
	err  error
	done chan struct{}
}

// Open implements link.Leader.
func (r *Router) Open(ctx context.Context, o link.Open, edge link.Edge) (jid.JID, error) {
	op := &opening{Open: o, edge: edge, done: make(chan struct{})}
	if err := r.put(ctx, event{kind: evOpen, open: op}); err != nil {
		return jid.JID{}, err
	}
	select {
	case <-op.done:
	case <-r.done:
		if op.taken.CompareAndSwap(false, true) {
			return jid.JID{}, ErrStopped
		}
		<-op.done
	case <-ctx.Done():
		if op.taken.CompareAndSwap(false, true) {
			return jid.JID{}, ctx.Err()
		}
		<-op.done
	}
	return op.jid, op.err
}

// Send implements link.Leader.
func (r *Router) Send(id link.SessionID, seq uint64, e *stanza.Element) {
	r.put(context.Background(), event{kind: evSend, id: id, seq: seq, stanza: e})
}

// Delivered implements link.Leader.
func (r *Router) Delivered(id link.SessionID, items []link.Item) {
	r.put(context.Background(), event{kind: evDelivered, id: id, items: items})
}

// Close implements link.Leader.
func (r *Router) Close(id link.SessionID) {
	r.put(context.Background(), event{kind: evClose, id: id})
}

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
func (r *Router) do(ctx context.Context, op store.Op, f func(store.Result)) error {
	c := &call{op: op, run: f, done: make(chan struct{})}
	if err := r.put(ctx, event{kind: evCall, call: c}); err != nil {
		return err
	}
	select {
	case <-c.done:
		return c.err
	case <-r.done:
		return ErrStopped
	}
}

// Run routes until ctx ends. Sessions that are open then are left to their
// edges; what was not confirmed is not acknowledged.
func (r *Router) Run(ctx context.Context) error {
	defer close(r.done)
	b := &batch{}
	for {
		ev, ok := r.next(ctx)
		if ctx.Err() != nil {
			r.lastAcks()
			return nil
		}
		if ok {
			r.plan(b, ev)
			for !b.full() {
				select {
				case ev := <-r.queue:
					r.plan(b, ev)
					continue
				default:
				}
				break
			}
		}
		r.commit(ctx, b)
	}
}

// next waits for a call, or for what is due without one.
func (r *Router) next(ctx context.Context) (event, bool) {
	if len(r.hungry) > 0 {
		select {
		case ev := <-r.queue:
			return ev, true
		case <-ctx.Done():
		default:
		}
		return event{}, false
	}
	select {
	case ev := <-r.queue:
		return ev, true
	case <-r.acks.due():
		r.acks.expired = true
	case <-ctx.Done():
	}
	return event{}, false
}

// plan adds a call to the batch; one that must be alone is held back until the
// batch before it is done.
func (r *Router) plan(b *batch, ev event) {
	if len(b.jobs) > 0 && r.isAlone(ev) {
		b.held, b.closed = &ev, true
		return
	}
	switch ev.kind {
	case evOpen:
		b.add(nil, func([]store.Result) { r.open(ev.open) })
	case evSend:
		if s := r.sessions[ev.id]; s != nil {
			r.planStanza(b, s, ev.seq, ev.stanza)
		}
	case evDelivered:
		b.add(nil, func([]store.Result) { r.delivered(ev.id, ev.items) })
	case evClose:
		b.add(nil, func([]store.Result) {
			if s := r.sessions[ev.id]; s != nil {
				r.leave(s)
			}
		})
	case evCall:
		var ops []store.Op
		if ev.call.op != nil {
			ops = []store.Op{ev.call.op}
		}
		b.alone(nil, func(rs []store.Result) {
			var res store.Result
			if len(rs) > 0 {
				res = rs[0]
			}
			if ev.call.err = res.Err; res.Err == nil {
				ev.call.run(res)
			}
			close(ev.call.done)
		}, ops...)
	}
}

func (r *Router) isAlone(ev event) bool {
	return ev.kind == evCall || ev.kind == evSend && changesRoster(ev.stanza)
}

// planStanza plans what a session sends. Whatever becomes of it, it is
// confirmed when its job has run.
func (r *Router) planStanza(b *batch, s *session, seq uint64, e *stanza.Element) {
	if s.kind == link.Component && !r.fromComponent(s, e) {
		b.add(s, func([]store.Result) { r.end(s, "invalid-from") })
		return
	}
	if s.kind == link.Client {
		e.SetAttr("from", s.jid.String())
	}
	p := planned{r: r, b: b, s: s, seq: seq, e: e}
	if to := e.Attr("to"); to != "" {
		var err error
		if p.to, err = jid.Parse(to); err != nil {
			p.refuse(stanza.JIDMalformed, "")
			return
		}
	}
	if e.Name.Space != stanza.NSClient {
		p.refuse(stanza.FeatureNotImplemented, "")
		return
	}
	switch e.Name.Local {
	case "message":
		p.message()
	case "presence":
		p.presence()
	case "iq":
		p.iq()
	default:
		p.refuse(stanza.FeatureNotImplemented, "")
	}
}

// planned is a stanza while it is planned.
type planned struct {
	r   *Router
	b   *batch
	s   *session
	seq uint64
	e   *stanza.Element
	// to is zero where the stanza has none.
	to jid.JID
}

// then plans f, which is run when the ops are committed. Where the store has
// refused for now, the sender is told instead.
func (p *planned) then(f func([]store.Result), ops ...store.Op) {
	p.b.add(p.s, p.job(f), ops...)
}

// thenAlone is then for changes of rosters.
func (p *planned) thenAlone(f func([]store.Result), ops ...store.Op) {
	p.b.alone(p.s, p.job(f), ops...)
}

func (p *planned) job(f func([]store.Result)) func([]store.Result) {
	s, seq, r, e := p.s, p.seq, p.r, p.e
	return func(rs []store.Result) {
		if len(rs) > 0 && errors.Is(rs[0].Err, errHeld) {
			r.reply(s, stanza.ErrorReply(e, stanza.ResourceConstraint, "the server cannot keep this at the moment"))
		} else {
			f(rs)
		}
		r.mark(s, seq)
	}
}

// refuse plans an error reply.
func (p *planned) refuse(c stanza.Condition, text string) {
	p.then(func([]store.Result) { p.r.reply(p.s, stanza.ErrorReply(p.e, c, text)) })
}

// reply sends an error or a result back; nil is nothing to send.
func (r *Router) reply(s *session, e *stanza.Element) {
	if e != nil && r.sessions[s.id] == s {
		s.deliver(e)
	}
}

// mark has the session's stanzas up to seq confirmed at the end of the batch.
func (r *Router) mark(s *session, seq uint64) {
	s.seq = seq
	if !s.marked {
		s.marked = true
		r.marked = append(r.marked, s)
	}
}

// errHeld stands for the store's answer where it takes nothing at the moment.
var errHeld = errors.New("store takes no changes")

// commit has the store keep what the batch asks for, runs its jobs and
// confirms. Run's goroutine waits meanwhile, and the queue collects.
func (r *Router) commit(ctx context.Context, b *batch) {
	for {
		results, unknown := r.apply(ctx, b.ops)
		for _, j := range b.jobs {
			rs := results[:j.n:j.n]
			results = results[j.n:]
			if unknown && j.n > 0 {
				// It may be kept or not: the stanza is neither confirmed nor
				// refused, and the peer will send it again.
				if j.session != nil {
					r.end(j.session, "internal-server-error")
					continue
				}
				rs[0].Err = store.ErrOutcome
			}
			j.run(rs)
		}
		r.feed()
		for i, s := range r.marked {
			r.marked[i] = nil
			s.marked = false
			if r.sessions[s.id] == s {
				s.edge.Confirm(s.id, s.seq)
			}
		}
		r.marked = r.marked[:0]
		held := b.held
		clear(b.jobs)
		clear(b.ops)
		*b = batch{ops: b.ops[:0], jobs: b.jobs[:0]}
		if held == nil {
			return
		}
		r.plan(b, *held)
	}
}

// apply commits ops, and with them what acknowledgements there are. unknown
// says that their outcome is; where the store refuses, each result is errHeld.
func (r *Router) apply(ctx context.Context, ops []store.Op) (results []store.Result, unknown bool) {
	n := len(ops)
	if n == 0 {
		if r.acks.isDue() {
			r.applyAcks(ctx)
		}
		return nil, false
	}
	with := r.acks.n > 0 && r.acks.retry == 0
	if with {
		ops = r.acks.ops(ops)
	}
	wait, cancel := context.WithTimeout(ctx, applyWait)
	defer cancel()
	results, err := r.store.Apply(wait, ops...)
	if err == nil {
		if with {
			r.acked()
		}
		r.again()
		return results[:n], false
	}
	r.log.Warn("store refuses", "changes", n, "err", err)
	unknown = isUnknown(err)
	r.doubt = r.doubt || unknown
	if with && !unknown {
		// Alone they may be let through: they free room.
		r.applyAcks(ctx)
	}
	results = make([]store.Result, n)
	for i := range results {
		results[i].Err = fmt.Errorf("%w: %w", errHeld, err)
	}
	return results, unknown
}

// isUnknown tells the errors after which a change may be kept nevertheless.
func isUnknown(err error) bool {
	return errors.Is(err, store.ErrOutcome) || errors.Is(err, store.ErrClosed) || errors.Is(err, context.Canceled)
}

// again looks for messages that are kept although it was not known that they
// would be.
func (r *Router) again() {
	if !r.doubt {
		return
	}
	r.doubt = false
	for _, u := range r.users {
		r.reconsider(u)
	}
}
