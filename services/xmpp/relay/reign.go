package relay

import (
	"context"
	"sync"
	"time"

	"parley/services/xmpp/link"
)

// reign is one leadership of this node: the desks of all relays that have
// attached to it.
type reign struct {
	relay *Relay
	term  uint64
	id    string
	local link.Announcer
	// before is the address of the leader before, "" this node.
	before string
	// over is closed when the leadership has ended.
	over chan struct{}
	// news is signalled when a node has attached, or was given up.
	news chan struct{}

	// links belong to the relay's lock: one for each node that is or was
	// connected last.
	links map[string]*served
	// own says that this node's relay has attached by desk; relay's lock.
	own  bool
	desk *desk

	// attaching makes the attachments of different desks follow one another.
	// It is held while the leader is called.
	attaching sync.Mutex
	// mu guards holders only: the leader's goroutine takes it.
	mu      sync.Mutex
	holders map[link.SessionID]holder
	// reserve are sessions that have moved, as far as their relay knows.
	reserve map[link.SessionID]reserve
}

// reserve is what a desk has of a session.
type reserve struct {
	desk *desk
	message
}

// holder is the desk that has a session.
type holder struct {
	desk  *desk
	epoch uint32
	// live says that its client is connected, for all that is known.
	live bool
	// gen is 0 but for what was mirrored.
	gen uint64
}

func newReign(r *Relay, l Leadership) *reign {
	return &reign{relay: r, term: l.Term, id: l.ID, local: l.Local, before: r.before, over: make(chan struct{}), news: make(chan struct{}, 1),
		links: map[string]*served{}, holders: map[link.SessionID]holder{}, reserve: map[link.SessionID]reserve{}}
}

// attach passes an announced session on. Two relays may announce the same
// one: the node that has it, and the node that had it mirrored. Of the same
// epoch the one with the live connection wins, whoever comes first, and of two
// mirrors the newer; the other is told to drop it.
func (g *reign) attach(d *desk, s link.Session, gen uint64) {
	g.attaching.Lock()
	defer g.attaching.Unlock()
	g.mu.Lock()
	h, held := g.holders[s.Ref.ID]
	other := held && h.desk != d
	// 0 is no mirror's but the node's own, and above all others.
	refused := other && h.epoch == s.Ref.Epoch && s.Detached && (h.live || gen-1 < h.gen-1)
	newer := !held || h.epoch <= s.Ref.Epoch
	if newer && !refused {
		g.holders[s.Ref.ID] = holder{d, s.Ref.Epoch, !s.Detached, gen}
	}
	g.mu.Unlock()
	if refused {
		d.emit(message{kind: kDrop, ref: s.Ref})
		return
	}
	if other && newer {
		h.desk.emit(message{kind: kDrop, ref: link.Ref{ID: s.Ref.ID, Epoch: h.epoch}})
	}
	g.local.Attach(s, d)
}

// keep notes a session that has moved to another connection, should nobody
// else have it. It is never attached while it may be there elsewhere, since a
// client that resumed it has gone on from a later state.
func (g *reign) keep(d *desk, m *message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h, ok := g.reserve[m.session.Ref.ID]; !ok || h.session.Ref.Epoch <= m.session.Ref.Epoch {
		g.reserve[m.session.Ref.ID] = reserve{d, *m}
	}
}

// revive attaches what nobody else has.
func (g *reign) revive() {
	g.mu.Lock()
	var left []reserve
	for id, v := range g.reserve {
		if _, held := g.holders[id]; !held {
			left = append(left, v)
		}
	}
	g.mu.Unlock()
	for _, v := range left {
		v.desk.emit(message{kind: kRevive, ref: v.session.Ref})
		g.attach(v.desk, *v.session, v.n)
	}
}

// taken notes that d has a session by Open or Resume.
func (g *reign) taken(d *desk, ref link.Ref) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h, ok := g.holders[ref.ID]; !ok || h.epoch <= ref.Epoch {
		g.holders[ref.ID] = holder{desk: d, epoch: ref.Epoch, live: true}
	}
}

// absent notes that a session's connection is gone.
func (g *reign) absent(d *desk, ref link.Ref) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h, ok := g.holders[ref.ID]; ok && h.desk == d && h.epoch == ref.Epoch {
		h.live = false
		g.holders[ref.ID] = h
	}
}

// gone notes that a session is closed.
func (g *reign) gone(d *desk, ref link.Ref) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h, ok := g.holders[ref.ID]; ok && h.desk == d && h.epoch == ref.Epoch {
		delete(g.holders, ref.ID)
	}
}

// vacate notes that a desk is not there any more.
func (g *reign) vacate(d *desk) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, h := range g.holders {
		if h.desk == d {
			delete(g.holders, id)
		}
	}
	for id, v := range g.reserve {
		if v.desk == d {
			delete(g.reserve, id)
		}
	}
}

// tell wakes settle.
func (g *reign) tell() {
	select {
	case g.news <- struct{}{}:
	default:
	}
}

// settle tells the leader when nobody is waited for any more: a node that has
// not attached is, for a moment, while it can be reached at all. A dead one
// refuses the connection at once.
func (g *reign) settle(reigning context.Context) {
	r := g.relay
	ctx, cancel := context.WithTimeout(reigning, r.cfg.Settle)
	var probes sync.WaitGroup
	defer probes.Wait()
	defer cancel()
	var mu sync.Mutex
	probed := map[string]bool{}
	unreachable := map[string]bool{}
	probe := func(addr string) {
		defer probes.Done()
		conn, err := r.deps.Dial(ctx, addr)
		if err == nil {
			conn.Close()
			return
		}
		mu.Lock()
		unreachable[addr] = true
		mu.Unlock()
		g.tell()
	}
	begun := time.Now()
	whole := false
	for {
		missing := 0
		whole = true
		r.mu.Lock()
		others, own := r.lead.Others, g.own
		for _, addr := range others {
			mu.Lock()
			s := g.links[addr]
			there := s != nil && s.attached
			whole = whole && (there || addr == g.before)
			if !there && !unreachable[addr] {
				missing++
				if s == nil && !probed[addr] {
					probed[addr] = true
					probes.Add(1)
					go probe(addr)
				}
			}
			mu.Unlock()
		}
		r.mu.Unlock()
		if own && missing == 0 {
			break
		}
		select {
		case <-g.news:
			continue
		case <-g.over:
			return
		case <-ctx.Done():
		}
		if own {
			r.log.Info("leader settles without all nodes", "missing", missing, "waited", time.Since(begun))
			break
		}
		// Its own sessions are never left out; they are on their way.
		select {
		case <-g.news:
		case <-g.over:
			return
		case <-reigning.Done():
			return
		}
	}
	if whole {
		g.revive()
	}
	g.local.Settled()
}
