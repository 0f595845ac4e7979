package client

import (
	"context"
	"fmt"
	"strconv"

	"parley/services/xmpp/stanza"
)

// session is what outlives a connection; Client.mu guards it.
type session struct {
	jid string
	// id resumes the session, "" where the server does not grant it;
	// location is where it would have us resume it.
	id, location string
	// hinted says that location was tried since the last loss.
	hinted bool
	// elsewhere is where a stream error has sent us.
	elsewhere string

	// queue are the stanzas that the server has not acknowledged, in order.
	queue []entry
	// acked is the server's last h. handled is ours: the stanzas that
	// Received has taken.
	acked, handled uint32
	// unasked counts stanzas since the last <r/>.
	unasked int
}

// entry is a stanza of ours.
type entry struct {
	id   string
	data []byte
	// written says that a connection was given it: nobody but the server
	// knows whether it arrived.
	written bool
}

const (
	askAck    = "<r xmlns='" + stanza.NSSM + "'/>"
	ackStart  = "<a xmlns='" + stanza.NSSM + "' h='"
	ackFinish = "'/>"
)

// hint returns where the server would have us connect, once after each loss.
func (c *Client) hint() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	addr := c.elsewhere
	if addr == "" && c.id != "" && !c.hinted {
		addr = c.location
		c.hinted = true
	}
	c.elsewhere = ""
	return addr
}

func (c *Client) unhint() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.elsewhere = ""
}

// Send queues a stanza, and waits only while the window is full. It is sent
// again until the server acknowledges it, whatever becomes of connections.
func (c *Client) Send(ctx context.Context, e *stanza.Element) error {
	return c.send(ctx, entry{id: e.Attr("id"), data: e.Append(nil, stanza.NSClient)})
}

// Message sends a chat message.
func (c *Client) Message(ctx context.Context, to, id, body string) error {
	return c.Send(ctx, stanza.New(stanza.NSClient, "message", "to", to, "type", "chat", "id", id).
		Add(stanza.New(stanza.NSClient, "body").AddText(body)))
}

func (c *Client) send(ctx context.Context, en entry) error {
	for {
		c.mu.Lock()
		if c.over {
			c.mu.Unlock()
			return ErrOver
		}
		if len(c.queue) < c.cfg.Window {
			break
		}
		change := c.change
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return fmt.Errorf("client %s: send: %w", c.cfg.User, ctx.Err())
		case <-change:
		}
	}
	c.queue = append(c.queue, en)
	w := c.wire
	if w != nil {
		c.put(w, &c.queue[len(c.queue)-1])
	}
	c.mu.Unlock()
	if w != nil {
		w.flush()
	}
	return nil
}

// put gives one entry to the connection. The caller holds mu, and flushes.
func (c *Client) put(w *wire, en *entry) {
	en.written = true
	c.unasked++
	ask := c.unasked >= c.cfg.AskEvery
	if ask {
		c.unasked = 0
	}
	w.append(func(b []byte) []byte {
		if b = append(b, en.data...); ask {
			b = append(b, askAck...)
		}
		return b
	})
}

// acknowledged takes the server's h.
func (c *Client) acknowledged(h uint32) error {
	c.mu.Lock()
	n := h - c.acked
	written := 0
	for written < len(c.queue) && c.queue[written].written {
		written++
	}
	if uint64(n) > uint64(written) {
		c.mu.Unlock()
		return fmt.Errorf("the server acknowledged %d stanzas of %d", n, written)
	}
	var done []entry
	if n > 0 {
		done = c.queue[:n:n]
		if c.queue = c.queue[n:]; len(c.queue) == 0 {
			c.queue = nil
		}
		c.acked = h
		c.signal()
	}
	c.mu.Unlock()
	for i := range done {
		if done[i].id != "" {
			c.deps.Acked(done[i].id)
		}
	}
	return nil
}

// established begins to use a connection whose session is bound or resumed,
// and sends what is queued.
func (c *Client) established(w *wire, resumed bool) {
	if resumed {
		c.deps.Changed(Event{Kind: Resumed, Addr: w.addr})
	} else {
		c.mu.Lock()
		var again []string
		for _, en := range c.queue {
			if en.written && en.id != "" {
				again = append(again, en.id)
			}
		}
		c.mu.Unlock()
		for _, id := range again {
			c.deps.Repeated(id)
		}
	}
	c.mu.Lock()
	if !resumed {
		// A presence of the old session says nothing about this one.
		queue := c.queue[:0:0]
		if !c.cfg.Unavailable {
			queue = append(queue, entry{data: []byte("<presence/>")})
		}
		for _, en := range c.queue {
			if en.id != "" || !en.written {
				queue = append(queue, en)
			}
		}
		c.queue = queue
	}
	c.wire = w
	c.hinted = false
	c.unasked = 0
	for i := range c.queue {
		c.put(w, &c.queue[i])
	}
	c.signal()
	c.mu.Unlock()
	w.kick()
}

// took counts a stanza that Received has taken.
func (c *Client) took() {
	c.mu.Lock()
	c.handled++
	c.mu.Unlock()
}

// answer sends our <a/>.
func (c *Client) answer(w *wire) {
	c.mu.Lock()
	h := c.handled
	c.mu.Unlock()
	w.append(func(b []byte) []byte {
		b = append(b, ackStart...)
		b = strconv.AppendUint(b, uint64(h), 10)
		return append(b, ackFinish...)
	})
	w.kick()
}
