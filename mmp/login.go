package mmp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"parley/services/problem"
)

// Login is one login and session on a local terminal in raw mode. If t has a
// method Name, that (ttyS0) is the source of audit lines. Login returns nil
// when the session has ended or nobody logged in: the caller calls it again.
// Failures lock a name on the terminals for a while (account.MaxFailures).
func (c *Console) Login(ctx context.Context, t Terminal) error {
	source := "console"
	if n, ok := t.(interface{ Name() string }); ok {
		source = filepath.Base(n.Name())
	}
	ed := newEditor(t)
	defer ed.in.close()
	out := &answer{w: crlf{t}}
	fmt.Fprint(out, c.Banner(ctx)+"\n")
	for {
		name, err := ed.readLine(ctx, c.hostname()+" login: ", nil)
		ed.history = nil
		if errors.Is(err, errInterrupt) {
			continue
		}
		if err != nil {
			return ended(err)
		}
		if name = strings.TrimSpace(name); name == "" {
			// Enter alone shows the addresses as they are by now.
			fmt.Fprint(out, c.Banner(ctx)+"\n")
			continue
		}
		password, err := ed.readSecret(ctx, "Password: ")
		if errors.Is(err, errInterrupt) || errors.Is(err, io.EOF) && ed.in.err == nil {
			continue
		}
		if err != nil {
			return ended(err)
		}
		user, err := c.Accounts.Authenticate(name, password, source)
		switch problem.CodeOf(err) {
		case problem.AccountDenied:
			fmt.Fprintln(out, "Login incorrect.")
			continue
		case "":
			if err == nil {
				return c.session(ctx, user, source, ed)
			}
		}
		out.failure(err)
	}
}
