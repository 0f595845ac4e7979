package mmp

import (
	"fmt"
	"strconv"

	"parley/services/account"
	"parley/services/diagnosis"
	"parley/services/journal"
	"parley/services/problem"
)

func diagnoseCommands() []command {
	return []command{{
		usage: "xmpp diagnose", summary: "check everything, and say what mends it",
		help: "Checks what is set, files, names in the DNS, ports, members, Call Bridges and their secrets, the LDAP server of the users, and the disk, on this node and from each other member of its cluster. Each check is one line: OK, WARN or FAIL, what was found, and for WARN and FAIL the command that mends it. Lines that begin with an address are of that node, and so are their commands.\n" +
			"It changes nothing, takes less than 10 seconds, and fails where a check does.",
		example: "xmpp diagnose", need: account.Console, run: diagnose,
	}}
}

func diagnose(c *call) error {
	failed, warned := 0, 0
	findings := c.Diagnose(c.ctx)
	for _, f := range findings {
		switch f.Level {
		case diagnosis.Fail:
			failed++
		case diagnosis.Warn:
			warned++
		}
		fmt.Fprintln(c.out, journal.Clean(f.Text()))
	}
	if failed > 0 {
		return problem.New(problem.DiagnoseFailed, "failed", strconv.Itoa(failed), "checks", count(len(findings), "check"))
	}
	return c.out.success("%s, %s", count(len(findings), "check"), count(warned, "warning"))
}
