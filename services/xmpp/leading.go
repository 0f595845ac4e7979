package xmpp

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/membership"
	"parley/services/xmpp/relay"
	"parley/services/xmpp/router"
	"parley/services/xmpp/store"
	"parley/services/xmpp/stream"
)

// leading is this node's part in who leads: while it does itself it runs the
// router, and it tells the relay where the leader is. It opens the edge's gate
// while there is one, and starts an election when the leader is lost.
//
// Invariant: there is at most one router, and it runs only within a term that
// this node leads; the relay is told of the next leader before the router of
// the last stops, so nothing that the old one still says reaches the edge.
type leading struct {
	server *Server
	core   *core
	doors  *doors
	log    *slog.Logger
	// heir is where clients are sent while this node is no member; "" is nowhere.
	heir string
	// losses are the leaders whose connections were refused, by address.
	losses chan string
	// census is never nil.
	census atomic.Pointer[census]

	mu     sync.Mutex
	router *router.Router

	// All below belongs to run.
	term    uint64
	stop    context.CancelFunc
	stopped chan struct{}
	// open is the gate; unserved is since when there was no leader.
	open     bool
	unserved time.Time
	// tried is when this node last campaigned.
	tried time.Time
	// looked is when run last did; a pause means that this node stood still,
	// and what it has not heard says nothing until awake.
	looked, awake time.Time
	// asked is when this node last asked whether it is a member still.
	asked time.Time
	// tending is the one change of the membership that may be under way.
	tending chan struct{}
}

func newLeading(s *Server, c *core, d *doors) *leading {
	l := &leading{
		server: s, core: c, doors: d, log: s.log, heir: s.left.heir(d.conf.Domain), losses: make(chan string, 4),
		open: c.peers == nil, unserved: time.Now(), asked: time.Now(), tending: make(chan struct{}, 1),
	}
	l.census.Store(&census{})
	return l
}

// census is who is connected to a node, for the status of the cluster. It is
// taken now and then: each ping tells it.
type census struct {
	at         time.Time
	clients    int
	components []string
}

const countEvery = time.Second

func (l *leading) count() {
	if time.Since(l.census.Load().at) < countEvery {
		return
	}
	c := &census{at: time.Now()}
	c.clients, c.components = l.doors.relay.Sessions()
	l.census.Store(c)
}

const (
	// lookEvery is how often run looks even if it hears of no change.
	lookEvery = 50 * time.Millisecond
	// cutOff is how long clients are kept without a leader.
	cutOff = 5 * time.Second
)

// run follows the store's state until ctx ends.
func (l *leading) run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	defer func() { l.takeRouter()() }()
	var changes sync.WaitGroup
	defer changes.Wait()
	for {
		var heard <-chan struct{}
		if l.core.peers != nil {
			heard = l.core.peers.Changed()
		}
		changed := l.core.Changed()
		st := l.core.State()
		if now := time.Now(); now.Sub(l.looked) > silence/2 {
			l.awake = now.Add(silence)
		}
		l.looked = time.Now()
		l.count()
		l.follow(st)
		if l.core.peers != nil {
			l.core.peers.SetMembers(membership.Others(st))
			l.detect(ctx, st)
			if l.core.isMember() {
				l.care(ctx, st, &changes)
			}
			l.gate()
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-heard:
		case <-tick.C:
		case addr := <-l.losses:
			l.refused(ctx, addr)
		}
	}
}

// care starts what may take a while and must not hold run up: as the leader
// the members are tended, without one this node asks whether it is one still.
// There is one at a time.
func (l *leading) care(ctx context.Context, st store.State, changes *sync.WaitGroup) {
	select {
	case l.tending <- struct{}{}:
	default:
		return
	}
	do := l.tend
	if !st.Ready {
		do = func(context.Context, store.State) {}
		// Its relay may still be attached: only Raft knows that it is left out.
		if time.Since(st.Contact) > evictedAfter && time.Since(l.asked) > evictedAfter {
			l.asked, do = time.Now(), l.ask
		}
	}
	changes.Go(func() {
		do(ctx, st)
		<-l.tending
	})
}

// follow makes router and relay fit the state.
func (l *leading) follow(st store.State) {
	lead := relay.Leadership{Term: st.Term, ID: st.LeaderID, Addr: st.LeaderAddr}
	for _, m := range st.Members {
		if m.ID != st.ID {
			lead.Others = append(lead.Others, m.Addr)
		}
	}
	r, last := l.current(), func() {}
	switch {
	case st.Ready && r != nil && l.term == st.Term:
		lead.Local, lead.ID = r, st.ID
	case st.Ready:
		last = l.takeRouter()
		lead.Local, lead.ID = l.startRouter(st.Term), st.ID
	case st.LeaderID == st.ID:
		// It leads and does not yet know what is committed.
		lead.ID, lead.Addr = "", ""
	}
	if !st.Ready {
		last = l.takeRouter()
	}
	l.doors.relay.Lead(lead)
	last()
}

func (l *leading) current() *router.Router {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.router
}

func (l *leading) startRouter(term uint64) *router.Router {
	r := router.New(router.Config{Domain: l.doors.conf.Domain, Version: l.server.cfg.Version}, router.Deps{Store: l.core.Store, Log: l.server.deps.Log})
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		l.server.ended("router", r.Run(ctx))
	}()
	l.term, l.stop, l.stopped = term, stop, stopped
	l.mu.Lock()
	l.router = r
	l.mu.Unlock()
	return r
}

// takeRouter takes the router away from this node's callers; the func stops
// it.
func (l *leading) takeRouter() (stop func()) {
	if l.stop == nil {
		return func() {}
	}
	l.mu.Lock()
	l.router = nil
	l.mu.Unlock()
	cancel, stopped := l.stop, l.stopped
	l.stop = nil
	return func() {
		cancel()
		<-stopped
	}
}

// gate shuts clients out of a node that has had no leader for a while, lest
// they talk to nobody, and lets them in again.
func (l *leading) gate() {
	served, _ := l.doors.relay.Served()
	// A node that is yet to join must not serve what it has to give up then.
	served = served && l.core.isMember()
	if served {
		l.unserved = time.Time{}
	} else if l.unserved.IsZero() {
		l.unserved = time.Now()
	}
	open := l.doors.conf.Enabled && (served || l.open && time.Since(l.unserved) < cutOff)
	if open == l.open {
		return
	}
	l.open = open
	if !open {
		why := l.why()
		l.log.Warn("clients are sent away: no leader can be reached", "condition", string(why.Condition))
		l.doors.edge.Gate(false, why)
		return
	}
	l.doors.edge.Gate(true, nil)
}

// why is what clients are told while the gate is shut: where this node is cut
// off from all others, one of those may serve them, and where it belongs to none,
// one that it did belong to.
func (l *leading) why() *stream.Error {
	near, far := l.nodes()
	switch member := l.core.isMember(); {
	case !member && l.heir != "":
		return &stream.Error{Condition: stream.SeeOtherHost, Text: l.heir}
	case !member:
		return &stream.Error{Condition: stream.HostGone, Text: "this server is in no cluster, and serves nobody"}
	case len(near) > 0 && !l.doors.conf.Enabled:
		return &stream.Error{Condition: stream.SeeOtherHost, Text: near[0]}
	case len(near) == 0 && len(far) > 0:
		return &stream.Error{Condition: stream.SeeOtherHost, Text: far[0]}
	}
	return &stream.Error{Condition: stream.RemoteConnectionFailed, Text: "this server cannot reach the others"}
}

// location is another node, for clients that lose this one (XEP-0198 §5).
func (l *leading) location() string {
	if near, _ := l.nodes(); len(near) > 0 {
		return near[0]
	}
	return ""
}

// nodes are the addresses of the other members: those that can be reached and
// those that cannot.
func (l *leading) nodes() (near, far []string) {
	if l.core.peers == nil {
		return nil, nil
	}
	peers := l.core.peers.Peers()
	for _, m := range membership.Others(l.core.State()) {
		if peers[m.ID].Reachable {
			near = append(near, m.Addr)
		} else {
			far = append(far, m.Addr)
		}
	}
	slices.Sort(near)
	slices.Sort(far)
	return near, far
}

// dial connects to the leader; the relay calls it.
func (l *leading) dial(ctx context.Context, addr string) (net.Conn, error) {
	if l.core.peers == nil {
		return nil, link.ErrNoLeader
	}
	return l.core.peers.Dial(ctx, addr, kindLink)
}

// kindLink are the relays' connections.
const kindLink = "link"
