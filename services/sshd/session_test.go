package sshd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
	gossh "golang.org/x/crypto/ssh"
)

func TestExec(t *testing.T) {
	n := start(t, nil)
	const must = "FAILURE: the password must be changed first"
	tests := []struct {
		name, stdin string
		command     []string
		want        string
		status      int
	}{
		{"ssh by keyboard-interactive", "", n.openssh("ssh", "-o", "PreferredAuthentications=keyboard-interactive", "admin@127.0.0.1", "say hi"), "admin says hi\n", 0},
		{"ssh by password", "", n.openssh("ssh", "-o", "PreferredAuthentications=password", "admin@127.0.0.1", "say hi"), "admin says hi\n", 0},
		{"failing command", "", n.openssh("ssh", "admin@127.0.0.1", "nonsense"), "FAILURE: no; do otherwise\n", 1},
		{"answer from stdin", "blue\nred\n", n.openssh("ssh", "admin@127.0.0.1", "ask"), `answer "blue" <nil>` + "\n", 0},
		{"lines", "say one\n\nask\r\nfour\nsay five", n.openssh("ssh", "admin@127.0.0.1"), "admin says one\nanswer \"four\" <nil>\nadmin says five\n", 0},
		{"lines, one fails", "say one\nno\nsay two\n", n.openssh("ssh", "admin@127.0.0.1"), "admin says one\nFAILURE: no; do otherwise\nadmin says two\n", 1},
		{"lines to exit", "say one\nexit\nsay two\n", n.openssh("ssh", "admin@127.0.0.1"), "admin says one\n", 0},
		{"line too long", strings.Repeat("x", maxLine+10), n.openssh("ssh", "admin@127.0.0.1"), "FAILURE: the line is too long", 1},
		{"plink", "", n.putty("plink", "admin@127.0.0.1", "say hi"), "admin says hi\n", 0},
		{"plink, failing", "", n.putty("plink", "admin@127.0.0.1", "nonsense"), "FAILURE: no; do otherwise\n", 1},
		{"plink, lines", "say one\nsay two\n", n.putty("plink", "-T", "admin@127.0.0.1"), "admin says one\nadmin says two\n", 0},
		{"must change", "", n.openssh("ssh", "fresh@127.0.0.1", "say hi"), must, 1},
		{"must change, lines", "say hi\n", n.openssh("ssh", "fresh@127.0.0.1"), must, 1},
		{"no console", "", n.openssh("ssh", "robot@127.0.0.1", "say hi"), "FAILURE: user robot of role api has no console", 1},
		{"crypto", "", n.openssh("ssh", "carol@127.0.0.1", "say hi"), "carol says hi\n", 0},
		{"wrong name", "", n.openssh("ssh", "-o", "NumberOfPasswordPrompts=1", "nobody@127.0.0.1", "say hi"), "", 5},
		{"with terminal", "", n.openssh("ssh", "-tt", "admin@127.0.0.1", "say hi"), "admin says hi\r\n", 0},
		{"forwarding is refused", "", n.openssh("ssh", "-W", "127.0.0.1:1", "admin@127.0.0.1"), "", 255},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := n.run(tt.stdin, tt.command...)
			if got.status != tt.status || !strings.HasPrefix(got.out, tt.want) || tt.want == "" && got.out != "" {
				t.Errorf("%v = %v; want status %d, %q", tt.command, got, tt.status, tt.want)
			}
		})
	}
	if !n.audit.has("admin: login by password: permission granted") {
		t.Errorf("audit = %q; want a line of a login", n.audit.lines)
	}
}

func TestPublicKeys(t *testing.T) {
	n := start(t, nil)
	for _, kind := range []string{"ed25519", "rsa", "ecdsa"} {
		key := filepath.Join(n.dir, kind)
		if r := n.run("", "ssh-keygen", "-q", "-t", kind, "-N", "", "-f", key); r.status != 0 {
			t.Fatal(r)
		}
		ssh := n.openssh("ssh", "-o", "PasswordAuthentication=no", "-o", "KbdInteractiveAuthentication=no", "-i", key, "admin@127.0.0.1", "say hi")[2:]
		if got := n.run("", ssh...); got.status != 255 {
			t.Errorf("%s before AddKey: %v; want status 255", kind, got)
		}
		text, err := os.ReadFile(key + ".pub")
		n.check(err)
		_, err = n.accounts.AddKey("admin", string(text))
		n.check(err)
		if got := n.run("", ssh...); got.status != 0 || got.out != "admin says hi\n" {
			t.Errorf("%s after AddKey: %v; want status 0", kind, got)
		}
		other := append(ssh[:len(ssh)-2:len(ssh)-2], "carol@127.0.0.1", "say hi")
		if got := n.run("", other...); got.status != 255 {
			t.Errorf("%s for another user: %v; want status 255", kind, got)
		}
	}
	info, err := n.accounts.Info("admin")
	if err != nil || info.LastLogin.IsZero() {
		t.Errorf("Info(admin).LastLogin = %v, %v; want a time", info.LastLogin, err)
	}
}

// A client may offer one key, be told that it would do, and sign with another.
func TestKeyThatSignedCounts(t *testing.T) {
	n := start(t, nil)
	signer := func(name string) gossh.Signer {
		if r := n.run("", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(n.dir, name)); r.status != 0 {
			t.Fatal(r)
		}
		text, err := os.ReadFile(filepath.Join(n.dir, name))
		n.check(err)
		s, err := gossh.ParsePrivateKey(text)
		n.check(err)
		return s
	}
	good, bad := signer("good"), signer("bad")
	_, err := n.accounts.AddKey("admin", string(gossh.MarshalAuthorizedKey(good.PublicKey())))
	n.check(err)
	if _, err := n.dial("admin", gossh.PublicKeys(bad, good)); err != nil {
		t.Errorf("dial with a strange and a known key = %v; want nil", err)
	}
	if _, err := n.dial("admin", gossh.PublicKeys(bad)); err == nil {
		t.Error("dial with a strange key = nil; want an error")
	}
	n.check(n.accounts.DelKey("admin", gossh.FingerprintSHA256(good.PublicKey())))
	if _, err := n.dial("admin", gossh.PublicKeys(good)); err == nil {
		t.Error("dial with a deleted key = nil; want an error")
	}
}

// screen is a program on a pty of its own.
type screen struct {
	t    *testing.T
	tty  *os.File
	text chan string
	seen string
}

func (n *node) screen(command ...string) (*screen, *exec.Cmd) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "SSHPASS="+password, "HOME="+n.dir, "LC_ALL=C", "TERM=xterm")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	n.check(err)
	s := &screen{t: n.t, tty: tty, text: make(chan string, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(s.text)
		b := make([]byte, 1000)
		for {
			k, err := tty.Read(b)
			if k > 0 {
				s.text <- string(b[:k])
			}
			if err != nil {
				return
			}
		}
	}()
	n.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		tty.Close()
		<-done
	})
	return s, cmd
}

// expect reads up to text.
func (s *screen) expect(text string) {
	s.t.Helper()
	for !strings.Contains(s.seen, text) {
		more, ok := <-s.text
		if !ok {
			s.t.Fatalf("screen ended with %q; want %q", s.seen, text)
		}
		s.seen += more
	}
	_, s.seen, _ = strings.Cut(s.seen, text)
}

func (s *screen) send(text string) {
	s.t.Helper()
	if _, err := s.tty.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

func TestInteractive(t *testing.T) {
	n := start(t, nil)
	// sshpass would take our terminal for its own, so the password is typed.
	s, cmd := n.screen(n.openssh("ssh", "fresh@127.0.0.1")[2:]...)
	s.expect("assword:")
	s.send(password + "\n")
	s.expect("Parley at your service\r\nhello fresh true\r\nsize 80x24\r\n")
	s.send("abc\r")
	s.expect(`got "abc\r"`)
	n.check(pty.Setsize(s.tty, &pty.Winsize{Rows: 30, Cols: 100}))
	s.expect("size 100x30")
	s.send("exit\r")
	if err := cmd.Wait(); err != nil {
		t.Errorf("ssh after exit: %v; want status 0", err)
	}
}

func TestInteractivePlink(t *testing.T) {
	n := start(t, nil)
	s, cmd := n.screen(n.putty("plink", "-t", "admin@127.0.0.1")...)
	s.expect("hello admin false\r\nsize 80x24\r\n")
	s.send("exit\r")
	if err := cmd.Wait(); err != nil {
		t.Errorf("plink after exit: %v; want status 0", err)
	}
}

func TestExecOnTerminal(t *testing.T) {
	n := start(t, nil)
	s, cmd := n.screen(n.openssh("ssh", "-t", "admin@127.0.0.1", "ask")[2:]...)
	s.expect("assword:")
	s.send(password + "\n")
	s.expect("Answer")
	s.send("green\r")
	s.expect(`answer "green" <nil>`)
	if err := cmd.Wait(); err != nil {
		t.Errorf("ssh -t: %v; want status 0", err)
	}
	s, _ = n.screen(n.openssh("ssh", "-t", "admin@127.0.0.1", "wait")[2:]...)
	s.expect("assword:")
	s.send(password + "\n")
	s.expect("waiting")
	s.send("\x03")
	eventually(t, "Ctrl-C ends the command", func() bool { _, ended := n.console.counts(); return ended == 1 })
}

func TestClientGoneEndsTheCommand(t *testing.T) {
	n := start(t, nil)
	c, err := n.dial("admin")
	n.check(err)
	sess, err := c.NewSession()
	n.check(err)
	n.check(sess.Start("wait"))
	eventually(t, "the command runs", func() bool { w, _ := n.console.counts(); return w == 1 })
	c.Close()
	eventually(t, "the command ends", func() bool { _, e := n.console.counts(); return e == 1 })
}

func TestDeletedUserHasNoFurtherSession(t *testing.T) {
	n := start(t, nil)
	c, err := n.dial("carol")
	n.check(err)
	n.check(n.accounts.Del("admin", "carol"))
	sess, err := c.NewSession()
	n.check(err)
	if out, err := sess.Output("say hi"); err == nil || len(out) > 0 {
		t.Errorf("session of a deleted user = %q, %v; want an error", out, err)
	}
}
