package relay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// client is a client with XEP-0198, over all its connections.
type client struct {
	w       *world
	account string

	mu   sync.Mutex
	node *node // nil: not connected
	ref  link.Ref
	// sent are its messages: number seq is at seq-1.
	sent      []*stanza.Element
	confirmed uint64
	// given counts what the edge was given.
	given    uint64
	messages []string
	// auto acknowledges at once.
	auto  bool
	ended string
}

func (w *world) client(account, at string) *client {
	w.t.Helper()
	c := w.stranger(account)
	c.open(at)
	return c
}

// stranger is a client that has not connected yet.
func (w *world) stranger(account string) *client {
	c := &client{w: w, account: account, auto: true}
	copy(c.ref.ID[:], account)
	return c
}

func (c *client) open(at string) {
	c.w.t.Helper()
	n := c.w.node(at)
	n.mu.Lock()
	c.node = n
	n.conns[c.ref] = c
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	full, err := n.relay.Open(ctx, link.Open{Ref: c.ref, JID: mustJID(c.account + "@x"), Resource: "1"}, n)
	if err != nil || full != mustJID(c.account+"@x/r1") {
		c.w.t.Errorf("Open(%s) = %v, %v", c.account, full, err)
		return
	}
	n.relay.Enable(c.ref, link.Enable{Keep: 5 * time.Minute})
}

// send sends the next message to an account.
func (c *client) send(to string) {
	c.mu.Lock()
	e := stanza.New(stanza.NSClient, "message", "to", to+"@x", "id", fmt.Sprintf("%s-%d", c.account, len(c.sent)+1))
	c.sent = append(c.sent, e)
	seq, n, ref := uint64(len(c.sent)), c.node, c.ref
	c.mu.Unlock()
	if n != nil {
		n.relay.Send(ref, seq, e.Clone())
	}
}

// drop is the loss of the client's connection.
func (c *client) drop() {
	c.mu.Lock()
	n, ref := c.node, c.ref
	c.node = nil
	c.mu.Unlock()
	if n != nil {
		n.mu.Lock()
		delete(n.conns, ref)
		n.mu.Unlock()
		n.relay.Detach(ref)
	}
}

// resume connects the client again, elsewhere.
func (c *client) resume(at string) error {
	n := c.w.node(at)
	c.mu.Lock()
	h, id := uint32(c.given), c.ref.ID
	c.mu.Unlock()
	n.mu.Lock()
	n.waiting[id] = true
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.waiting, id)
		delete(n.early, id)
		n.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := n.relay.Resume(ctx, link.Resume{ID: id, Account: mustJID(c.account + "@x"), H: h}, n)
	if err != nil {
		return err
	}
	n.mu.Lock()
	c.mu.Lock()
	c.node, c.ref, c.ended = n, s.Ref, ""
	if s.Confirmed < c.confirmed {
		c.w.t.Errorf("%s resumed with %d confirmed, was %d", c.account, s.Confirmed, c.confirmed)
	}
	if s.Last-uint64(len(s.Queue)) != c.given {
		c.w.t.Errorf("%s resumed: queue of %d ends with %d; client has %d", c.account, len(s.Queue), s.Last, c.given)
	}
	c.confirmed = s.Confirmed
	again := c.sent[s.Confirmed:]
	early := n.early[id]
	n.conns[s.Ref] = c
	c.mu.Unlock()
	for _, d := range s.Queue {
		c.deliver(d)
	}
	for _, f := range early {
		f(c)
	}
	n.mu.Unlock()
	for i, e := range again {
		n.relay.Send(s.Ref, s.Confirmed+uint64(i)+1, e.Clone())
	}
	return nil
}

func (c *client) deliver(d link.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.N != c.given+1 {
		c.w.t.Errorf("%s was given delivery %d after %d", c.account, d.N, c.given)
	}
	c.given = d.N
	e, err := stream.Parse(d.Bytes)
	if err != nil {
		c.w.t.Errorf("%s was given %q: %v", c.account, d.Bytes, err)
		return
	}
	c.messages = append(c.messages, e.Attr("id"))
	if c.auto && c.node != nil {
		n, ref, given := c.node, c.ref, c.given
		go n.relay.Delivered(ref, given)
	}
}
