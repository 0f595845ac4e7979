package mmp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/services/account"
	"parley/services/problem"
)

// execPings is how many a ping sends where nobody can press Ctrl-C.
const execPings = 5

func pingFamily() family {
	return family{name: "ping", about: "whether a host answers", commands: []command{{
		usage: "ping <host> [<count>]", args: []arg{textArg, number(1, 10000, 5)}, summary: "whether a host answers",
		help:    "Sends an ICMP echo request each second to a name or IPv4 address, and says what came back, until Ctrl-C or until count are sent. Not on a terminal, 5 are sent. It fails if nothing came back.",
		example: "ping cb2.tptac9.com 3", need: account.Console, endless: true, run: ping,
	}}}
}

func ping(c *call) error {
	host, count := c.text(0), 0
	if len(c.values) > 1 {
		count = value[int](c, 1)
	} else if _, terminal := c.ask.(*terminalPrompter); !terminal {
		count = execPings
	}
	sent, got := 0, 0
	var least, most, sum time.Duration
	var last error
	for seq := 1; (count == 0 || seq <= count) && c.ctx.Err() == nil; seq++ {
		start := time.Now()
		echo, err := c.Network.Ping(c.ctx, host, seq)
		if c.ctx.Err() != nil || errors.Is(err, context.Canceled) {
			break
		}
		sent++
		switch {
		case err == nil:
			got++
			sum += echo.Took
			most = max(most, echo.Took)
			if got == 1 || echo.Took < least {
				least = echo.Took
			}
			fmt.Fprintf(c.out, "Reply from %s: seq=%d time=%s\n", echo.From, seq, millis(echo.Took))
		case problem.CodeOf(err) == problem.PingSilent:
			last = err
			fmt.Fprintf(c.out, "No reply: seq=%d\n", seq)
		default:
			// Nothing that another request could mend.
			return err
		}
		if seq == count {
			break
		}
		select {
		case <-c.ctx.Done():
		case <-time.After(time.Until(start.Add(time.Second))):
		}
	}
	fmt.Fprintf(c.out, "%d sent, %d received, %d lost", sent, got, sent-got)
	if got > 0 {
		fmt.Fprintf(c.out, ", time least %s, average %s, most %s", millis(least), millis(sum/time.Duration(got)), millis(most))
	}
	fmt.Fprintln(c.out)
	if got == 0 && sent > 0 {
		return last
	}
	return nil
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
