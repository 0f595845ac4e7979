package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

// disk is what the nodes of a world have replicated.
type disk struct {
	t  testing.TB
	mu sync.Mutex
	// term that may write.
	term    uint64
	applied map[link.SessionID]uint64
	last    link.Item
	inbox   map[string][]link.Delivery
}

// chief is a leader: it routes messages to the only session of an account, and
// checks what it is told.
type chief struct {
	t     testing.TB
	disk  *disk
	term  uint64
	queue chan func()
	gate  *gate
	stop  chan struct{}
	done  chan struct{}

	// settle is closed by Settled.
	settle   chan struct{}
	settled  bool
	held     []func()
	holds    map[link.Ref]bool
	sessions map[link.SessionID]*post
	removed  []func()
	// opened, ended and lost are for tests, under mu.
	mu       sync.Mutex
	attached map[link.SessionID]int
	lost     int
}

// losses counts the calls of Lost.
func (c *chief) losses() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

type post struct {
	link.Session
	edge link.Edge
}

var errChief = errors.New("chief is stopped")

func newChief(d *disk, term uint64, g *gate) *chief {
	c := &chief{t: d.t, disk: d, term: term, queue: make(chan func(), 16), gate: g, stop: make(chan struct{}), done: make(chan struct{}),
		settle: make(chan struct{}), holds: map[link.Ref]bool{}, sessions: map[link.SessionID]*post{}, attached: map[link.SessionID]int{}}
	d.mu.Lock()
	d.term = max(d.term, term)
	d.mu.Unlock()
	go c.run()
	return c
}

func (c *chief) run() {
	defer close(c.done)
	for {
		select {
		case <-c.stop:
			return
		case f := <-c.queue:
			if !c.gate.pass(c.stop) {
				return
			}
			f()
			if isClosed(c.stop) {
				return
			}
		}
	}
}

func (c *chief) end() {
	close(c.stop)
	<-c.done
}

func (c *chief) put(f func()) error {
	select {
	case c.queue <- f:
		return nil
	case <-c.stop:
		return errChief
	}
}

func (c *chief) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	if err := c.put(func() { f(); close(done) }); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-c.stop:
		return errChief
	}
}

// commit changes the disk, unless another leads; then it never returns.
func (c *chief) commit(f func()) bool {
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	if c.disk.term != c.term {
		c.disk.mu.Unlock()
		<-c.stop
		c.disk.mu.Lock()
		return false
	}
	f()
	return true
}

func (c *chief) of(ref link.Ref) *post {
	if s := c.sessions[ref.ID]; s != nil && s.Ref == ref {
		return s
	}
	return nil
}

func (c *chief) Open(ctx context.Context, o link.Open, e link.Edge) (full jid.JID, err error) {
	if o.Resource == "refused" {
		return jid.JID{}, &link.Refusal{Condition: stanza.Conflict}
	}
	if doErr := c.do(ctx, func() {
		if c.sessions[o.Ref.ID] != nil {
			c.t.Errorf("Open of %v, which is there", o.Ref)
		}
		full, err = o.JID.WithResource("r" + o.Resource)
		s := &post{Session: link.Session{Ref: o.Ref, Kind: o.Kind, JID: full}, edge: e}
		c.sessions[o.Ref.ID] = s
		c.feed(s)
	}); doErr != nil {
		return jid.JID{}, doErr
	}
	return full, err
}

func (c *chief) Enable(ref link.Ref, en link.Enable) {
	c.put(func() {
		if s := c.of(ref); s != nil {
			s.Enabled, s.Enable = true, en
		}
	})
}

func (c *chief) Resume(ctx context.Context, r link.Resume, e link.Edge) (out link.Session, err error) {
	// Who is not known yet may be attached still.
	known := false
	if err := c.do(ctx, func() { known = c.sessions[r.ID] != nil }); err != nil {
		return link.Session{}, err
	}
	if !known {
		select {
		case <-c.settle:
		case <-c.stop:
			return link.Session{}, errChief
		}
	}
	if doErr := c.do(ctx, func() {
		s := c.sessions[r.ID]
		if s == nil {
			err = link.ErrNoSession
			return
		}
		n := s.Enable.Out + uint64(r.H)
		if n > s.Last {
			err = link.ErrCount
			return
		}
		c.acked(s, n)
		s.edge.End(s.Ref, "conflict")
		s.Ref.Epoch++
		s.edge, s.Detached = e, false
		out = s.Session
		out.Queue = slices.Clone(s.Queue)
		c.feed(s)
	}); doErr != nil {
		return link.Session{}, doErr
	}
	return out, err
}

func (c *chief) Send(ref link.Ref, seq uint64, e *stanza.Element) {
	c.put(func() {
		if !c.settled {
			c.held = append(c.held, func() { c.send(ref, seq, e) })
			c.holds[ref] = true
			return
		}
		c.send(ref, seq, e)
	})
}

// inOrder runs f, after the session's stanzas where those are held.
func (c *chief) inOrder(ref link.Ref, f func()) {
	c.put(func() {
		if !c.settled && c.holds[ref] {
			c.held = append(c.held, f)
			return
		}
		f()
	})
}

func (c *chief) send(ref link.Ref, seq uint64, e *stanza.Element) {
	s := c.of(ref)
	if s == nil || isClosed(c.stop) {
		return
	}
	if seq <= s.Confirmed {
		s.edge.Confirm(ref, seq)
		return
	}
	if seq != s.Confirmed+1 {
		c.t.Errorf("session %s: Send of %d follows %d", ref.ID, seq, s.Confirmed)
	}
	to, _ := jid.Parse(e.Attr("to"))
	e.SetAttr("from", s.JID.String())
	if !c.commit(func() {
		if c.disk.applied[ref.ID] >= seq {
			return
		}
		c.disk.applied[ref.ID] = seq
		c.disk.last++
		c.disk.inbox[to.Local()] = append(c.disk.inbox[to.Local()], link.Delivery{Item: c.disk.last, Bytes: e.Append(nil, stanza.NSClient)})
		for _, f := range c.removed {
			f()
		}
		c.removed = nil
	}) {
		return
	}
	for _, r := range c.sessions {
		if r.JID.Local() == to.Local() {
			c.feed(r)
		}
	}
	s.Confirmed = seq
	s.edge.Memo(ref, fmt.Appendf(nil, "%d", seq))
	s.edge.Confirm(ref, seq)
}

// feed delivers what is not in the session's hands.
func (c *chief) feed(s *post) {
	c.disk.mu.Lock()
	waiting := slices.Clone(c.disk.inbox[s.JID.Local()])
	c.disk.mu.Unlock()
	for _, d := range waiting {
		if slices.ContainsFunc(s.Queue, func(q link.Delivery) bool { return q.Item == d.Item }) {
			continue
		}
		s.Last++
		d.N = s.Last
		s.Queue = append(s.Queue, d)
		s.edge.Deliver(s.Ref, d)
	}
}

func (c *chief) Delivered(ref link.Ref, n uint64) {
	c.put(func() {
		if s := c.of(ref); s != nil {
			c.acked(s, n)
		}
	})
}

// acked removes items of a session at once from the inbox as it sees it; the
// disk is told with the next commit, so a leader that dies may not have.
func (c *chief) acked(s *post, n uint64) {
	account := s.JID.Local()
	for len(s.Queue) > 0 && s.Queue[0].N <= n {
		item := s.Queue[0].Item
		s.Queue = s.Queue[1:]
		c.commit(func() {
			c.disk.inbox[account] = slices.DeleteFunc(c.disk.inbox[account], func(d link.Delivery) bool { return d.Item == item })
		})
	}
}

func (c *chief) Detach(ref link.Ref) {
	c.inOrder(ref, func() {
		if s := c.of(ref); s != nil {
			if s.Detached = true; !s.Enabled || s.Enable.Keep == 0 {
				delete(c.sessions, ref.ID)
			}
		}
	})
}

func (c *chief) Close(ref link.Ref) {
	c.inOrder(ref, func() {
		if s := c.of(ref); s != nil {
			delete(c.sessions, ref.ID)
		}
	})
}

func (c *chief) Attach(s link.Session, e link.Edge) {
	c.put(func() {
		for i, d := range s.Queue {
			if d.N != s.Last-uint64(len(s.Queue)-i)+1 {
				c.t.Errorf("session %s: delivery %d stands at %d of a queue of %d that ends with %d", s.Ref.ID, d.N, i, len(s.Queue), s.Last)
			}
		}
		if have := c.sessions[s.Ref.ID]; have != nil && have.Ref.Epoch > s.Ref.Epoch {
			e.End(s.Ref, "conflict")
			return
		}
		p := &post{Session: s, edge: e}
		c.sessions[s.Ref.ID] = p
		c.mu.Lock()
		c.attached[s.Ref.ID]++
		c.mu.Unlock()
		// What is in the inbox and not in its hands is found when something
		// comes for it; here at once, which is harder on the relay.
		c.feed(p)
	})
}

func (c *chief) Lost(e link.Edge, to link.Keeper) {
	c.put(func() {
		c.mu.Lock()
		c.lost++
		c.mu.Unlock()
		for _, s := range c.sessions {
			if s.edge != e {
				continue
			}
			s.Detached = true
			if to != nil {
				s.edge = to
				state := s.Session
				state.Queue = slices.Clone(s.Queue)
				to.Keep(state)
			}
		}
	})
}

func (c *chief) Settled() {
	c.put(func() {
		c.settled = true
		for _, f := range c.held {
			f()
		}
		c.held = nil
		close(c.settle)
	})
}
