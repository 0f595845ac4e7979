package faults

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// fault is something that befalls nodes: do makes it happen, waits, and undoes
// it. needs says why it cannot be had here, "" if it can.
type fault struct {
	name   string
	weight int
	needs  func(c *Cluster) string
	do     func(r *campaign, ctx context.Context) error
}

func always(*Cluster) string { return "" }

func needsCluster(c *Cluster) string {
	if !c.clustered() {
		return "there is one node only"
	}
	return ""
}

func needsCuts(c *Cluster) string {
	switch {
	case !c.clustered():
		return "there is one node only"
	case !c.place.Network:
		return "no network namespaces here: they need root, or user namespaces, and iproute2"
	case !c.place.Cuts:
		return "no nft here"
	}
	return ""
}

func needsDisk(c *Cluster) string {
	if c.Nodes[0].disk == nil {
		return "no file systems of their own here: they need root or user namespaces"
	}
	return ""
}

func needsSlowDisk(c *Cluster) string {
	if d := c.Nodes[0].disk; d == nil || !d.slowable() {
		return "disks cannot be throttled: that needs root and " + throttle
	}
	return ""
}

// allFaults is every kind.
var allFaults = []fault{
	{"kill leader", 3, always, func(r *campaign, ctx context.Context) error { return r.kill(ctx, r.leader) }},
	{"kill follower", 2, needsCluster, func(r *campaign, ctx context.Context) error { return r.kill(ctx, r.follower) }},
	{"kill all", 1, needsCluster, (*campaign).killAll},
	{"freeze leader", 2, always, func(r *campaign, ctx context.Context) error { return r.freeze(ctx, r.leader) }},
	{"freeze follower", 2, needsCluster, func(r *campaign, ctx context.Context) error { return r.freeze(ctx, r.follower) }},
	{"cut link", 2, needsCuts, (*campaign).cutLink},
	{"cut node", 2, needsCuts, (*campaign).cutNode},
	{"cut node from its peers", 2, needsCuts, (*campaign).cutPeers},
	{"cut one way", 2, needsCuts, (*campaign).cutOneWay},
	{"disk full", 2, needsDisk, (*campaign).fillDisk},
	{"slow disk", 2, needsSlowDisk, (*campaign).slowDisk},
	{"clock jump", 2, always, (*campaign).jump},
	{"leadership transfer", 2, always, (*campaign).transfer},
	{"remove and join", 1, needsCluster, (*campaign).removeAndJoin},
	{"reset and join", 1, needsCluster, (*campaign).resetAndJoin},
}

// between draws a time from the seed, and hold waits for one.
func (r *campaign) between(low, high time.Duration) time.Duration {
	return low + time.Duration(r.rng.Int64N(int64(high-low)+1))
}

func (r *campaign) hold(ctx context.Context, low, high time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(r.between(low, min(high, r.cfg.Longest))):
	}
}

func (r *campaign) leader(ctx context.Context) (*Node, error) { return r.c.Leader(ctx) }

func (r *campaign) follower(ctx context.Context) (*Node, error) {
	leader, err := r.c.Leader(ctx)
	if err != nil {
		return nil, err
	}
	others := r.c.Others(leader)
	return others[r.rng.IntN(len(others))], nil
}

// any is a node, the leader as often as not.
func (r *campaign) any(ctx context.Context) (*Node, error) {
	if !r.c.clustered() || r.rng.IntN(2) == 0 {
		return r.leader(ctx)
	}
	return r.follower(ctx)
}

func (r *campaign) kill(ctx context.Context, which func(context.Context) (*Node, error)) error {
	n, err := which(ctx)
	if err != nil {
		return err
	}
	r.tell("kill %s", n.Name)
	n.Kill()
	r.hold(ctx, 0, 3*time.Second)
	r.tell("start %s", n.Name)
	return n.Start(ctx)
}

func (r *campaign) killAll(ctx context.Context) error {
	r.tell("kill all")
	for _, i := range r.rng.Perm(len(r.c.Nodes)) {
		r.c.Nodes[i].Kill()
	}
	r.hold(ctx, 0, 2*time.Second)
	for _, i := range r.rng.Perm(len(r.c.Nodes)) {
		r.tell("start %s", r.c.Nodes[i].Name)
		if err := r.c.Nodes[i].Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *campaign) freeze(ctx context.Context, which func(context.Context) (*Node, error)) error {
	n, err := which(ctx)
	if err != nil {
		return err
	}
	r.tell("freeze %s", n.Name)
	if err := n.Freeze(); err != nil {
		return err
	}
	r.hold(ctx, time.Second, 10*time.Second)
	r.tell("thaw %s", n.Name)
	return n.Thaw()
}

// cut drops packets from some addresses to others for a while.
func (r *campaign) cut(ctx context.Context, from, to []string) error {
	r.tell("cut %v from %v", from, to)
	if err := r.c.network.cut(from, to); err != nil {
		return err
	}
	r.hold(ctx, time.Second, 10*time.Second)
	r.tell("heal")
	return r.c.network.heal()
}

func addresses(nodes ...*Node) []string {
	var a []string
	for _, n := range nodes {
		a = append(a, n.Address)
	}
	return a
}

func (r *campaign) cutLink(ctx context.Context) error {
	n, err := r.any(ctx)
	if err != nil {
		return err
	}
	others := r.c.Others(n)
	both := addresses(n, others[r.rng.IntN(len(others))])
	return r.cut(ctx, both, both)
}

func (r *campaign) cutNode(ctx context.Context) error {
	n, err := r.any(ctx)
	if err != nil {
		return err
	}
	rest := append(addresses(r.c.Others(n)...), Here)
	if err := r.c.network.cut(rest, addresses(n)); err != nil {
		return err
	}
	return r.cut(ctx, addresses(n), rest)
}

func (r *campaign) cutPeers(ctx context.Context) error {
	n, err := r.any(ctx)
	if err != nil {
		return err
	}
	rest := addresses(r.c.Others(n)...)
	if err := r.c.network.cut(rest, addresses(n)); err != nil {
		return err
	}
	return r.cut(ctx, addresses(n), rest)
}

// cutOneWay has a node that is heard and does not hear, or the other way
// round, of one peer or of all.
func (r *campaign) cutOneWay(ctx context.Context) error {
	n, err := r.any(ctx)
	if err != nil {
		return err
	}
	from, to := addresses(n), addresses(r.c.Others(n)...)
	if r.rng.IntN(2) == 0 {
		to = to[:1]
	}
	if r.rng.IntN(2) == 0 {
		from, to = to, from
	}
	return r.cut(ctx, from, to)
}

func (r *campaign) fillDisk(ctx context.Context) error {
	n, err := r.any(ctx)
	if err != nil {
		return err
	}
	r.tell("fill the disk of %s", n.Name)
	if err := n.disk.fill(); err != nil {
		return err
	}
	r.hold(ctx, time.Second, 6*time.Second)
	r.tell("make room on %s", n.Name)
	return n.disk.free()
}

func (r *campaign) slowDisk(ctx context.Context) error {
	n, err := r.any(ctx)
	if err != nil {
		return err
	}
	writes := 20 << r.rng.IntN(5)
	r.tell("%d writes a second on %s", writes, n.Name)
	if err := n.disk.slow(writes); err != nil {
		return err
	}
	r.hold(ctx, time.Second, 8*time.Second)
	r.tell("full speed on %s", n.Name)
	return n.disk.slow(0)
}

// jump sets a node's clock, and now and then back again.
func (r *campaign) jump(ctx context.Context) error {
	n, err := r.any(ctx)
	if err != nil {
		return err
	}
	// Shorter than the certificate's life, which is not in question here.
	offset := time.Duration(float64(time.Second) * []float64{2, 30, 600, 7200}[r.rng.IntN(4)] * (0.5 + r.rng.Float64()))
	if r.rng.IntN(2) == 0 {
		offset = -offset
	}
	offset = offset.Round(time.Second)
	r.tell("set the clock of %s by %v", n.Name, offset)
	if err := n.SetClock(offset); err != nil {
		return err
	}
	r.hold(ctx, time.Second, 6*time.Second)
	r.tell("set the clock of %s back", n.Name)
	return n.SetClock(0)
}

// transfer is a planned stop of the leader's doors.
func (r *campaign) transfer(ctx context.Context) error {
	n, err := r.leader(ctx)
	if err != nil {
		return err
	}
	r.tell("xmpp restart on %s", n.Name)
	_, err = n.console(ctx, "", "xmpp", "restart")
	return err
}

// removeAndJoin takes a node out by a command elsewhere, resets it, and has it
// join again.
func (r *campaign) removeAndJoin(ctx context.Context) error {
	n, err := r.any(ctx)
	if err != nil {
		return err
	}
	others := r.c.Others(n)
	by := others[r.rng.IntN(len(others))]
	r.tell("xmpp cluster remove %s on %s", n.Address, by.Name)
	n.setApart(true)
	if _, err := by.console(ctx, "", "xmpp", "cluster", "remove", n.Address); err != nil {
		return err
	}
	r.hold(ctx, 0, 2*time.Second)
	return r.joinAnew(ctx, n)
}

// resetAndJoin resets a node that is a member, and has it join again.
func (r *campaign) resetAndJoin(ctx context.Context) error {
	n, err := r.any(ctx)
	if err != nil {
		return err
	}
	return r.joinAnew(ctx, n)
}

func (r *campaign) joinAnew(ctx context.Context, n *Node) error {
	n.setApart(true)
	r.tell("xmpp reset on %s", n.Name)
	if _, err := n.console(ctx, "Y\n", "xmpp", "reset"); err != nil {
		return err
	}
	r.hold(ctx, 0, 2*time.Second)
	others := r.c.Others(n)
	to := others[r.rng.IntN(len(others))]
	r.tell("%s joins %s", n.Name, to.Name)
	if err := r.c.configure(ctx, n); err != nil {
		return err
	}
	if err := r.c.join(ctx, n, to); err != nil {
		return err
	}
	n.setApart(false)
	return nil
}

// mend undoes all that a fault may have left.
func (c *Cluster) mend(ctx context.Context) error {
	err := c.network.heal()
	for _, n := range c.Nodes {
		if n.disk != nil {
			err = errors.Join(err, n.disk.free())
			if n.disk.slowable() {
				err = errors.Join(err, n.disk.slow(0))
			}
		}
		n.mu.Lock()
		running := n.proc != nil
		n.mu.Unlock()
		if !running {
			err = errors.Join(err, n.Start(ctx))
			continue
		}
		err = errors.Join(err, n.Thaw(), n.SetClock(0))
	}
	if err != nil {
		return fmt.Errorf("mend: %w", err)
	}
	return nil
}
