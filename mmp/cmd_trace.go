package mmp

import (
	"fmt"
	"time"

	"parley/services/account"
	"parley/services/eventlog/trace"
)

// maxTraceMinutes is a day.
const maxTraceMinutes = 24 * 60

func traceCommands() []command {
	var words []string
	for _, s := range trace.Subsystems() {
		words = append(words, trace.Word(s))
	}
	subsystem := choice("a subsystem", words...)
	return []command{
		{
			usage: "eventlog trace", summary: "show what is traced in detail",
			help:    "The subsystems that can be traced in detail, and until when (UTC) they are.",
			example: "eventlog trace", need: account.Console, run: showTraces,
		}, {
			usage: "eventlog trace <subsystem> <minutes>", args: []arg{subsystem, number(1, maxTraceMinutes, 10)}, summary: "trace a subsystem for a time",
			help: "Has a subsystem log in detail for that many minutes, a day at most: xmpp names the stanzas that come and go with sender and recipient, callbridge the steps of its connection, dns the questions and who answered. What people say and passwords are never logged.\n" +
				"It goes to the syslog: see 'syslog follow'. Its lines end in traced= and the subsystem.",
			example: "eventlog trace xmpp 10", need: account.Configure, run: func(c *call) error {
				minutes := value[int](c, 1)
				return c.trace(time.Duration(minutes)*time.Minute, "tracing %s for %s; see 'syslog follow'", c.text(0), count(minutes, "minute"))
			},
		}, {
			usage: "eventlog trace <subsystem> off", args: []arg{subsystem}, summary: "end a trace",
			help:    "Ends the trace of a subsystem before its time.",
			example: "eventlog trace xmpp off", need: account.Configure, run: func(c *call) error {
				return c.trace(0, "%s is not traced", c.text(0))
			},
		},
	}
}

func showTraces(c *call) error {
	traces, err := c.Events.Traces(c.ctx)
	if err != nil {
		return err
	}
	var rows []row
	for _, s := range trace.Subsystems() {
		state := "off"
		if until, on := traces[s]; on {
			state = "on until " + until.UTC().Format(time.DateTime)
		}
		rows = append(rows, row{trace.Word(s), state})
	}
	c.out.rows(rows...)
	return nil
}

// trace traces the subsystem of the first argument for d, or ends that, and
// then says so.
func (c *call) trace(d time.Duration, format string, args ...any) error {
	for _, s := range trace.Subsystems() {
		if trace.Word(s) != c.text(0) {
			continue
		}
		if err := c.Events.Trace(c.ctx, s, d); err != nil {
			return err
		}
	}
	return c.out.success("%s", fmt.Sprintf(format, args...))
}
