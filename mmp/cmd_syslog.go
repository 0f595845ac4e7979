package mmp

import (
	"context"
	"errors"
	"fmt"

	"parley/services/account"
	"parley/services/journal"
)

// tailLines is how many lines are shown where no number is given.
const tailLines = 20

func syslogFamily() family {
	lines := number(1, 10000, 100)
	return family{name: "syslog", about: "what services and kernel have logged", commands: []command{
		{
			usage: "syslog tail [<lines>]", args: []arg{lines}, summary: "show the last lines",
			help:    "The last lines of the log, 20 where no number is given: time in UTC, level, the service, and what it says.",
			example: "syslog tail 50", need: account.Console, run: func(c *call) error { return tail(c, c.Syslog) },
		}, {
			usage: "syslog follow", summary: "show lines as they come, until Ctrl-C",
			help:    "Shows the last lines, then each new one as it comes, until Ctrl-C.",
			example: "syslog follow", need: account.Console, endless: true, run: follow,
		}, {
			usage: "syslog audit [<lines>]", args: []arg{lines}, summary: "show the last lines of the audit log",
			help:    "The last lines of the audit log: which user issued which command from where, and whether the user's role permitted it. It never holds a password or secret.",
			example: "syslog audit 50", need: account.ReadAudit, run: func(c *call) error { return tail(c, c.Audit) },
		},
	}}
}

func tail(c *call, r *journal.Reader) error {
	n := tailLines
	if len(c.values) > 0 {
		n = value[int](c, 0)
	}
	lines, _, err := r.Tail(n)
	if err != nil {
		return err
	}
	for _, l := range lines {
		fmt.Fprintln(c.out, l)
	}
	return nil
}

func follow(c *call) error {
	lines, from, err := c.Syslog.Tail(tailLines)
	if err != nil {
		return err
	}
	emit := func(l string) error {
		_, err := fmt.Fprintln(c.out, l)
		return err
	}
	for _, l := range lines {
		if err := emit(l); err != nil {
			return nil
		}
	}
	err = c.Syslog.Follow(c.ctx, from, emit)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
