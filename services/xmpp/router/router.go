package router

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/store"
)

// ErrStopped: the router does not run any more.
var ErrStopped = errors.New("router is stopped")

// Store is what the router needs of the replicated store.
type Store interface {
	Apply(ctx context.Context, ops ...store.Op) ([]store.Result, error)
	Account(name string) bool
	MayLogIn(name string) bool
	News(l store.Listing) (*store.AccountsListed, error)
	CallBridge(name string) (store.CallBridge, bool, error)
	Roster(account string) ([]store.Entry, uint64, error)
	Entry(account, contact string) (store.Entry, error)
	Inbox(account string, after link.Item, limit int) ([]store.Message, error)
	Pending(account string) (int, error)
	Sessions() ([]store.SessionMark, error)
	Session(id link.SessionID) (store.SessionMark, bool, error)
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
	// applyWait bounds one try to have the store keep something.
	applyWait = 5 * time.Second
)

// Router is a link.Announcer for one leadership: New, Run, and never again.
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
	leases     leases
	running    running
	// marked sessions get a Confirm at the end of the batch, noted ones a
	// Memo before it, and overfull ones are ended.
	marked, noted, overfull []*session
	// hungry sessions may take more from their inbox.
	hungry map[*session]struct{}
	acks   acks
	pushes uint64
	// doubt: the outcome of a call from the service's side was not known.
	doubt bool
	ended numbers
	settling
	absent absent

	questions questions
}

var _ link.Announcer = (*Router)(nil)

// New makes a router.
func New(cfg Config, deps Deps) *Router {
	return &Router{
		domain: cfg.Domain, version: cfg.Version, store: deps.Store, log: deps.Log.With("component", "router"),
		queue: make(chan event, queueLen), done: make(chan struct{}),
		sessions: map[link.SessionID]*session{}, users: map[string]*user{}, components: map[string]*session{},
		leases: newLeases(), hungry: map[*session]struct{}{}, acks: acks{items: map[string][]link.Item{}},
		settling: settling{waiting: map[link.SessionID][]*request[link.Session]{}},
		absent:   absent{sessions: map[*session]struct{}{}, over: map[link.SessionID]fate{}},
	}
}

// Run routes until ctx ends, which is the end of the leadership: sessions are
// left to their edges, and what is not committed by then is not confirmed.
func (r *Router) Run(ctx context.Context) error {
	defer close(r.done)
	timers := r.startTimers()
	defer timers.stop()
	b := &batch{}
	for {
		ev, ok := r.next(ctx, timers)
		if ctx.Err() != nil {
			break
		}
		for ok {
			r.plan(b, ev)
			if b.full() {
				break
			}
			ev, ok = r.poll()
		}
		if !r.commit(ctx, b) {
			break
		}
	}
	r.lastAcks()
	return nil
}

// poll returns a call that is there.
func (r *Router) poll() (event, bool) {
	if ev, ok := r.replay(); ok {
		return ev, true
	}
	select {
	case ev := <-r.queue:
		return ev, true
	default:
		return event{}, false
	}
}

// next waits for a call, or for what is due without one.
func (r *Router) next(ctx context.Context, t *timers) (event, bool) {
	if ev, ok := r.poll(); ok {
		return ev, true
	}
	if len(r.hungry) > 0 {
		return event{}, false
	}
	select {
	case ev := <-r.queue:
		return ev, true
	case <-r.acks.due():
		r.acks.expired = true
	case <-r.absent.due():
		return event{kind: evExpire}, true
	case <-t.settle.C:
		return event{kind: evSettled}, true
	case <-t.sweep.C:
		r.ended.swept += sweepEvery
		return event{kind: evSweep}, true
	case <-ctx.Done():
	}
	return event{}, false
}

// timers of Run that always run.
type timers struct {
	settle *time.Timer
	sweep  *time.Ticker
}

func (r *Router) startTimers() *timers {
	return &timers{time.NewTimer(SettleMax), time.NewTicker(sweepEvery)}
}

func (t *timers) stop() {
	t.settle.Stop()
	t.sweep.Stop()
}

// plan adds a call to the batch; one that must be alone is held back until the
// batch before it is done.
func (r *Router) plan(b *batch, ev event) {
	if r.holds(ev) {
		return
	}
	if len(b.jobs) > 0 && r.isAlone(ev) {
		b.held, b.closed = &ev, true
		return
	}
	switch ev.kind {
	case evOpen:
		b.do(func() { r.open(ev.what.(*request[jid.JID])) })
	case evSend:
		if s := r.session(ev.ref); s != nil {
			r.planStanza(b, s, ev.seq, ev.stanza)
		}
	case evCall:
		r.planCall(b, ev.what.(*call))
	default:
		b.do(func() { r.handle(ev) })
		// What follows is planned when this has been done: it may have
		// another epoch, or be of a session that is not there yet.
		b.closed = b.closed || ev.kind == evResume || ev.kind == evAttach || ev.kind == evSettled
	}
}

// handle does what needs no store.
func (r *Router) handle(ev event) {
	switch ev.kind {
	case evResume:
		r.resume(ev.what.(*request[link.Session]))
		return
	case evAttach:
		a := ev.what.(*attach)
		r.attach(a.state, a.edge)
		return
	case evLost:
		r.lost(ev.what.(*loss))
		return
	case evSettled:
		r.settle()
		return
	case evExpire:
		r.expire()
		return
	case evSweep:
		r.sweep()
		return
	}
	s := r.session(ev.ref)
	if s == nil {
		return
	}
	switch ev.kind {
	case evDelivered:
		r.delivered(s, ev.seq)
	case evEnable:
		s.enabled, s.enable = true, ev.what.(link.Enable)
	case evDetach:
		r.detach(s)
	case evClose:
		r.leave(s)
	}
}

// session returns the session of a ref, nil for one that is stale or unknown.
func (r *Router) session(ref link.Ref) *session {
	if s := r.sessions[ref.ID]; s != nil && s.ref == ref {
		return s
	}
	return nil
}

func (r *Router) planCall(b *batch, c *call) {
	if !c.taken.CompareAndSwap(false, true) {
		return
	}
	var ops []store.Op
	if c.op != nil {
		ops = []store.Op{c.op}
	}
	b.alone(func(rs []store.Result) {
		var res store.Result
		if len(rs) > 0 {
			res = rs[0]
		}
		if c.err = res.Err; res.Err == nil {
			c.run(res)
		}
		close(c.done)
	}, ops...)
	b.service = true
}

func (r *Router) isAlone(ev event) bool {
	return ev.kind == evCall || ev.kind == evSend && changesRoster(ev.stanza)
}
