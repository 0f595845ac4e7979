package mmp

import (
	"fmt"
	"strings"

	"parley/services/account"
	"parley/services/problem"
)

func helpFamily() family {
	return family{name: "help", about: "this list, and help on each command", commands: []command{{
		usage: "help [<command>...]", args: []arg{commandArg}, summary: "list commands, or tell about one",
		help: "Without an argument, lists what there is. With the start of a command, lists the commands that go on so; with a whole one, says what it does and gives an example.\n" +
			"Tab completes what is typed; the arrow keys bring back earlier lines; Ctrl-C gives up a line or stops a running command; Ctrl-D logs out. Put a value with blanks in double quotes.",
		example: "help xmpp certs", need: account.Console, run: runHelp,
	}}}
}

func runHelp(c *call) error {
	if len(c.values) == 0 {
		wide := 0
		for _, f := range c.grammar.families {
			wide = max(wide, len(f.name))
		}
		for _, f := range c.grammar.families {
			fmt.Fprintf(c.out, "%-*s  %s\n", wide, f.name, f.about)
		}
		fmt.Fprintln(c.out, "\n'help <command>' tells more, as in 'help xmpp'.")
		return nil
	}
	words := make([]string, len(c.values))
	for i := range c.values {
		words[i] = c.text(i)
	}
	n := c.grammar.find(words)
	if n == nil {
		if near := nearest(words[0], c.grammar.root.words); near != "" && c.grammar.root.next[words[0]] == nil {
			return problem.New(problem.CommandNear, "command", words[0], "near", near)
		}
		return problem.New(problem.HelpUnknown, "command", strings.Join(words, " "))
	}
	below := n.below()
	if len(below) <= fullHelp {
		for i, b := range below {
			if i > 0 {
				fmt.Fprintln(c.out)
			}
			c.out.help(b)
		}
		return nil
	}
	wide := 0
	for _, b := range below {
		if len(b.usage) <= usageColumn {
			wide = max(wide, len(b.usage))
		}
	}
	for _, b := range below {
		if len(b.usage) > usageColumn {
			fmt.Fprintf(c.out, "%s\n%*s  %s\n", b.usage, wide, "", b.summary)
			continue
		}
		fmt.Fprintf(c.out, "%-*s  %s\n", wide, b.usage, b.summary)
	}
	fmt.Fprintf(c.out, "\n'help <command>' tells more, as in '%s'.\n", "help "+plainWords(below[len(below)-1].usage))
	return nil
}

// fullHelp is how many commands are told of in full at once.
const fullHelp = 3

// usageColumn is how wide the left column of a list of commands may be.
const usageColumn = 38

// plainWords is a usage without its arguments.
func plainWords(usage string) string {
	var words []string
	for _, w := range strings.Fields(usage) {
		if !strings.ContainsAny(w, "<[") {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}

// help writes all that there is to one command.
func (a *answer) help(c *command) {
	fmt.Fprintf(a, "%s\n", c.usage)
	for _, paragraph := range strings.Split(c.help, "\n") {
		for _, l := range wrap(paragraph, 74) {
			fmt.Fprintf(a, "    %s\n", l)
		}
	}
	fmt.Fprintf(a, "Example: %s\n", c.example)
}

// wrap breaks text between words into lines of at most width.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, w := range strings.Fields(text) {
		if line != "" && len(line)+1+len(w) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	return append(lines, line)
}

// commandArg is a word of a command.
var commandArg = arg{
	parse:    anyText,
	complete: func(c *call, before []string) []string { return c.grammar.next(c, before[1:], "") },
}

func anyText(s string) (any, error) { return s, nil }
