package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"parley/services/journal"
	"parley/services/problem"
)

const (
	// idleKept is how long a connection without a call stays open, and
	// idleServed how long the other side waits.
	idleKept   = 30 * time.Second
	idleServed = 60 * time.Second
	// maxIdle is how many of them stay open to one address.
	maxIdle = 4
	// patience is a call's without a deadline of its own, and maxPatience
	// what a handler gets at most.
	patience    = 15 * time.Second
	maxPatience = 5 * time.Minute
)

// ErrOutcome is of a Call that was sent and not answered: it may have taken
// effect.
var ErrOutcome = errors.New("the outcome is not known")

// request is a call; response its answer.
type request struct {
	Method string `json:"method"`
	// Hello is the caller now: the connection may be old.
	Hello  Hello           `json:"hello"`
	Within time.Duration   `json:"within"`
	In     json.RawMessage `json:"in,omitempty"`
}

type response struct {
	Out     json.RawMessage  `json:"out,omitempty"`
	Problem *problem.Problem `json:"problem,omitempty"`
	Error   string           `json:"error,omitempty"`
	// Late: the caller's patience ended first.
	Late bool `json:"late,omitempty"`
}

// Call asks whichever node is at addr: in goes as JSON, the answer into out
// unless nil. A problem of the other node is returned as it is; errors of
// reaching it are Dial's, and nothing was done; after ErrOutcome it is not known
// whether. Without a deadline it is given up after 15 s.
func (n *Net) Call(ctx context.Context, addr, method string, in, out any) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	deadline, _ := ctx.Deadline()
	r := request{Method: method, Hello: n.hello(), Within: time.Until(deadline)}
	var err error
	if in != nil {
		if r.In, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode call %s: %w", method, err)
		}
	}
	c := n.takeIdle(addr)
	if c == nil {
		if c, err = n.dial(ctx, addr, "call", ""); err != nil {
			return err
		}
	}
	var a response
	if err := c.exchange(ctx, r, &a); err != nil {
		c.abort()
		return fmt.Errorf("call %s of %s: %w", method, addr, err)
	}
	n.putIdle(addr, c)
	switch {
	case a.Problem != nil:
		return a.Problem
	case a.Late:
		return fmt.Errorf("call %s of %s: %w: %w", method, addr, ErrOutcome, context.DeadlineExceeded)
	case a.Error != "":
		return fmt.Errorf("call %s of %s: %s", method, addr, journal.Clean(a.Error))
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(a.Out, out); err != nil {
		return fmt.Errorf("decode answer of %s: %w", method, err)
	}
	return nil
}

// exchange sends r and waits for the answer, or ctx.
func (c *conn) exchange(ctx context.Context, r request, a *response) error {
	stop := context.AfterFunc(ctx, func() { c.NetConn().SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := writeFrame(c, maxCall, r)
	if errors.Is(err, errFrame) {
		return err
	}
	if err == nil {
		err = readFrame(c, maxCall, a)
	}
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("%w: %w", ErrOutcome, err)
	}
	c.SetDeadline(time.Time{})
	return nil
}

// serveCalls answers calls, one after the other.
func (n *Net) serveCalls(ctx context.Context, c *conn) {
	defer c.Close()
	for {
		c.SetDeadline(time.Now().Add(idleServed))
		var r request
		if err := readFrame(c, maxCall, &r); err != nil {
			return
		}
		if r.Hello.check() != nil {
			return
		}
		c.SetDeadline(time.Time{})
		a := n.answerCall(ctx, r)
		c.SetDeadline(time.Now().Add(n.cfg.Wait))
		err := writeFrame(c, maxCall, a)
		if errors.Is(err, errFrame) {
			err = writeFrame(c, maxCall, response{Error: "the answer is too large"})
		}
		if err != nil {
			return
		}
	}
}

func (n *Net) answerCall(ctx context.Context, r request) response {
	f, ok := n.calls[r.Method]
	if !ok {
		return response{Error: "there is no such call"}
	}
	ctx, cancel := context.WithTimeout(ctx, min(max(r.Within, time.Millisecond), maxPatience))
	defer cancel()
	out, err := f(ctx, r.Hello, r.In)
	if err != nil {
		if p, ok := errors.AsType[*problem.Problem](err); ok {
			return response{Problem: p}
		}
		return response{Error: err.Error(), Late: ctx.Err() != nil && errors.Is(err, ctx.Err())}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return response{Error: err.Error()}
	}
	return response{Out: b}
}

// idleConn is a connection without a call.
type idleConn struct {
	*conn
	at time.Time
}

func (n *Net) takeIdle(addr string) *conn {
	for {
		n.mu.Lock()
		l := n.idle[addr]
		if len(l) == 0 {
			n.mu.Unlock()
			return nil
		}
		i := l[len(l)-1]
		n.idle[addr] = l[:len(l)-1]
		_, open := n.conns[i.conn]
		n.mu.Unlock()
		if open && i.quiet() {
			return i.conn
		}
		i.abort()
	}
}

func (n *Net) putIdle(addr string, c *conn) {
	n.mu.Lock()
	ok := !n.closed && len(n.idle[addr]) < maxIdle
	if ok {
		n.idle[addr] = append(n.idle[addr], &idleConn{c, time.Now()})
	}
	n.mu.Unlock()
	if !ok {
		c.Close()
	}
}

// pruneIdle closes what was idle for longer than kept.
func (n *Net) pruneIdle(kept time.Duration) {
	var old []*idleConn
	n.mu.Lock()
	for addr, l := range n.idle {
		keep := l[:0]
		for _, i := range l {
			if time.Since(i.at) >= kept {
				old = append(old, i)
			} else {
				keep = append(keep, i)
			}
		}
		if n.idle[addr] = keep; len(keep) == 0 {
			delete(n.idle, addr)
		}
	}
	n.mu.Unlock()
	for _, i := range old {
		i.Close()
	}
}
