package mmp

import (
	"context"
	"errors"
	"fmt"
	"io"

	"parley/services/account"
	"parley/services/journal"
	"parley/services/problem"
)

// confirm tells what is about to happen and returns a problem unless the
// answer is a capital Y, as the original wants it.
func (c *call) confirm(consequence string) error {
	answer, err := c.ask.line(c.ctx, consequence+"\nType a capital Y to go on, anything else to stop: ")
	if err != nil {
		return unanswered(err, "capital Y")
	}
	if answer != "Y" {
		return problem.New(problem.NotConfirmed)
	}
	return nil
}

// secret asks for a value that is not shown.
func (c *call) secret(prompt, what string) (string, error) {
	s, err := c.ask.secret(c.ctx, prompt)
	return s, unanswered(err, what)
}

// newPassword asks for a password twice.
func (c *call) newPassword(first, again string) (string, error) {
	return newPassword(c.ctx, c.ask, first, again)
}

func newPassword(ctx context.Context, ask prompter, first, again string) (string, error) {
	one, err := ask.secret(ctx, first)
	if err != nil {
		return "", oneOfTwo(err, "password")
	}
	two, err := ask.secret(ctx, again)
	if err != nil {
		return "", oneOfTwo(err, "second password")
	}
	if one != two {
		return "", problem.New(problem.PasswordsDiffer)
	}
	return one, nil
}

// unanswered makes the end of input at a prompt a problem.
func unanswered(err error, what string) error {
	switch {
	case errors.Is(err, io.EOF):
		return problem.New(problem.NoAnswer, "what", what)
	case errors.Is(err, errInterrupt):
		return problem.New(problem.Interrupted)
	}
	return err
}

// oneOfTwo is unanswered where two lines are asked for.
func oneOfTwo(err error, what string) error {
	err = unanswered(err, what)
	if problem.CodeOf(err) == problem.NoAnswer {
		return problem.New(problem.NoPassword, "what", what)
	}
	return err
}

// forceChange asks for a new password until one is set. Whoever gives up, by
// Ctrl-C or Ctrl-D, is logged out.
func (c *Console) forceChange(ctx context.Context, user account.User, source string, ask prompter, out *answer) error {
	fmt.Fprintln(out, "The password must be changed before anything else.")
	for {
		p, err := newPassword(ctx, ask, "New password: ", "New password again: ")
		switch problem.CodeOf(err) {
		case "":
			if err != nil {
				return err
			}
			err = c.Accounts.SetPassword(user.Name, p)
		case problem.NoPassword, problem.Interrupted:
			return io.EOF
		}
		if err == nil {
			out.success("the password is changed")
			return c.Journal.Audit(user.Name, source, "passwd", journal.Granted)
		}
		out.failure(err)
	}
}
