package mmp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

func clusterJoin(c *call) error {
	node := c.text(0)
	x, cl, err := c.cluster()
	if err != nil {
		return err
	}
	switch {
	case cl.Member:
		return problem.New(problem.ClusterMember)
	case !x.Cluster.Enabled:
		return clusterOff(x)
	case !x.Enabled:
		return problem.New(problem.ClusterXMPPDisabled, "command", "xmpp cluster join "+node)
	}
	err = c.join(node, false)
	if p, ok := errors.AsType[*problem.Problem](err); ok && p.Code == problem.ClusterOwn {
		n, _ := strconv.Atoi(p.Values["accounts"])
		err = c.confirm("This node has " + count(n, "chat account") + " of its own. Joining drops what it has, with rosters and messages, for what the cluster has.")
		if err == nil {
			err = c.join(node, true)
		}
	}
	return c.done(err)
}

// joinPoll is how often a join is asked what it waits for.
const joinPoll = 300 * time.Millisecond

// join runs a join until it is over or Ctrl-C is typed, and tells what it
// waits for.
func (c *call) join(node string, discard bool) error {
	var err error
	c.watch(func(ctx context.Context) {
		done := make(chan error, 1)
		go func() { done <- c.XMPP.ClusterJoin(ctx, node, discard) }()
		tick := time.NewTicker(joinPoll)
		defer tick.Stop()
		for told := ""; ; {
			select {
			case err = <-done:
				return
			case <-tick.C:
				if now := c.activity(ctx); now != "" && now != told {
					told = now
					fmt.Fprintln(c.out, now)
				}
			}
		}
	})
	if errors.Is(err, context.Canceled) && c.ctx.Err() == nil {
		return c.joinInterrupted()
	}
	return err
}

// activity is what a join waits for. An answer that is late is none: the join
// itself tells what is wrong.
func (c *call) activity(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	cl, err := c.XMPP.Cluster(ctx)
	if err != nil {
		return ""
	}
	return cl.Activity
}

// joinInterrupted says how a join ended that was given up: the service may
// have been past the point where it can be taken back.
func (c *call) joinInterrupted() error {
	var cl xmppapi.Cluster
	for range 20 {
		var err error
		if cl, err = c.XMPP.Cluster(c.ctx); err != nil {
			return err
		}
		if cl.Activity == "" {
			break
		}
		select {
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-time.After(joinPoll):
		}
	}
	switch {
	case cl.Activity != "":
		return problem.New(problem.ClusterBusy, "doing", cl.Activity)
	case cl.Member:
		return problem.New(problem.ClusterJoined)
	}
	return problem.New(problem.Interrupted)
}
