package relay

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"parley/services/xmpp/link"
)

// Config of a Relay; what is zero has a default.
type Config struct {
	// Settle is how long a new leader waits for other nodes to attach (150 ms).
	Settle time.Duration
	// MirrorWait is how long a call waits for its copy on another node
	// (250 ms).
	MirrorWait time.Duration
	// Stall is how long a connection may take nothing (10 s).
	Stall time.Duration
	// Queue is how many bytes may wait for a follower (64 MiB).
	Queue int
	// Handshake is the most that dialling and the first frames each take (2 s).
	Handshake time.Duration
	// Retain is how long a delivery is known after it was acknowledged (3 s).
	Retain time.Duration
	// Grace is how long the lost leader's sessions that cannot be resumed
	// wait for it to come back (2 s).
	Grace time.Duration
}

func (c *Config) setDefaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.Settle, 150*time.Millisecond)
	set(&c.MirrorWait, 250*time.Millisecond)
	set(&c.Stall, 10*time.Second)
	set(&c.Handshake, 2*time.Second)
	set(&c.Retain, 3*time.Second)
	set(&c.Grace, 2*time.Second)
	if c.Queue == 0 {
		c.Queue = 64 << 20
	}
}

// Deps of a Relay.
type Deps struct {
	// Edge of this node. It is called with the relay's lock held, so from
	// within a call it must not call the relay.
	Edge link.Edge
	// Dial connects to the relay of another node, whose Serve gets the
	// connection.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// LeaderLost, if not nil, is told that the connection to the leader broke
	// and was not to be had again at once; refused says that the leader's
	// machine answers and its program does not. It is called from Run's
	// goroutine, once each time.
	LeaderLost func(addr string, refused bool)
	// Refused says that an error of Dial means so, as peer.Refused does; nil
	// goes by the kinds of error of a TCP connection.
	Refused func(error) bool
	Log     *slog.Logger
}

// Leadership says who leads.
type Leadership struct {
	Term uint64
	// Local is the leader where this node is it, else nil.
	Local link.Announcer
	// ID and Addr of the leader, "" where none is known.
	ID, Addr string
	// Others are the addresses of the other members.
	Others []string
}

func (l *Leadership) is(o *Leadership) bool {
	// A node may know who leads before it knows where.
	return l.Term == o.Term && l.ID == o.ID && l.Local == o.Local && (l.Local != nil || l.Addr == o.Addr)
}

// Relay implements link.Leader for the edge of its node.
type Relay struct {
	cfg  Config
	deps Deps
	log  *slog.Logger
	// instance tells this relay from one of the same node before it.
	instance uint64
	made     time.Time

	// mu guards what follows, and all sessions. It is held while the edge is
	// called, never while the leader is.
	mu      sync.Mutex
	lead    Leadership
	before  string        // the address of the leader before, "" this node
	changed chan struct{} // closed when lead changes
	stopped bool
	stop    chan struct{} // closed with stopped
	lane    *lane
	reign   *reign
	// since is when the relay got or lost its lane, joined is closed when it
	// gets the next.
	since  time.Time
	joined chan struct{}

	sessions map[link.SessionID]*session
	// parting are closed sessions that the leader may not know to be so.
	parting map[link.SessionID]*parting
	// moved are sessions that another connection has taken, for a while: its
	// relay may not have heard so when the leader is lost, and then nobody
	// would have them.
	moved map[link.SessionID]*session
	asks  map[uint64]*ask
	asked uint64
	// early are calls for sessions whose answer is still awaited.
	early map[link.SessionID][]message

	// work are goroutines that Run waits for.
	work sync.WaitGroup

	held   held
	backup backup
}

var _ link.Leader = (*Relay)(nil)

// New makes a relay; nobody leads as yet.
func New(cfg Config, deps Deps) *Relay {
	cfg.setDefaults()
	if deps.Refused == nil {
		deps.Refused = loud
	}
	var instance [8]byte
	rand.Read(instance[:])
	return &Relay{
		cfg: cfg, deps: deps, log: deps.Log.With("component", "relay"), instance: binary.BigEndian.Uint64(instance[:]),
		made: time.Now(), changed: make(chan struct{}), stop: make(chan struct{}), since: time.Now(), joined: make(chan struct{}),
		sessions: map[link.SessionID]*session{}, parting: map[link.SessionID]*parting{}, moved: map[link.SessionID]*session{},
		asks: map[uint64]*ask{}, early: map[link.SessionID][]message{},
		backup: newBackup(),
	}
}

// SetEdge sets Deps.Edge, which may need the relay to be made. It is called
// before Run.
func (r *Relay) SetEdge(e link.Edge) { r.deps.Edge = e }

// Lead tells who leads. From its return on nothing that another leader still
// says reaches the edge. The same leadership again only updates Others. Where
// none is known the connection to a leader on another node stays as long as
// it does, or until another is known.
func (r *Relay) Lead(l Leadership) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.is(&r.lead) {
		r.lead = l
		if r.reign != nil {
			r.reign.tell()
		}
		return
	}
	if r.lead.Local != nil {
		r.before = ""
	} else if r.lead.Addr != "" {
		r.before = r.lead.Addr
	}
	r.lead = l
	if r.reign != nil {
		r.endReign()
	}
	if r.lane != nil && !r.lane.stays(&l) {
		r.loseLane(r.lane)
	}
	if l.Local != nil && !r.stopped {
		r.reign = newReign(r, l)
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// endReign has the caller hold mu.
func (r *Relay) endReign() {
	close(r.reign.over)
	r.reign = nil
	r.backup.drop()
}

// Run follows whoever leads until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	var upkeep sync.WaitGroup
	upkeep.Go(func() { r.upkeep(ctx) })
	for ctx.Err() == nil {
		r.mu.Lock()
		l, changed, g := r.lead, r.changed, r.reign
		r.mu.Unlock()
		switch {
		case l.Local != nil:
			r.leadHere(ctx, l, g, changed)
		case l.Addr != "":
			r.follow(ctx, l, changed)
		default:
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
	r.mu.Lock()
	r.stopped = true
	close(r.stop)
	if r.lane != nil {
		r.loseLane(r.lane)
	}
	if r.reign != nil {
		r.endReign()
	}
	r.mu.Unlock()
	upkeep.Wait()
	r.work.Wait()
	return nil
}

// Served says whether a leader is there, this node or one that it is attached
// to, and since when that is so.
func (r *Relay) Served() (bool, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lane != nil, r.since
}

// Moved waits until this node's sessions are announced to a leader that it has
// had only since then.
func (r *Relay) Moved(ctx context.Context, then time.Time) error {
	for {
		r.mu.Lock()
		moved, joined := r.lane != nil && r.since.After(then), r.joined
		r.mu.Unlock()
		if moved {
			return nil
		}
		select {
		case <-joined:
		case <-r.stop:
			return link.ErrNoLeader
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Sessions are those that are connected to this node: how many clients, and the
// domains of the components, in order.
func (r *Relay) Sessions() (clients int, components []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sessions {
		switch {
		case s.Detached:
		case s.Kind == link.Component:
			components = append(components, s.JID.Domain())
		default:
			clients++
		}
	}
	slices.Sort(components)
	return clients, components
}

// upkeep does what time brings.
func (r *Relay) upkeep(ctx context.Context) {
	sweep := time.NewTicker(min(r.cfg.Retain, r.cfg.Grace) / 2)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			r.mu.Lock()
			r.sweep(time.Now())
			r.mu.Unlock()
		case <-r.backup.timer.C:
			r.mu.Lock()
			r.mirrorDue(time.Now())
			r.mu.Unlock()
		}
	}
}

// expiry is how much longer than the leader a relay keeps a session that
// waits: it is for the leader to close it.
const expiry = 30 * time.Second

// sweep has the caller hold mu.
func (r *Relay) sweep(now time.Time) {
	if r.lane == nil {
		return
	}
	for id, s := range r.sessions {
		s.forget(now, r.cfg.Retain, r.lane.calls, r.lane.took)
		switch waits := now.Sub(s.detached); {
		case !s.Detached:
		case s.orphan && s.keep() == 0:
			if waits > r.cfg.Grace {
				r.part(s, message{kind: kClose, ref: s.Ref})
			}
		case waits > s.keep()+expiry:
			delete(r.sessions, id)
			r.record(message{kind: kClose, ref: s.Ref})
		}
	}
	for id, p := range r.parting {
		if !p.passed.IsZero() && now.Sub(p.passed) > r.cfg.Retain {
			delete(r.parting, id)
		}
	}
	for id, s := range r.moved {
		if now.Sub(s.moved) > r.cfg.Retain {
			delete(r.moved, id)
		}
	}
	for id, s := range r.held.sessions {
		// The leader has told of it itself.
		s.forget(now, r.cfg.Retain, 0, 0)
		if !s.moved.IsZero() && now.Sub(s.moved) > r.cfg.Retain {
			delete(r.held.sessions, id)
		}
	}
}
