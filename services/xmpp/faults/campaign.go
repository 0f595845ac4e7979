package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/services/xmpp/xmppapi"
)

// Config of a campaign.
type Config struct {
	Seed uint64
	// Time of faults; setting up and checking come on top.
	Time time.Duration
	// Longest is the most that one fault lasts.
	Longest time.Duration
	// Clients, and the pause between two messages of one.
	Clients int
	Pause   time.Duration
	// Only are names of faults; none are all.
	Only []string
	// History is written to, if not nil.
	History io.Writer
}

// Result is what came of a campaign.
type Result struct {
	Counts
	// Operations are console's: accounts added, of which so many
	// successfully; and the faults.
	Operations, Succeeded int
	Faults                map[string]int
	// Silences are the longest times without any delivery, a fault each.
	Silences map[string][]time.Duration
	Refusals map[string]int
	// LeftOut are kinds of faults that cannot be had here, and why.
	LeftOut []string
	// Broken are promises that were not kept.
	Broken []string
}

// campaign is one run of faults.
type campaign struct {
	cfg     Config
	c       *Cluster
	rng     *rand.Rand
	history *History
	load    *load
	result  Result
}

// tell logs a step.
func (r *campaign) tell(format string, args ...any) {
	r.c.opts.Log(format, args...)
	r.history.Note(format, args...)
}

// Run has clients chat, breaks things, mends them, and checks. An error is a
// fault of the harness or of its place; what the product did wrong is in
// Result.Broken.
func Run(ctx context.Context, c *Cluster, cfg Config) (Result, error) {
	r := &campaign{cfg: cfg, c: c, rng: rand.New(rand.NewPCG(cfg.Seed, 1)), history: newHistory(cfg.History)}
	r.result.Faults, r.result.Silences = make(map[string]int), make(map[string][]time.Duration)
	defer r.history.flush()
	var err error
	if r.load, err = startLoad(ctx, c, r.history, cfg.Clients, cfg.Pause, rand.New(rand.NewPCG(cfg.Seed, 2))); err != nil {
		return r.result, err
	}
	defer r.load.close()
	err = r.run(ctx)
	r.history.mu.Lock()
	r.result.Counts, r.result.Refusals = r.history.counts, r.history.refusals
	r.history.mu.Unlock()
	return r.result, err
}

func (r *campaign) broken(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	r.history.Note("BROKEN %s", s)
	r.result.Broken = append(r.result.Broken, s)
}

func (r *campaign) run(ctx context.Context) error {
	disturb, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	op := &operator{}
	opRNG, breakRNG := rand.New(rand.NewPCG(r.cfg.Seed, 3)), rand.New(rand.NewPCG(r.cfg.Seed, 4))
	wg.Go(func() { op.work(disturb, r.c, opRNG) })
	wg.Go(func() { r.breakConnections(disturb, breakRNG) })

	r.faults(ctx)

	stop()
	wg.Wait()
	r.result.Operations, r.result.Succeeded = op.tried, len(op.added)
	if err := r.c.mend(ctx); err != nil {
		return err
	}
	if err := r.c.Healthy(ctx); err != nil {
		r.broken("at the end: %v", err)
	}
	if err := r.load.settle(ctx); err != nil {
		r.broken("at the end: %v", err)
	}
	for _, n := range r.c.Nodes {
		n.mu.Lock()
		for _, s := range n.fell {
			r.broken("%s", s)
		}
		n.mu.Unlock()
	}
	if err := r.load.failed.Load(); err != nil {
		r.broken("%v", *err)
	}
	r.result.Broken = append(r.result.Broken, r.history.Check()...)
	r.result.Broken = append(r.result.Broken, op.check(ctx, r.c)...)
	return ctx.Err()
}

// faults does one after the other until the time is up, or one shows that the
// cluster does not come back.
func (r *campaign) faults(ctx context.Context) {
	var bag []fault
	for _, f := range allFaults {
		if len(r.cfg.Only) > 0 && !slices.Contains(r.cfg.Only, f.name) {
			continue
		}
		if why := f.needs(r.c); why != "" {
			r.result.LeftOut = append(r.result.LeftOut, f.name+": "+why)
			continue
		}
		for range f.weight {
			bag = append(bag, f)
		}
	}
	if len(bag) == 0 {
		r.broken("none of the faults %q can be had here", r.cfg.Only)
		return
	}
	end := time.Now().Add(r.cfg.Time)
	for time.Now().Before(end) && ctx.Err() == nil {
		f := bag[r.rng.IntN(len(bag))]
		r.history.silence()
		r.tell("fault: %s", f.name)
		r.result.Faults[f.name]++
		if err := f.do(r, ctx); err != nil {
			r.broken("%s: %v", f.name, err)
			if err := r.c.mend(ctx); err != nil {
				r.broken("%v", err)
				return
			}
		}
		// As often as not the next one comes before this one is got over.
		if len(bag) > 0 && r.rng.IntN(2) == 0 {
			begun := time.Now()
			if err := r.c.Healthy(ctx); err != nil {
				r.broken("after %s: %v", f.name, err)
				return
			}
			r.tell("healthy after %v", time.Since(begun).Round(time.Millisecond))
		}
		r.hold(ctx, 0, 2*time.Second)
		silence := r.history.silence()
		r.result.Silences[f.name] = append(r.result.Silences[f.name], silence)
		r.tell("no delivery for up to %v", silence.Round(time.Millisecond))
	}
}

// breakConnections loses clients' connections, on top of all else.
func (r *campaign) breakConnections(ctx context.Context, rng *rand.Rand) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(rng.ExpFloat64() * float64(2*time.Second))):
			i := rng.IntN(len(r.load.clients))
			// To where it was, or to any node: or all would end up on one.
			to := ""
			if rng.IntN(2) == 0 {
				to = r.c.Nodes[rng.IntN(len(r.c.Nodes))].Client()
			}
			r.history.Note("break the connection of %s %s", user(i), to)
			r.load.clients[i].Break(to)
		}
	}
}

// operator adds accounts on whatever node, and remembers which it was told
// were added.
type operator struct {
	tried int
	added []string
}

func (o *operator) work(ctx context.Context, c *Cluster, rng *rand.Rand) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(rng.ExpFloat64() * float64(time.Second))):
		}
		n := c.Nodes[rng.IntN(len(c.Nodes))]
		if n.isApart() {
			continue
		}
		name := fmt.Sprintf("op%d", o.tried)
		o.tried++
		call, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := n.API.AddUser(call, xmppapi.Credential{Name: name, Password: "secret of " + name})
		cancel()
		if err == nil && !n.isApart() {
			o.added = append(o.added, name)
		}
	}
}

// check looks for all accounts on all nodes.
func (o *operator) check(ctx context.Context, c *Cluster) []string {
	var broken []string
	for _, n := range c.Nodes {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		users, err := n.API.Users(ctx)
		cancel()
		if err != nil {
			broken = append(broken, fmt.Sprintf("%s does not tell its accounts: %v", n.Name, err))
			continue
		}
		there := make(map[string]bool)
		for _, u := range users {
			there[u.Name] = true
		}
		for _, name := range o.added {
			if !there[name] {
				broken = append(broken, fmt.Sprintf("lost: account %s, which was added, is not on %s", name, n.Name))
			}
		}
	}
	return broken
}

// String is the figures, a line each.
func (r Result) String() string {
	var b strings.Builder
	total := 0
	var kinds []string
	for k, n := range r.Faults {
		total += n
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	fmt.Fprintf(&b, "operations: %d messages sent, %d accounts added, %d not\n", r.Sent, r.Succeeded, r.Operations-r.Succeeded)
	fmt.Fprintf(&b, "acknowledged: %d messages; delivered: %d; refused: %d %v\n", r.Acked, r.Delivered, r.Refused, r.Refusals)
	fmt.Fprintf(&b, "questions: %d, answered: %d\n", r.Asked, r.Answered)
	fmt.Fprintf(&b, "connections: %d sessions bound, %d resumed, %d lost or not made\n", r.Bound, r.Resumed, r.Lost)
	fmt.Fprintf(&b, "again: %d since the receiver bound anew, %d since the sender did\n", r.AgainReceiver, r.AgainSender)
	fmt.Fprintf(&b, "faults: %d; the longest time without any delivery, median and worst\n", total)
	for _, k := range kinds {
		median, worst := spread(r.Silences[k])
		fmt.Fprintf(&b, "  %-24s %4d  %8v %8v\n", k, r.Faults[k], median.Round(time.Millisecond), worst.Round(time.Millisecond))
	}
	for _, s := range r.LeftOut {
		fmt.Fprintf(&b, "left out: %s\n", s)
	}
	const most = 30
	for i, s := range r.Broken {
		if i == most {
			fmt.Fprintf(&b, "BROKEN: and %d more\n", len(r.Broken)-most)
			break
		}
		fmt.Fprintf(&b, "BROKEN: %s\n", s)
	}
	return b.String()
}

// Err is nil where all promises were kept.
func (r Result) Err() error {
	if len(r.Broken) > 0 {
		return errors.New("promises were broken")
	}
	return nil
}

// spread is the median and the longest of some times, which it sorts.
func spread(d []time.Duration) (median, worst time.Duration) {
	if len(d) == 0 {
		return 0, 0
	}
	slices.Sort(d)
	return d[len(d)/2], d[len(d)-1]
}
