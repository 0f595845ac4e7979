package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"parley/services/xmpp/stanza"
)

// ErrSilent is a server that does not answer.
var ErrSilent = errors.New("the server has fallen silent")

// read takes what comes until the stream ends.
func (c *Client) read(w *wire) error {
	asked := false
	for {
		w.expect(c.cfg.Silence)
		e, err := w.scanner.Next()
		var timeout net.Error
		switch {
		case err == nil:
			asked = false
			if err := c.handle(w, e); err != nil {
				return err
			}
		case errors.As(err, &timeout) && timeout.Timeout():
			if asked {
				return ErrSilent
			}
			asked = true
			w.append(func(b []byte) []byte { return append(b, askAck...) })
			w.kick()
		case err == io.EOF:
			return errors.New("the server closed the stream")
		default:
			return err
		}
	}
}

// handle takes one element of the stream.
func (c *Client) handle(w *wire, e *stanza.Element) error {
	switch e.Name.Space {
	case stanza.NSClient:
		c.deps.Received(e)
		c.took()
		if e.Name.Local == "iq" && (e.Attr("type") == "get" || e.Attr("type") == "set") {
			return c.refuse(w, e)
		}
		return nil
	case stanza.NSSM:
		switch e.Name.Local {
		case "r":
			c.answer(w)
			return nil
		case "a":
			h, err := strconv.ParseUint(e.Attr("h"), 10, 32)
			if err != nil {
				return fmt.Errorf("an acknowledgement without a count: %s", e)
			}
			return c.acknowledged(uint32(h))
		}
	}
	if err := c.streamError(e); err != nil {
		return err
	}
	return fmt.Errorf("unexpected %s", e)
}

// refuse answers a request, as RFC 6120 §8.2.3 wants; a ping gets its result.
// It may go beyond the window, since the reader cannot wait.
func (c *Client) refuse(w *wire, e *stanza.Element) error {
	answer := stanza.Result(e)
	if e.Child(stanza.NSPing, "ping") == nil {
		answer = stanza.ErrorReply(e, stanza.ServiceUnavailable, "")
	}
	c.mu.Lock()
	c.queue = append(c.queue, entry{data: answer.Append(nil, stanza.NSClient)})
	c.put(w, &c.queue[len(c.queue)-1])
	c.mu.Unlock()
	w.kick()
	return nil
}
