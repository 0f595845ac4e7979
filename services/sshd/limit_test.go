package sshd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

func TestLockoutSaysUntilWhen(t *testing.T) {
	n := start(t, nil)
	for _, user := range []string{"carol", "nobody"} {
		var banner strings.Builder
		dial := func(pw string) error {
			c, err := gossh.Dial("tcp", n.addr, &gossh.ClientConfig{
				User: user, Auth: []gossh.AuthMethod{gossh.Password(pw)}, HostKeyCallback: gossh.InsecureIgnoreHostKey(),
				BannerCallback: func(text string) error { banner.WriteString(text); return nil },
			})
			if err == nil {
				c.Close()
			}
			return err
		}
		for range 5 {
			if err := dial("wrong"); err == nil {
				t.Fatal("login with a wrong password = nil; want an error")
			}
		}
		if err := dial(password); err == nil {
			t.Errorf("login of locked %s = nil; want an error", user)
		}
		if want := "FAILURE: too many failed logins; wait until "; !strings.Contains(banner.String(), want) {
			t.Errorf("banner for %s = %q; want %q", user, banner.String(), want)
		}
	}
	for _, name := range []string{"carol", "(unknown)"} {
		if line := name + ": login by password: permission denied"; !n.audit.has(line) {
			t.Errorf("audit = %q; want %q", n.audit.lines, line)
		}
	}
	if _, err := n.dial("otto"); err != nil {
		t.Errorf("login of another user = %v; want nil", err)
	}
}

func TestTriesAreLimited(t *testing.T) {
	n := start(t, nil)
	tries := 0
	_, err := n.dial("admin", gossh.RetryableAuthMethod(gossh.PasswordCallback(func() (string, error) {
		tries++
		return "wrong", nil
	}), 100))
	if err == nil || tries > maxTries {
		t.Errorf("%d tries, %v; want %d at most, then an error", tries, err, maxTries)
	}
}

func TestLoginGrace(t *testing.T) {
	n := start(t, func(c *Config) { c.LoginGrace = 5 * time.Second })
	var c *gossh.Client
	var err error
	// On a busy machine it may be over before the password's hash is made.
	eventually(t, "a login", func() bool { c, err = n.dial("admin"); return err == nil })
	silent, err := net.Dial("tcp", n.addr)
	n.check(err)
	defer silent.Close()
	if _, err := io.Copy(io.Discard, silent); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Logf("silent connection ended with %v", err)
	}
	// The silent one has been closed; whoever logged in stays.
	sess, err := c.NewSession()
	n.check(err)
	if out, err := sess.Output("say hi"); err != nil || string(out) != "admin says hi\n" {
		t.Errorf("session after the grace time = %q, %v; want a working one", out, err)
	}
}

func TestIdleTimeout(t *testing.T) {
	n := start(t, func(c *Config) { c.IdleTimeout = 2 * time.Second })
	var c *gossh.Client
	// On a busy machine the log-in's own silence, while the password's hash is
	// made, may be too long.
	eventually(t, "a login", func() bool {
		var err error
		c, err = n.dial("admin")
		return err == nil
	})
	ended := make(chan struct{})
	go func() {
		_ = c.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("an idle connection lasts; want it closed")
	}
}

func TestConnectionsPerSource(t *testing.T) {
	n := start(t, func(c *Config) { c.MaxPerSource = 2 })
	a, err := n.dial("admin")
	n.check(err)
	_, err = n.dial("admin")
	n.check(err)
	if _, err := n.dial("admin"); err == nil {
		t.Error("third connection = nil; want an error")
	}
	var d net.Dialer
	d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}
	other, err := d.Dial("tcp", n.addr)
	n.check(err)
	defer other.Close()
	if line, err := bufio.NewReader(other).ReadString('\n'); err != nil || !strings.HasPrefix(line, "SSH-2.0-Parley") {
		t.Errorf("another source reads %q, %v; want the version", line, err)
	}
	a.Close()
	eventually(t, "room again", func() bool { _, err := n.dial("admin"); return err == nil })
}

func TestSessionsPerConnection(t *testing.T) {
	n := start(t, nil)
	c, err := n.dial("admin")
	n.check(err)
	for range maxSessions {
		sess, err := c.NewSession()
		n.check(err)
		n.check(sess.Start("wait"))
	}
	if _, err := c.NewSession(); err == nil {
		t.Errorf("session %d = nil; want an error", maxSessions+1)
	}
}

func TestEndOfServiceEndsSessions(t *testing.T) {
	n := start(t, nil)
	c, err := n.dial("admin")
	n.check(err)
	sess, err := c.NewSession()
	n.check(err)
	n.check(sess.Start("wait"))
	s2, err := c.NewSession()
	n.check(err)
	n.check(s2.RequestPty("xterm", 24, 80, gossh.TerminalModes{}))
	n.check(s2.Shell())
	silent, err := net.Dial("tcp", n.addr)
	n.check(err)
	defer silent.Close()
	eventually(t, "the command runs", func() bool { w, _ := n.console.counts(); return w == 1 })
	began := time.Now()
	if err := n.stop(); err != nil {
		t.Errorf("Run = %v; want nil", err)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the end took %v; want about %v", took, endTime)
	}
	if _, e := n.console.counts(); e != 1 {
		t.Errorf("%d commands ended; want 1", e)
	}
}

func TestLoginThatCannotBeRecordedIsNone(t *testing.T) {
	n := start(t, nil)
	n.audit.mu.Lock()
	n.audit.fails = true
	n.audit.mu.Unlock()
	if _, err := n.dial("admin"); err == nil {
		t.Error("login without an audit log = nil; want an error")
	}
}

func TestHostKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ssh")
	first, err := hostKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := hostKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range first {
		if a, b := gossh.FingerprintSHA256(k.PublicKey()), gossh.FingerprintSHA256(second[i].PublicKey()); a != b {
			t.Errorf("host key %d = %s, then %s; want the same", i, a, b)
		}
	}
	fi, err := os.Stat(filepath.Join(dir, "ed25519.key"))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode of a host key = %v, %v; want 0600", fi.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ecdsa.key"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := hostKeys(dir); err == nil {
		t.Error("hostKeys with a damaged key = nil; want an error")
	}
}

func TestListenFails(t *testing.T) {
	n := start(t, nil)
	bad := errors.New("no such address")
	s := New(Config{Keys: filepath.Join(n.dir, "ssh")}, Deps{
		Listen:  func(context.Context) ([]net.Listener, error) { return nil, bad },
		Console: n.console, Accounts: n.accounts, Files: n.files, Journal: n.audit, Log: slog.New(slog.DiscardHandler),
	})
	if err := s.Run(t.Context()); !errors.Is(err, bad) {
		t.Errorf("Run = %v; want %v", err, bad)
	}
}
