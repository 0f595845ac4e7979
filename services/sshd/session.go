package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gliderlabs/ssh"

	"parley/services/account"
	"parley/services/problem"
)

// serve runs one session of a user who is known anew, until do returns its
// exit status.
func (s *Server) serve(server context.Context, sess ssh.Session, do func(context.Context, ssh.Session, account.User) int) {
	if !s.begin() {
		return
	}
	defer s.running.Done()
	ctx, cancel := context.WithCancel(sess.Context())
	defer cancel()
	defer context.AfterFunc(server, cancel)()
	user, err := s.deps.Accounts.Lookup(sess.User())
	if err != nil {
		exit(sess, fail(sess.Stderr(), err))
		return
	}
	exit(sess, do(ctx, sess, user))
}

// exit ends a session. It fails where the peer is gone or the console closed
// the terminal already.
func exit(sess ssh.Session, status int) { _ = sess.Exit(status) }

func fail(w io.Writer, err error) int {
	fmt.Fprintf(w, "FAILURE: %s\n", problem.Text(err))
	return 1
}

// refusal says why a user may have no session other than one on a terminal.
func refusal(user account.User) error {
	switch {
	case !user.Role.Can(account.Console):
		return problem.New(problem.AccountNoConsole, "name", user.Name, "role", string(user.Role))
	case user.MustChange:
		return problem.New(problem.AccountMustChange)
	}
	return nil
}

// console is a session with the console: on a terminal, for one command, or
// for lines of standard input.
func (s *Server) console(ctx context.Context, sess ssh.Session, user account.User) int {
	source := sess.RemoteAddr().String()
	line := sess.RawCommand()
	pty, winch, hasPty := sess.Pty()
	if line == "" && hasPty {
		t := newTerminal(sess, pty.Window, winch)
		defer t.wait()
		fmt.Fprint(sess, s.deps.Console.Banner(ctx))
		if err := s.deps.Console.Interactive(ctx, user, source, t); err != nil && ctx.Err() == nil {
			s.log.Warn("session ended", "user", user.Name, "source", source, "error", err)
		}
		exit(sess, 0)
		return 0
	}
	if err := refusal(user); err != nil {
		return fail(sess, err)
	}
	if line == "" {
		return s.lines(ctx, sess, user, source)
	}
	if isLegacySCP(line) {
		return fail(sess.Stderr(), problem.New(problem.LegacySCP))
	}
	if hasPty {
		t := newTerminal(sess, pty.Window, winch)
		ctx, in := t.cooked(ctx)
		status := s.deps.Console.Exec(ctx, user, source, line, in, sess, sess.Stderr())
		exit(sess, status)
		in.Close()
		t.wait()
		return status
	}
	return s.deps.Console.Exec(ctx, user, source, line, sess, sess, sess.Stderr())
}

// isLegacySCP tells the command that scp clients run which do not use SFTP.
func isLegacySCP(line string) bool {
	words := strings.Fields(line)
	return len(words) > 1 && words[0] == "scp" && strings.HasPrefix(words[1], "-")
}

// lines runs standard input line by line, as for "ssh host < script". What a
// command prompts for is taken from the next lines. The status is that of the
// last line that failed.
func (s *Server) lines(ctx context.Context, sess ssh.Session, user account.User, source string) (status int) {
	for ctx.Err() == nil {
		line, err := readLine(sess)
		if errors.Is(err, errLong) {
			return fail(sess, problem.New(problem.LineTooLong))
		}
		switch strings.TrimSpace(line) {
		case "exit", "logout":
			return status
		case "":
		default:
			if n := s.deps.Console.Exec(ctx, user, source, line, sess, sess, sess.Stderr()); n != 0 {
				status = n
			}
		}
		if err != nil {
			return status
		}
	}
	return status
}

// maxLine bounds a line of input.
const maxLine = 64 << 10

var errLong = errors.New("line too long")

// readLine reads to the end of a line and no byte further, since what follows
// may be for the command on it. The last line may have no end; then the error
// comes with it.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for {
		n, err := r.Read(b[:])
		if n == 1 && b[0] == '\n' {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		line = append(line, b[:n]...)
		if err != nil {
			return strings.TrimSuffix(string(line), "\r"), err
		}
		if len(line) > maxLine {
			return "", errLong
		}
	}
}
