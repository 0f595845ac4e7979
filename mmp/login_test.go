package mmp

import (
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"

	"parley/services/account"
)

func TestLogin(t *testing.T) {
	n := newNode(t, t.TempDir())
	f := newFakeTerminal(t, 100, 40)
	s := &session{n, f, t, make(chan error, 1)}
	go func() { s.done <- n.Login(t.Context(), f) }()
	s.wait(t, "State       : vda1 (ext4, 1.0 GiB)\n\nparley login: |")
	s.does("\r", "Interface a : 10.0.2.15/24")
	s.does("half\x03", "half^C\nparley login: |")
	s.does("admin\r", "Password: |")
	s.does("wrong\r", "Login incorrect.\nparley login: |")
	s.does("nobody\rwrong\r", "Login incorrect.\nparley login: |")
	s.does("admin\r\x03", "Password: ^C\nparley login: |")
	s.does("admin\radmin\r", "The password must be changed before anything else.\nNew password: |")
	s.does("Sommer2026!\rSommer2026!\r", "parley> |")
	s.does(up+"\x0c", "parley> |") // names and passwords are no history
	s.does("logout\r", "logout")
	s.ends()
	if log := s.auditLog(); !strings.Contains(log, "User admin from console issued command < logout>") {
		t.Errorf("audit log:\n%s\nwant the terminal as the source", log)
	}
}

func TestLoginLocksOut(t *testing.T) {
	n := newNode(t, t.TempDir())
	f := newFakeTerminal(t, 100, 40)
	s := &session{n, f, t, make(chan error, 1)}
	go func() { s.done <- n.Login(t.Context(), f) }()
	s.wait(t, "login: |")
	for range account.MaxFailures - 1 {
		s.does("admin\rwrong\r", "Login incorrect.\nparley login: |")
	}
	s.does("admin\rwrong\r", "FAILURE: too many failed logins; wait until")
	s.does("admin\radmin\r", "FAILURE: too many failed logins; wait until")
	s.does("\x04", "")
	s.ends()
}

func TestLoginEnds(t *testing.T) {
	n := newNode(t, t.TempDir())
	for _, keys := range []string{"", "admin\r"} {
		f := newFakeTerminal(t, 100, 40)
		s := &session{n, f, t, make(chan error, 1)}
		go func() { s.done <- n.Login(t.Context(), f) }()
		s.wait(t, "login: |")
		s.typ(t, keys)
		f.keys.Close()
		s.ends()
	}
}

// tty is a Terminal on a real one, as the console program makes it.
type tty struct{ *os.File }

func (t tty) Size() (int, int) {
	w, h, err := term.GetSize(int(t.Fd()))
	if err != nil {
		return 0, 0
	}
	return w, h
}

func (t tty) Resized() <-chan struct{} { return nil }

// TestPty logs in on a real terminal line: what its driver does to carriage
// returns and control characters is in it.
func TestPty(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	if err := pty.Setsize(master, &pty.Winsize{Cols: 60, Rows: 24}); err != nil {
		t.Fatal(err)
	}
	if _, err := term.MakeRaw(int(slave.Fd())); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, t.TempDir())
	n.certs()
	// The fake terminal is the one that a person sits at: its screen shows what
	// comes out of the master.
	person := newFakeTerminal(t, 60, 24)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		b := make([]byte, 4096)
		for {
			k, err := master.Read(b)
			if err != nil {
				return
			}
			_, _ = person.Write(b[:k])
		}
	}()
	done := make(chan error, 1)
	go func() { done <- n.Login(t.Context(), tty{slave}) }()
	does := func(keys, want string) {
		t.Helper()
		person.forget()
		if _, err := master.WriteString(keys); err != nil {
			t.Fatal(err)
		}
		person.wait(t, want)
	}
	person.wait(t, "parley login: |")
	does("admin\radmin\rSommer2026!\rSommer2026!\r", "SUCCESS: the password is changed\nparley> |")
	does("hostname cb1\r", "cb1> |")
	does("xmpp certs a\t", "xmpp certs abhiall.key |")
	does("a\tce\t", "abhiall.cer certall.cer |")
	does("\r", "SUCCESS\ncb1> |")
	does("pki csr long CN:tptac9.com subjectAltName:cb1.tptac9.com,cb2.tptac9.com keyType:ecdsa-p256\r",
		"pki csr long CN:tptac9.com subjectAltName:cb1.tptac9.co\nm,cb2.tptac9.com keyType:ecdsa-p256\nSUCCESS: created long.key")
	does("pki ma\x03", "pki ma^C\ncb1> |")
	does(up, "keyType:ecdsa-p256|")
	does(up, "cb1> xmpp certs abhiall.key abhiall.cer certall.cer |")
	does("\x03ping 10.106.81.31\r", "seq=1")
	does("\x03", "^C\ncb1> |")
	does("\x04", "")
	if err := <-done; err != nil {
		t.Errorf("Login = %v; want nil", err)
	}
	slave.Close()
	<-shown
}
