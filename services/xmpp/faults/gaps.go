package faults

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Loss is a way to lose the leader.
type Loss struct {
	Name string
	// Median and Worst are the limits of the gap in delivery; 0 is none.
	Median, Worst time.Duration
	// lose and restore have it happen and undo it; needs is a fault's.
	lose, restore func(ctx context.Context, c *Cluster, n *Node) error
	needs         func(c *Cluster) string
}

// Losses are those with limits.
var Losses = []Loss{
	{
		Name: "killed", Median: 150 * time.Millisecond, Worst: 400 * time.Millisecond, needs: needsCluster,
		lose:    func(_ context.Context, _ *Cluster, n *Node) error { n.Kill(); return nil },
		restore: func(ctx context.Context, _ *Cluster, n *Node) error { return n.Start(ctx) },
	},
	{
		Name: "frozen", Worst: time.Second, needs: needsCluster,
		lose:    func(_ context.Context, _ *Cluster, n *Node) error { return n.Freeze() },
		restore: func(_ context.Context, _ *Cluster, n *Node) error { return n.Thaw() },
	},
	{
		Name: "cut off", Worst: time.Second, needs: needsCuts,
		lose: func(_ context.Context, c *Cluster, n *Node) error {
			rest := append(addresses(c.Others(n)...), Here)
			if err := c.network.cut(rest, addresses(n)); err != nil {
				return err
			}
			return c.network.cut(addresses(n), rest)
		},
		restore: func(_ context.Context, c *Cluster, _ *Node) error { return c.network.heal() },
	},
	{
		Name: "planned stop", Worst: 100 * time.Millisecond, needs: needsCluster,
		lose: func(ctx context.Context, _ *Cluster, n *Node) error {
			_, err := n.console(ctx, "", "xmpp", "restart")
			return err
		},
		restore: func(context.Context, *Cluster, *Node) error { return nil },
	},
}

// Gaps are the gaps in delivery between clients of the other nodes: when the
// leader was lost, and when it came back.
type Gaps struct {
	Loss       Loss
	Lost, Back []time.Duration
}

// lossTime is how long the leader is away; its gap falls into it.
const lossTime = 2500 * time.Millisecond

// MeasureGaps loses the leader so many times while a message goes between each
// two nodes every 10 ms.
func MeasureGaps(ctx context.Context, c *Cluster, loss Loss, times int) (Gaps, error) {
	g := Gaps{Loss: loss}
	p, err := startPulse(ctx, c, 10*time.Millisecond)
	if err != nil {
		return g, err
	}
	defer p.close()
	for i := range times {
		if err := c.Healthy(ctx); err != nil {
			return g, fmt.Errorf("before loss %d: %w", i, err)
		}
		if err := p.flowing(ctx); err != nil {
			return g, fmt.Errorf("before loss %d: %w", i, err)
		}
		leader, err := c.Leader(ctx)
		if err != nil {
			return g, err
		}
		var living []int
		for k, n := range c.Nodes {
			if n != leader {
				living = append(living, k)
			}
		}
		p.forget()
		time.Sleep(200 * time.Millisecond)
		begun := p.now()
		if err := loss.lose(ctx, c, leader); err != nil {
			return g, err
		}
		time.Sleep(lossTime)
		back := p.now()
		lost := p.gap(living, begun, back)
		if err := loss.restore(ctx, c, leader); err != nil {
			return g, err
		}
		if err := c.Healthy(ctx); err != nil {
			return g, fmt.Errorf("after loss %d: %w", i, err)
		}
		time.Sleep(200 * time.Millisecond)
		g.Lost = append(g.Lost, lost)
		g.Back = append(g.Back, p.gap(living, back, p.now()))
		c.opts.Log("%s %d: %s, gap %v, and %v at its return", loss.Name, i, leader.Name, lost.Round(time.Millisecond), g.Back[i].Round(time.Millisecond))
	}
	return g, nil
}

// String is one line.
func (g Gaps) String() string {
	round := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	median, worst := spread(slices.Clone(g.Lost))
	medianBack, worstBack := spread(slices.Clone(g.Back))
	return fmt.Sprintf("leader %s, %d times: gap of %v median, %v worst; at its return %v median, %v worst",
		g.Loss.Name, len(g.Lost), round(median), round(worst), round(medianBack), round(worstBack))
}

// Err says which limit was not kept.
func (g Gaps) Err() error {
	median, worst := spread(slices.Clone(g.Lost))
	switch {
	case g.Loss.Median > 0 && median > g.Loss.Median:
		return fmt.Errorf("leader %s: gap of %v median; the limit is %v", g.Loss.Name, median, g.Loss.Median)
	case worst > g.Loss.Worst:
		return fmt.Errorf("leader %s: gap of %v worst; the limit is %v", g.Loss.Name, worst, g.Loss.Worst)
	}
	return nil
}
