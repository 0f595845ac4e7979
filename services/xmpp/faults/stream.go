package faults

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"parley/services/xmpp/client"
	"parley/services/xmpp/stanza"
)

// pulse is a steady stream of messages between clients, one on each node, each
// to each of the others.
type pulse struct {
	clients []*client.Client
	every   time.Duration
	begun   time.Time

	mu sync.Mutex
	// arrived are the times of each pair's deliveries.
	arrived map[pair][]beat

	stop    context.CancelFunc
	running sync.WaitGroup
}

// beat is a message that was due at a time and came at another.
type beat struct{ sent, came time.Duration }

// startPulse has client i on node i, and nowhere else, send every so often.
func startPulse(ctx context.Context, c *Cluster, every time.Duration) (*pulse, error) {
	p := &pulse{every: every, begun: time.Now(), arrived: make(map[pair][]beat)}
	run, stop := context.WithCancel(ctx)
	p.stop = stop
	for i, n := range c.Nodes {
		cfg := c.Config(i, n, false)
		cfg.Window, cfg.Silence, cfg.Stubborn, cfg.Retry = 1<<16, 2*time.Second, true, 20*time.Millisecond
		x := client.New(cfg, client.Deps{Received: func(e *stanza.Element) { p.received(i, e) }})
		p.clients = append(p.clients, x)
		p.running.Go(func() { x.Run(run) })
	}
	for i, x := range p.clients {
		ready, cancel := context.WithTimeout(ctx, healthyTime)
		err := x.Ready(ready)
		cancel()
		if err != nil {
			p.close()
			return nil, fmt.Errorf("client on %s: %w", c.Nodes[i].Name, err)
		}
	}
	for i := range p.clients {
		p.running.Go(func() { p.beat(run, i) })
	}
	return p, nil
}

func (p *pulse) close() {
	p.stop()
	p.running.Wait()
}

// beat sends the time at which each message was due.
func (p *pulse) beat(ctx context.Context, i int) {
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if p.clients[i].Addr() == "" {
			// Its own connection is gone: that is not what is measured.
			continue
		}
		now := strconv.FormatInt(int64(time.Since(p.begun)), 10)
		for to := range p.clients {
			if to != i && p.clients[i].Message(ctx, user(to)+"@"+Domain, fmt.Sprintf("%d:%s", i, now), now) != nil {
				return
			}
		}
	}
}

func (p *pulse) received(to int, e *stanza.Element) {
	body := e.Child(stanza.NSClient, "body")
	if body == nil || e.Attr("type") == "error" {
		return
	}
	sent, err := strconv.ParseInt(body.Text(), 10, 64)
	if err != nil {
		return
	}
	var from int
	if _, err := fmt.Sscanf(e.Attr("id"), "%d:", &from); err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	k := pair{from, to}
	p.arrived[k] = append(p.arrived[k], beat{time.Duration(sent), time.Since(p.begun)})
}

// now is the time on the pulse's clock.
func (p *pulse) now() time.Duration { return time.Since(p.begun) }

// gap is the longest time between two deliveries, of any of the pairs among
// some clients, that began or ended between two times.
func (p *pulse) gap(clients []int, from, to time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	longest := time.Duration(0)
	for _, a := range clients {
		for _, b := range clients {
			if a == b {
				continue
			}
			last := from
			for _, x := range p.arrived[pair{a, b}] {
				if x.came < from {
					last = x.came
					continue
				}
				longest = max(longest, x.came-last)
				if last = x.came; last > to {
					break
				}
			}
			if last < to {
				// Nothing more has come.
				longest = max(longest, to-last)
			}
		}
	}
	return longest
}

// flowing waits until a message that was sent from now on has come, for each
// pair.
func (p *pulse) flowing(ctx context.Context) error {
	since := p.now()
	ctx, cancel := context.WithTimeout(ctx, healthyTime)
	defer cancel()
	for {
		missing := ""
		p.mu.Lock()
		for a := range p.clients {
			for b := range p.clients {
				bs := p.arrived[pair{a, b}]
				if a != b && !slices.ContainsFunc(bs[max(0, len(bs)-100):], func(x beat) bool { return x.sent > since }) {
					missing = fmt.Sprintf("from %s to %s", user(a), user(b))
				}
			}
		}
		p.mu.Unlock()
		if missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("messages do not flow %s: %w", missing, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// forget drops what was measured.
func (p *pulse) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.arrived)
}
