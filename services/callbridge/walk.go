package callbridge

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/problem"
)

// walkTime bounds a walk: what has no step by then has not been done.
const walkTime = 60 * time.Second

// Test implements callbridgeapi.API. All servers are visited, each at the first
// address that answers. While there is a connection the secret is not shown
// again, as that would end the connection: then the servers are asked for the
// name alone.
func (b *Bridge) Test(ctx context.Context) ([]callbridgeapi.Step, error) {
	ctx, cancel := context.WithTimeout(ctx, walkTime)
	defer cancel()
	d, err := b.deps.Config.Load()
	if err != nil {
		return nil, err
	}
	conf := d.CallBridge
	switch {
	case conf.XMPP.Name == "":
		return nil, problem.New(problem.LinkUnready, "missing", "unique name", "command", "callbridge xmpp name <name>")
	case conf.XMPP.Domain == "":
		return nil, problem.New(problem.LinkUnready, "missing", "XMPP domain", "command", "callbridge xmpp domain <domain>")
	}
	w, err := b.way(conf)
	if err != nil {
		return nil, err
	}
	// The bridge must not connect, or another Test show the secret, meanwhile.
	select {
	case b.making <- struct{}{}:
		defer func() { <-b.making }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	b.forgetDenials(ctx)
	var steps []callbridgeapi.Step
	w.told = func(s callbridgeapi.Step) { steps = append(steps, s) }
	if s, is := b.twins.step(); is {
		w.told(s)
	}
	targets, _ := w.targets(ctx)
	for _, t := range targets {
		addrs, _ := w.addresses(ctx, t)
		for _, a := range addrs {
			if b.visit(ctx, w, t, a) {
				break
			}
		}
	}
	return steps, nil
}

// visit goes to one server, and says whether it answered at that address.
func (b *Bridge) visit(ctx context.Context, w *way, t target, a netip.AddrPort) bool {
	raw, f := w.reach(ctx, t, a)
	if f != nil {
		return false
	}
	c, f := w.open(ctx, t, a, raw)
	if f != nil {
		return true
	}
	defer c.close()
	b.mu.Lock()
	live, server, same := b.status.state == callbridgeapi.Connected, b.status.server, b.status.conf == w.link
	b.mu.Unlock()
	if !live {
		w.authenticate(ctx, c)
		return true
	}
	begun := time.Now()
	f = w.knows(ctx, c)
	detail := fmt.Sprintf("%s is known there; the secret was not tried, as there is a connection", w.link.Name)
	if same {
		detail = fmt.Sprintf("%s is known there; %s has taken the secret", w.link.Name, server)
	}
	w.tell(callbridgeapi.Step{Target: t.name, What: "authentication"}, begun, f, detail)
	return true
}
