package mmp

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/services/account"
	"parley/services/eventlog/eventlogapi"
	"parley/services/journal"
)

const remote = "10.0.0.9:63290"

// session is an interactive session of admin over a fake terminal.
type session struct {
	*testNode
	*fakeTerminal
	t    *testing.T
	done chan error
}

func startSession(t *testing.T, user account.User) *session {
	t.Helper()
	n := newNode(t, t.TempDir())
	if err := n.Accounts.SetPassword("admin", "Sommer2026!"); err != nil {
		t.Fatal(err)
	}
	s := &session{n, newFakeTerminal(t, 100, 40), t, make(chan error, 1)}
	go func() { s.done <- n.Interactive(t.Context(), user, remote, s.fakeTerminal) }()
	return s
}

// does types keys and waits for what the screen shows then.
func (s *session) does(keys, want string) {
	s.t.Helper()
	s.forget()
	s.typ(s.t, keys)
	s.wait(s.t, want)
}

// ends waits for the session's end.
func (s *session) ends() {
	s.t.Helper()
	if err := <-s.done; err != nil {
		s.t.Errorf("Interactive = %v; want nil", err)
	}
}

func (s *session) auditLog() string {
	s.t.Helper()
	lines, _, err := s.Audit.Tail(100)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func TestSession(t *testing.T) {
	s := startSession(t, admin)
	s.wait(t, "parley> ")
	s.does("hostname cb1\r", "SUCCESS\ncb1> |")
	s.does("xm\tca\tadd cb1\r", "xmpp callbridge add cb1\nSUCCESS\n***\nCallbridge : cb1\nDomain     : none\nSecret     : kvgP1SRzWVabhi01Ab1\ncb1> |")
	s.does("half\x03", "half^C\ncb1> |")
	s.does(up, "cb1> xmpp callbridge add cb1|")
	s.does("\x15quark\r", "FAILURE: there is no command 'quark'; 'help' lists all\ncb1> |")
	s.does("exit\r", "exit\n|")
	s.ends()
}

// TestPromptOncePerLine: a program that waits for the prompt must not see one
// before the answer.
func TestPromptOncePerLine(t *testing.T) {
	s := startSession(t, admin)
	s.wait(t, "> |")
	s.does("vers\t\r", "Version : 1.0")
	s.wait(t, "parley> |")
	// A line that wraps, too.
	s.typ(t, "dns lookup a "+strings.Repeat("abcdefghi.", 18)+"example\r")
	s.wait(t, "NXDOMAIN")
	s.wait(t, "parley> |")
	s.typ(t, "exit\r")
	s.ends()
	if raw := s.screen.raw.String(); strings.Count(raw, "parley> ") != 2 || strings.Contains(raw, "\x1b") {
		t.Errorf("written: %q; want one prompt, after the answer, and no control sequences", raw)
	}
}

func TestSessionEnds(t *testing.T) {
	tests := []struct {
		name string
		end  func(*session)
	}{
		{"Ctrl-D", func(s *session) { s.typ(t, "\x04") }},
		{"logout", func(s *session) { s.typ(t, "logout\r") }},
		{"hang-up", func(s *session) { s.keys.Close() }},
		{"hang-up in a line", func(s *session) { s.typ(t, "xmpp"); s.keys.Close() }},
		{"hang-up while a command runs", func(s *session) { s.does("syslog follow\r", "follow\n"); s.keys.Close() }},
		{"shutdown", func(s *session) { s.does("shutdown\r", "to stop: |"); s.does("Y\r", "SUCCESS: shutting down\n|") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := startSession(t, admin)
			s.wait(t, "> |")
			tt.end(s)
			s.ends()
		})
	}
}

func TestSessionEndsWithContext(t *testing.T) {
	n := newNode(t, t.TempDir())
	f := newFakeTerminal(t, 80, 24)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- n.Interactive(ctx, admin, remote, f) }()
	f.wait(t, "> |")
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Interactive = %v; want nil", err)
	}
}

func TestCtrlCStopsCommands(t *testing.T) {
	s := startSession(t, admin)
	s.wait(t, "> |")
	s.does("ping cb2.tptac9.com\r", "Reply from 10.106.81.31: seq=1")
	s.does("\x03", "sent, ")
	s.wait(t, "^C\nparley> |")
	log := s.Journal.Logger(slog.LevelInfo).With("component", "xmpp")
	s.does("syslog follow\r", "follow\n")
	log.Info("first")
	s.wait(t, "info xmpp: first\n")
	log.Info("second")
	s.wait(t, "info xmpp: second\n")
	s.does("\x03", "^C\nparley> |")
	event := func(message string) {
		if err := s.events.Log(t.Context(), eventlogapi.Event{Level: eventlogapi.Info, Message: message}); err != nil {
			t.Fatal(err)
		}
	}
	event("first event")
	s.does("eventlog follow\r", "Info           first event\n")
	event("second event")
	s.wait(t, "Info           first event\n2026-11-22  20:47:58.000  Info           second event\n")
	s.does("\x03", "^C\nparley> |")
	// What ends by itself leaves the next line alone.
	s.does("ping 10.106.81.31 1\r", "1 sent, 1 received, 0 lost")
	s.does("date\r", "UTC   : 2026-Nov-22 20:47:58")
	s.does("xmpp reset\r", "to stop: |")
	s.does("\x03", "FAILURE: interrupted, nothing was done; run it again when ready\nparley> |")
	s.does("\x04", "")
	s.ends()
}

func TestSecretsAreNowhere(t *testing.T) {
	s := startSession(t, admin)
	s.wait(t, "> |")
	const secret = "uBiLLdIU8vVqj86CAb1"
	s.does("xmpp callbridge add-secret cb1\r", "Enter callbridge secret\n|")
	s.does(secret+"\r", "SUCCESS\nparley> |")
	s.does("xmpp user add ben\r", "Password of ben: |")
	s.does("Geheim2026!\r", "again: |")
	s.does("Geheim2026!\r", "SUCCESS\nparley> |")
	if got := s.xmpp.Password("ben"); got != "Geheim2026!" {
		t.Errorf("password of ben = %q; want what was typed", got)
	}
	// A password in the wrong place is not recorded either.
	s.does("Geheim2026!\r", "FAILURE: ")
	s.does("passwd admin Geheim2026!\r", "FAILURE: ")
	s.does("xmpp user add ben Geheim2026!\r", "FAILURE: ")
	s.does("\"Geheim2026!\r", "FAILURE: ")
	s.does(up+up+up+up+up+up+up+up+"\x0c", "parley> ")
	s.does("\x15exit\r", "exit")
	s.ends()
	log := s.auditLog()
	for _, hidden := range []string{secret, "Geheim"} {
		if strings.Contains(log, hidden) {
			t.Errorf("the audit log has %q:\n%s", hidden, log)
		}
	}
	for _, want := range []string{
		"cb1 cli: User admin from " + remote + " issued command < xmpp callbridge add-secret cb1>: " + journal.Granted,
		"issued command < passwd …>: ", "issued command < xmpp user add …>: ", "issued command < …>: ",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the audit log has no %q:\n%s", want, log)
		}
	}
}

func TestSessionOfDeletedUser(t *testing.T) {
	s := startSession(t, account.User{Name: "ben", Role: account.Admin})
	s.wait(t, "> |")
	s.does("user del admin\r", "FAILURE: there is no user ben")
	s.ends()
	if _, err := s.Accounts.Lookup("admin"); err != nil {
		t.Errorf("Lookup(admin) = %v; want that it is still there", err)
	}
}

func TestForcedChange(t *testing.T) {
	n := newNode(t, t.TempDir())
	f := newFakeTerminal(t, 80, 24)
	s := &session{n, f, t, make(chan error, 1)}
	user, err := n.Accounts.Lookup("admin")
	if err != nil || !user.MustChange {
		t.Fatalf("Lookup(admin) = %+v, %v; want that the password must be changed", user, err)
	}
	go func() { s.done <- n.Interactive(t.Context(), user, remote, f) }()
	s.wait(t, "The password must be changed before anything else.\nNew password: |")
	s.does("Sommer2026!\r", "again: |")
	s.does("Winter2026!\r", "FAILURE: the two passwords are not the same; type it again\nNew password: |")
	s.does("admin\radmin\r", "FAILURE: the password is too short")
	s.does("Sommer2026!\rSommer2026!\r", "SUCCESS: the password is changed\nparley> |")
	s.does("exit\r", "exit")
	s.ends()
	if user, err := n.Accounts.Authenticate("admin", "Sommer2026!", remote); err != nil || user.MustChange {
		t.Errorf("Authenticate = %+v, %v; want the new password and no change due", user, err)
	}
}

func TestForcedChangeGivenUp(t *testing.T) {
	for _, key := range []string{"\x03", "\x04"} {
		s := startSession(t, account.User{Name: "admin", Role: account.Admin, MustChange: true})
		s.wait(t, "New password: |")
		s.typ(t, key)
		s.ends()
	}
}

func TestNoConsoleForRole(t *testing.T) {
	s := startSession(t, account.User{Name: "app", Role: account.AppAdmin})
	s.ends()
	s.wait(t, "FAILURE: user app of role appadmin has no console")
}

// TestUnrecordedIsUndone: what the audit log does not take is not run.
func TestUnrecordedIsUndone(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.Journal = journal.NewOn(broken{}, broken{}, nil)
	before := n.fingerprint(t)
	status, out := n.exec("hostname cb1")
	if status != 1 || !strings.HasPrefix(out, "FAILURE: the command was not run since it cannot be recorded") || n.fingerprint(t) != before {
		t.Errorf("hostname cb1 = %d\n%swant a refusal and nothing changed", status, out)
	}
}

type broken struct{}

func (broken) Line(string) error { return os.ErrPermission }

// TestRefusedReload: a service that refuses leaves the old configuration.
func TestRefusedReload(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.must(t, "xmpp domain tptac9.com")
	before := n.fingerprint(t)
	n.xmpp.Refuse = os.ErrDeadlineExceeded
	status, out := n.exec("xmpp domain example.org")
	if status != 1 || strings.Count(out, "\n") != 1 || !strings.Contains(out, "; ") || n.fingerprint(t) != before {
		t.Errorf("xmpp domain = %d\n%swant a refusal in one line and nothing changed", status, out)
	}
}

func TestBanner(t *testing.T) {
	n := newNode(t, t.TempDir())
	want := `
Parley 1.0 on parley
Interface a : 10.0.2.15/24  52:54:00:12:34:56  link up
Interface b : no address  52:54:00:12:34:57  link down
State       : vda1 (ext4, 1.0 GiB)
`
	if got := n.Banner(t.Context()); got != want {
		t.Errorf("Banner =\n%s\nwant\n%s", got, want)
	}
	n.init.Volatile = true
	if got := n.Banner(t.Context()); !strings.Contains(got, "*** STATE IS IN MEMORY ONLY") {
		t.Errorf("Banner =\n%s\nwant it to say that state is lost", got)
	}
}

func TestBrokenConfiguration(t *testing.T) {
	n := newNode(t, t.TempDir())
	if err := os.WriteFile(filepath.Join(n.paths.State, "live.json"), []byte("{"), 0o640); err != nil {
		t.Fatal(err)
	}
	if got := n.prompt(); got != "parley> " {
		t.Errorf("prompt = %q; want the default's", got)
	}
	if status, out := n.exec("xmpp domain example.org"); status != 1 || strings.Count(out, "\n") != 1 || !strings.Contains(out, "; ") {
		t.Errorf("xmpp domain = %d\n%swant a refusal in one line", status, out)
	}
}
