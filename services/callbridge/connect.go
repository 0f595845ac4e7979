package callbridge

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/eventlog/eventlogapi"
)

// way returns how conf gets to a server. An error is that of its trust file.
func (b *Bridge) way(conf config.CallBridge) (*way, error) {
	t, err := loadTrust(b.cfg.Paths.Files(), conf.Trust)
	return &way{link: conf.XMPP, trust: t, names: b.deps.Names, own: b.deps.Own, dial: b.deps.Dial, random: rand.IntN, told: b.trace, log: b.log}, err
}

// connect keeps a connection by conf until ctx ends.
func (b *Bridge) connect(ctx context.Context, conf config.CallBridge) {
	var p pace
	var h home
	var lost netip.AddrPort
	for {
		w, err := b.way(conf)
		b.begin(conf)
		b.twins.begin(conf.XMPP)
		c, f := (*wire)(nil), (*failure)(nil)
		if err != nil {
			// As good as a certificate that is not trusted.
			f = failed(callbridgeapi.TLSFailure, err)
		} else {
			c, f = b.round(ctx, w, lost)
		}
		var lived time.Duration
		if lost = (netip.AddrPort{}); f == nil {
			f, lived = b.stay(ctx, conf, w, c, &h)
			lost = f.address
		}
		if ctx.Err() != nil {
			return
		}
		if f.evicted && lived > 0 {
			b.twins.evicted()
		}
		wait := p.next(lived, f.evicted)
		b.failed(conf, f, lived > 0, wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// round makes a connection, if there is a server to have one with.
func (b *Bridge) round(ctx context.Context, w *way, lost netip.AddrPort) (*wire, *failure) {
	select {
	case b.making <- struct{}{}:
		defer func() { <-b.making }()
	case <-ctx.Done():
		return nil, broken(ctx.Err())
	}
	c, f := b.try(ctx, w, lost)
	if f == nil {
		// From here on a Test knows better than to end it.
		b.connected(w.link, c)
	}
	return c, f
}

// try goes to each address of each server once, to the one that was lost last.
// The failure is the one that says most.
func (b *Bridge) try(ctx context.Context, w *way, lost netip.AddrPort) (*wire, *failure) {
	targets, worst := w.targets(ctx)
	again := func() (*wire, *failure) { return nil, worst }
	for _, t := range targets {
		addrs, f := w.addresses(ctx, t)
		worst = b.tried(ctx, worst, f)
		for _, a := range addrs {
			if a == lost {
				again = func() (*wire, *failure) {
					c, f := w.join(ctx, t, a)
					if f != nil {
						f = b.tried(ctx, worst, f)
					}
					return c, f
				}
				continue
			}
			c, f := w.join(ctx, t, a)
			if f == nil {
				return c, nil
			}
			if worst = b.tried(ctx, worst, f); ctx.Err() != nil {
				return nil, worst
			}
		}
	}
	return again()
}

// tried notes what came of one server.
func (b *Bridge) tried(ctx context.Context, worst, f *failure) *failure {
	if f == nil {
		return worst
	}
	if ctx.Err() == nil {
		b.log.Warn("XMPP server not reached", "server", f.target.String(), "addr", f.address, "reason", f.reason, "detail", f.detail)
	}
	return worse(worst, f)
}

// join makes a component connection.
func (w *way) join(ctx context.Context, t target, addr netip.AddrPort) (*wire, *failure) {
	raw, f := w.reach(ctx, t, addr)
	if f != nil {
		return nil, f
	}
	c, f := w.open(ctx, t, addr, raw)
	if f != nil {
		return nil, f
	}
	if f := w.authenticate(ctx, c); f != nil {
		c.close()
		return nil, f
	}
	return c, nil
}

// begin, connected and failed are the changes of state: for the status, the
// event log and the fault condition.

func (b *Bridge) begin(conf config.CallBridge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lasted := b.status.state == callbridgeapi.Connected && time.Since(b.status.since) >= lasting
	if lasted || b.status.conf != conf.XMPP {
		// It was before a connection, or of other settings.
		b.status.failure = nil
	}
	b.status.change(callbridgeapi.Connecting)
	b.status.conf, b.status.next = conf.XMPP, time.Time{}
}

func (b *Bridge) connected(link config.BridgeLink, c *wire) {
	b.mu.Lock()
	b.status.change(callbridgeapi.Connected)
	// It may come from another connection.
	b.status.since = time.Now()
	b.status.conf, b.status.server, b.status.address = link, b.nameOf(c.target, c.addr), c.addr
	b.mu.Unlock()
	b.log.Info("connected", "server", c.target.String(), "addr", c.addr)
	b.reporter.mended(eventlogapi.Event{Level: eventlogapi.Info, Message: fmt.Sprintf("XMPP component connection established to %s (%s)", c.target, c.addr.Addr())})
}

func (b *Bridge) failed(conf config.CallBridge, f *failure, live bool, wait time.Duration) {
	now := time.Now()
	b.mu.Lock()
	b.status.change(callbridgeapi.Failed)
	b.status.conf, b.status.failure, b.status.failedAt, b.status.next = conf.XMPP, f, now, now.Add(wait)
	b.status.server, b.status.address = "", f.address
	if f.target.name != "" {
		b.status.server = b.nameOf(f.target, f.address)
	} else if conf.XMPP.Server != "" {
		b.status.server = conf.XMPP.Server
	}
	b.mu.Unlock()
	b.log.Warn("not connected", "reason", f.reason, "detail", f.detail, "again", wait)
	// A connection that is made anew at once is an event and no condition.
	var fault *eventlogapi.Fault
	if wait > 0 {
		fault = &eventlogapi.Fault{
			Key: faultKey, Message: fmt.Sprintf("XMPP connection to '%s' failed", conf.XMPP.Server),
			Hint: f.text(),
		}
	}
	b.reporter.failed(fault, f.events(live)...)
}

// faultKey names the one condition that there is.
const faultKey = "callbridge.xmpp"

// idle is the state of a bridge that has nothing to do.
func (b *Bridge) idle(conf config.CallBridge) {
	state := callbridgeapi.Unconfigured
	if !conf.Enabled {
		state = callbridgeapi.Off
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.twins.begin(config.BridgeLink{})
	b.status = status{conf: conf.XMPP}
	b.status.change(state)
	b.reporter.mended()
}

// nameOf is how a server is called: as the one of this node, where it is that.
func (b *Bridge) nameOf(t target, addr netip.AddrPort) string {
	for _, own := range b.deps.Own() {
		if own == addr.Addr() {
			return localhost
		}
	}
	return cmp.Or(t.name, addr.Addr().String())
}

// text is what people read of a failure: where, what is wrong, and the fix.
func (f *failure) text() string {
	text := f.detail
	if f.target.name != "" && f.reason != callbridgeapi.DNSError {
		text = f.target.name + ": " + text
	}
	if f.hint != "" {
		text += "; " + f.hint
	}
	return text
}

// events are the original's lines. It has them for the DNS; what it wrote of
// other failures is not known, so those have the lines that are true of them.
// What is ours to say beside them is said once.
func (f *failure) events(live bool) []eventlogapi.Event {
	var es []eventlogapi.Event
	add := func(format string, args ...any) {
		es = append(es, eventlogapi.Event{Time: time.Now(), Level: eventlogapi.Info, Message: fmt.Sprintf(format, args...)})
	}
	for _, name := range f.nameless {
		add("No DNS A or AAAA records for %s", name)
	}
	if live || f.reason == callbridgeapi.DNSError {
		add("XMPP connection dropped while session was live for reason %d", numbers[f.reason])
	}
	add("XMPP component connection disconnected due to failure reason: %q", f.reason)
	es[len(es)-1].Hint = f.text()
	return es
}

// pace is how soon it is tried again.
type pace struct {
	// delay was the last one between rounds that fail.
	delay time.Duration
	// brief: the last connection did not last.
	brief bool
}

const (
	// firstDelay doubles with each round that fails, up to lastDelay.
	firstDelay, lastDelay = time.Second, 64 * time.Second
	// lasting is how long a connection has to last so that its loss is not
	// one in a row.
	lasting = 2 * time.Second
)

// next is the pause after a connection that lived so long, 0 for none at all.
// A loss has no pause, for there are other servers, or a short one where losses
// follow each other; whoever is evicted by another bridge has to give in.
func (p *pace) next(lived time.Duration, evicted bool) time.Duration {
	if lived >= lasting || lived > 0 && !evicted {
		p.delay = 0
	}
	if lived > 0 && !evicted {
		again := p.brief && lived < lasting
		if p.brief = lived < lasting; !again {
			return 0
		}
		return chance(firstDelay)
	}
	p.delay = min(max(2*p.delay, firstDelay), lastDelay)
	return chance(p.delay)
}

// chance is d, more or less: bridges that lost the same server do not all come
// back at once.
func chance(d time.Duration) time.Duration { return d - d/16 + rand.N(d/8) }
