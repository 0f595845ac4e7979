package mmp

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/services/account"
	"parley/services/eventlog/eventlogapi"
)

func alarmsFamily() family {
	return family{name: "alarms", about: "what is wrong now, and what mends it", commands: []command{{
		usage: "alarms", summary: "what is wrong now, and what mends it",
		help:    "The fault conditions of this node, the oldest first: since when (UTC), what is wrong, and below it what to do. A condition goes away by itself once it is mended. 'eventlog' shows what has been.",
		example: "alarms", need: account.Console, run: alarms,
	}}}
}

func eventlogFamily() family {
	return family{name: "eventlog", about: "what has happened, for people; 'syslog' has the rest", commands: append([]command{
		{
			usage: "eventlog [<lines>]", args: []arg{number(1, 1000, 100)}, summary: "show the last events",
			help:    "The last events, 20 where no number is given: time (UTC), level, what happened, and below it what is known of why and what to do.",
			example: "eventlog 50", need: account.Console, run: showEvents,
		}, {
			usage: "eventlog follow", summary: "show events as they come, until Ctrl-C",
			help:    "Shows the last events, then each new one as it comes, until Ctrl-C.",
			example: "eventlog follow", need: account.Console, endless: true, run: followEvents,
		}, {
			usage: "eventlog clear", summary: "remove all events",
			help:    "Removes all events, and notes who did so. Fault conditions stay, and so does what is in the syslog.",
			example: "eventlog clear", need: account.Configure, run: func(c *call) error {
				n, err := c.Events.Clear(c.ctx, c.user.Name)
				if err != nil {
					return err
				}
				return c.out.success("%s cleared", count(n, "event"))
			},
		},
	}, traceCommands()...)}
}

// The article's columns.
const (
	eventTime   = "2006-01-02  15:04:05.000"
	eventColumn = "%-26s%-15s%s\n"
	alarmColumn = "%-26s%s\n"
)

func alarms(c *call) error {
	faults, err := c.Events.Faults(c.ctx)
	if err != nil {
		return err
	}
	if len(faults) == 0 {
		fmt.Fprintln(c.out, "There are no fault conditions.")
		return nil
	}
	fmt.Fprintf(c.out, alarmColumn, "Date        Time", "Fault condition")
	for _, f := range faults {
		fmt.Fprintf(c.out, alarmColumn, stampOf(f.Since), f.Message)
		c.hint(26, f.Hint)
	}
	return nil
}

func showEvents(c *call) error {
	n := tailLines
	if len(c.values) > 0 {
		n = value[int](c, 0)
	}
	events, err := c.Events.Events(c.ctx, eventlogapi.Query{Limit: n})
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, eventColumn, "Date        Time", "Logging level", "Message")
	c.events(events)
	return nil
}

// followPoll is how often a follower asks for more.
const followPoll = 500 * time.Millisecond

func followEvents(c *call) error {
	events, err := c.Events.Events(c.ctx, eventlogapi.Query{Limit: tailLines})
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, eventColumn, "Date        Time", "Logging level", "Message")
	last := c.events(events)
	tick := time.NewTicker(followPoll)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return nil
		case <-tick.C:
		}
		events, err := c.Events.Events(c.ctx, eventlogapi.Query{After: last})
		if err != nil {
			if c.ctx.Err() != nil {
				return nil
			}
			return err
		}
		last = max(last, c.events(events))
	}
}

// events are shown the oldest first; it returns the number of the last. A hint
// that stands for several in a row is below the first of them.
func (c *call) events(newest []eventlogapi.Event) (last uint64) {
	told := ""
	for _, e := range slices.Backward(newest) {
		fmt.Fprintf(c.out, eventColumn, stampOf(e.Time), e.Level, e.Message)
		if e.Hint != told {
			c.hint(41, e.Hint)
		}
		told, last = e.Hint, e.ID
	}
	return last
}

// hint is a line below what it is about.
func (c *call) hint(column int, hint string) {
	if hint != "" {
		fmt.Fprintf(c.out, "%s> %s\n", strings.Repeat(" ", column), hint)
	}
}

func stampOf(t time.Time) string { return t.UTC().Format(eventTime) }
