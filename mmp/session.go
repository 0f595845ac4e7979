package mmp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"parley/services/account"
	"parley/services/problem"
)

// Interactive is a session of a user who has logged in, on a terminal in raw
// mode, until exit, Ctrl-D, the terminal's end or ctx's. source is an address
// or a terminal's name. It shows no banner. If the user must change the
// password, it asks for that first.
//
// When ctx ends while the terminal is read, the Read is ended by a deadline or
// by Close where t has one of them.
func (c *Console) Interactive(ctx context.Context, user account.User, source string, t Terminal) error {
	ed := newEditor(t)
	defer ed.in.close()
	return c.session(ctx, user, source, ed)
}

func (c *Console) session(ctx context.Context, user account.User, source string, ed *editor) error {
	out := &answer{w: crlf{ed.t}}
	if !user.Role.Can(account.Console) {
		out.failure(problem.New(problem.AccountNoConsole, "name", user.Name, "role", string(user.Role)))
		return nil
	}
	ask := &terminalPrompter{ed}
	if user.MustChange {
		if err := c.forceChange(ctx, user, source, ask, out); err != nil {
			return ended(err)
		}
	}
	for {
		complete := func(line string) completion {
			return c.complete(&call{ctx: ctx, user: user, source: source}, line)
		}
		line, err := ed.readLine(ctx, c.prompt(), complete)
		if errors.Is(err, errInterrupt) {
			continue
		}
		if err != nil {
			return ended(err)
		}
		k := &call{ctx: ctx, user: user, source: source, out: out, ask: ask}
		// Somebody else may have deleted the user or reset the password.
		if k.user, err = c.Accounts.Lookup(user.Name); err != nil {
			out.failure(err)
			return nil
		}
		if k.user.MustChange {
			if err := c.forceChange(ctx, k.user, source, ask, out); err != nil {
				return ended(err)
			}
			continue
		}
		err = c.run(ctx, k, line, func(f func(context.Context)) {
			if ed.in.watch(ctx, f) {
				fmt.Fprint(ed.t, "^C\r\n")
			}
		})
		if err != nil {
			out.failure(err)
		}
		if k.end {
			return nil
		}
	}
}

// ended is nil for the ways in which a session ends by itself.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, errInterrupt) || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("read terminal: %w", err)
}

func (c *Console) prompt() string { return c.hostname() + "> " }

// hostname without its domain. A configuration that cannot be read must not
// keep anybody from the console.
func (c *Console) hostname() string {
	d, err := c.config.Load()
	if err != nil || d.Hostname == "" {
		return "parley"
	}
	name, _, _ := strings.Cut(d.Hostname, ".")
	return name
}

// Local is the source of a command of the program that runs the node, whose
// caller may read and write the node's state anyway.
const Local = "local"

// Exec runs one line for a user and returns its exit status. Answers go to
// out, FAILURE lines too, since that is where programs that drive the console
// look; prompts go to errOut, and what they ask for is a line of in.
func (c *Console) Exec(ctx context.Context, user account.User, source, line string, in io.Reader, out, errOut io.Writer) int {
	ans := &answer{w: out}
	k := &call{ctx: ctx, user: user, source: source, out: ans, ask: &linePrompter{in: in, out: errOut}}
	err := c.mayExec(user)
	if err == nil {
		err = c.run(ctx, k, line, func(f func(context.Context)) { f(ctx) })
	}
	if err != nil {
		ans.failure(err)
		return 1
	}
	return 0
}

func (c *Console) mayExec(user account.User) error {
	if !user.Role.Can(account.Console) {
		return problem.New(problem.AccountNoConsole, "name", user.Name, "role", string(user.Role))
	}
	if user.MustChange {
		return problem.New(problem.AccountMustChange)
	}
	return nil
}

// terminalPrompter asks on a terminal.
type terminalPrompter struct{ ed *editor }

func (p *terminalPrompter) line(ctx context.Context, prompt string) (string, error) {
	history := p.ed.history
	p.ed.history = nil
	defer func() { p.ed.history = history }()
	return p.ed.readLine(ctx, p.above(prompt), nil)
}

func (p *terminalPrompter) secret(ctx context.Context, prompt string) (string, error) {
	return p.ed.readSecret(ctx, p.above(prompt))
}

// above writes all lines of a prompt but the last, which it returns.
func (p *terminalPrompter) above(prompt string) string {
	i := strings.LastIndexByte(prompt, '\n') + 1
	fmt.Fprint(crlf{p.ed.t}, prompt[:i])
	return prompt[i:]
}

// linePrompter takes lines of an input that is no terminal. It reads no byte
// beyond a line's end.
type linePrompter struct {
	in  io.Reader
	out io.Writer
}

func (p *linePrompter) line(_ context.Context, prompt string) (string, error) {
	fmt.Fprintln(p.out, strings.TrimRight(prompt, ": \n"))
	var line []byte
	b := make([]byte, 1)
	for len(line) <= maxLine {
		n, err := p.in.Read(b)
		if n == 1 && b[0] == '\n' {
			break
		}
		line = append(line, b[:n]...)
		if err != nil {
			if len(line) == 0 {
				return "", io.EOF
			}
			break
		}
	}
	return string(bytes.TrimSuffix(line, []byte{'\r'})), nil
}

func (p *linePrompter) secret(ctx context.Context, prompt string) (string, error) {
	return p.line(ctx, prompt)
}

// crlf writes to a terminal in raw mode, which does not return the carriage by
// itself.
type crlf struct{ w io.Writer }

func (c crlf) Write(p []byte) (int, error) {
	if _, err := c.w.Write(bytes.ReplaceAll(p, []byte{'\n'}, []byte{'\r', '\n'})); err != nil {
		return 0, err
	}
	return len(p), nil
}
