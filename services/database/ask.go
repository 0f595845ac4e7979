package database

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/membership"
)

const (
	// askWait is how long one of several servers may take, and askNext how long
	// a question waits until the next one is asked as well.
	askWait = 3 * time.Second
	askNext = 400 * time.Millisecond
)

// inOrder are servers, the one first that answered last.
func (c *core) inOrder(servers []string) []string {
	good := c.answered.Load()
	if good == nil || !slices.Contains(servers, *good) {
		return servers
	}
	return append([]string{*good}, slices.DeleteFunc(slices.Clone(servers), func(s string) bool { return s == *good })...)
}

// another says that one server's failure leaves it to another one to answer.
func another(err error) bool {
	code := problem.CodeOf(err)
	return passing(err) || outcomeUnknown(err) || code == problem.DatabaseTLS || code == problem.DatabaseName
}

// ask asks a connected node's servers a question, until one answers. Those that
// are silent hold nobody up.
func (c *core) ask(ctx context.Context, servers []string, method string, in, out any) error {
	type answer struct {
		from string
		data json.RawMessage
		err  error
	}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	var calls sync.WaitGroup
	defer func() {
		cancel()
		calls.Wait()
	}()
	order := c.inOrder(servers)
	answers := make(chan answer, len(order))
	asked := 0
	next := func() {
		if asked == len(order) {
			return
		}
		a := answer{from: order[asked]}
		asked++
		calls.Go(func() {
			a.err = explain(c.peers.Call(ctx, a.from, method, in, &a.data))
			if outcomeUnknown(a.err) {
				a.err = problem.New(problem.DatabaseRoute, "node", membership.Host(a.from), "detail", "it took the connection, but did not answer in time")
			}
			answers <- a
		})
	}
	var failed []error
	for next(); len(failed) < len(servers); {
		select {
		case <-time.After(askNext):
			next()
		case a := <-answers:
			switch {
			case a.err == nil:
				c.answered.Store(&a.from)
				if err := json.Unmarshal(a.data, out); err != nil {
					return fmt.Errorf("decode answer of %s: %w", method, err)
				}
				return nil
			case !another(a.err):
				return a.err
			}
			failed = append(failed, a.err)
			next()
		}
	}
	return nobody(failed, servers)
}

// tell has the first of a connected node's servers that answers make a change:
// one at a time, or a late one could undo what came after it. One that is silent
// leaves time for the others.
func (c *core) tell(ctx context.Context, servers []string, method string, in any) error {
	var failed []error
	for i, addr := range c.inOrder(servers) {
		wait := askWait
		if end, ok := ctx.Deadline(); ok {
			wait = min(wait, time.Until(end)/time.Duration(len(servers)-i))
		}
		soon, cancel := context.WithTimeout(ctx, wait)
		err := explain(c.peers.Call(soon, addr, method, in, nil))
		cancel()
		if err == nil {
			c.answered.Store(&addr)
			return nil
		}
		if !another(err) {
			return err
		}
		failed = append(failed, err)
	}
	return nobody(failed, servers)
}

// nobody is why none of the servers answered: what all have in common, or why
// the last did not.
func nobody(failed []error, servers []string) error {
	if len(failed) == 0 || outcomeUnknown(failed[len(failed)-1]) {
		return problem.New(problem.DatabaseNoLeader)
	}
	last, _ := errors.AsType[*problem.Problem](failed[len(failed)-1])
	var details []string
	for _, err := range failed {
		p, ok := errors.AsType[*problem.Problem](err)
		if !ok || last == nil || p.Code != last.Code {
			return failed[len(failed)-1]
		}
		if d := p.Values["detail"]; !slices.Contains(details, d) {
			details = append(details, d)
		}
	}
	if last.Code == problem.DatabaseNoLeader {
		return last
	}
	return problem.New(last.Code, "node", strings.Join(hosts(servers), ", "), "detail", strings.Join(details, ", or "))
}
