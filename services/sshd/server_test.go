package sshd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"parley/mmp"
	"parley/services/account"
	"parley/services/files"
)

// node is a server on loopback with real accounts and files and a console of
// few commands.
type node struct {
	t        *testing.T
	dir      string
	addr     string
	accounts *account.Store
	files    *files.Store
	audit    *auditLog
	console  *fakeConsole
	hostKey  string
	stop     func() error
}

const password = "correct horse"

func start(t *testing.T, change func(*Config)) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), audit: &auditLog{}, console: &fakeConsole{}}
	n.accounts = account.NewStore(filepath.Join(n.dir, "accounts.json"), time.Now)
	n.files = files.NewStore(files.Config{
		Dir: filepath.Join(n.dir, "files"), State: n.dir,
		Virtual: []files.Virtual{{Name: "audit", Path: filepath.Join(n.dir, "accounts.json"), Needs: account.ReadAudit}},
	}, files.Deps{Audit: n.audit, InUse: func(name string) string {
		if name == "used.crt" {
			return "xmpp certs"
		}
		return ""
	}})
	n.check(os.WriteFile(filepath.Join(n.dir, "accounts.json"), testAccounts(t), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	n.check(err)
	n.addr = l.Addr().String()
	cfg := Config{Keys: filepath.Join(n.dir, "ssh")}
	if change != nil {
		change(&cfg)
	}
	keys, err := hostKeys(cfg.Keys)
	n.check(err)
	n.hostKey = gossh.FingerprintSHA256(keys[0].PublicKey())
	s := New(cfg, Deps{
		Listen:  func(context.Context) ([]net.Listener, error) { return []net.Listener{l}, nil },
		Console: n.console, Accounts: n.accounts, Files: n.files, Journal: n.audit,
		Log: slog.New(slog.NewTextHandler(testLog{t}, nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var once sync.Once
	n.stop = func() (err error) {
		once.Do(func() {
			cancel()
			err = <-ended
		})
		return err
	}
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	})
	return n
}

// testAccounts is an accounts.json with a user of each role and fresh, who must
// change the password. It is made once, since each hash takes its time.
func testAccounts(t *testing.T) []byte {
	accountsOnce.Do(func() {
		path := filepath.Join(t.TempDir(), "accounts.json")
		a := account.NewStore(path, time.Now)
		err := a.SetPassword("admin", password)
		for name, role := range map[string]account.Role{"carol": account.Crypto, "otto": account.Audit, "robot": account.API} {
			err = errors.Join(err, a.Add(name, role, password+" 1"), a.SetPassword(name, password))
		}
		err = errors.Join(err, a.Add("fresh", account.Admin, password))
		if err != nil {
			t.Fatal(err)
		}
		accountsFile, _ = os.ReadFile(path)
	})
	return accountsFile
}

var (
	accountsOnce sync.Once
	accountsFile []byte
)

func (n *node) check(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) write(name, text string) {
	n.t.Helper()
	n.check(os.MkdirAll(filepath.Join(n.dir, "files"), 0o750))
	n.check(os.WriteFile(filepath.Join(n.dir, "files", name), []byte(text), 0o640))
}

func (n *node) read(name string) string {
	b, err := os.ReadFile(filepath.Join(n.dir, "files", name))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// result is what a client program did.
type result struct {
	out, err string
	status   int
}

func (r result) String() string { return fmt.Sprintf("status %d\n%s%s", r.status, r.out, r.err) }

// run runs a client; a hang is a failure, so there is a limit.
func (n *node) run(stdin string, command ...string) result {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = n.t.TempDir()
	cmd.Env = append(os.Environ(), "SSHPASS="+password, "HOME="+n.dir, "LC_ALL=C")
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		n.t.Fatalf("%v: %v\n%s%s", command, err, out.String(), errOut.String())
	}
	return result{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

func (n *node) port() string {
	_, port, err := net.SplitHostPort(n.addr)
	n.check(err)
	return port
}

// openssh is the start of a command line of OpenSSH's ssh, sftp or scp.
func (n *node) openssh(program string, more ...string) []string {
	port := "-p"
	if program != "ssh" {
		port = "-P"
	}
	return append([]string{
		"sshpass", "-e", program, port, n.port(), "-o", "BatchMode=no", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "IdentityAgent=none", "-F", "none",
	}, more...)
}

// putty is the start of a command line of plink, pscp or psftp.
func (n *node) putty(program string, more ...string) []string {
	return append([]string{program, "-batch", "-P", n.port(), "-pw", password, "-hostkey", n.hostKey}, more...)
}

// dial connects with a library, for what programs do not do.
func (n *node) dial(user string, auth ...gossh.AuthMethod) (*gossh.Client, error) {
	if auth == nil {
		auth = []gossh.AuthMethod{gossh.Password(password)}
	}
	c, err := gossh.Dial("tcp", n.addr, &gossh.ClientConfig{
		User: user, Auth: auth, HostKeyCallback: gossh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second,
	})
	if err == nil {
		n.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

type auditLog struct {
	mu    sync.Mutex
	lines []string
	fails bool
}

func (a *auditLog) Audit(user, _, command, verdict string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fails {
		return errors.New("the disk is full")
	}
	a.lines = append(a.lines, user+": "+command+": "+verdict)
	return nil
}

func (a *auditLog) has(line string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.lines {
		if l == line {
			return true
		}
	}
	return false
}

// fakeConsole knows "say TEXT", "fail", "ask" (one line of input), and "wait"
// (until the session ends).
type fakeConsole struct {
	mu      sync.Mutex
	waiting int
	ended   int
}

func (c *fakeConsole) Banner(context.Context) string { return "Parley at your service\n" }

func (c *fakeConsole) Exec(ctx context.Context, user account.User, _, line string, in io.Reader, out, errOut io.Writer) int {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "say":
		fmt.Fprintf(out, "%s says %s\n", user.Name, rest)
		return 0
	case "ask":
		fmt.Fprintln(errOut, "Answer")
		answer, err := readLine(in)
		fmt.Fprintf(out, "answer %q %v\n", answer, err)
		return 0
	case "wait":
		fmt.Fprintln(out, "waiting")
		c.count(&c.waiting)
		<-ctx.Done()
		c.count(&c.ended)
		return 0
	}
	fmt.Fprintln(out, "FAILURE: no; do otherwise")
	return 1
}

func (c *fakeConsole) count(n *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n++
}

func (c *fakeConsole) counts() (waiting, ended int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting, c.ended
}

// Interactive tells the window's size at first and at each change, and echoes
// lines until "exit".
func (c *fakeConsole) Interactive(ctx context.Context, user account.User, _ string, t mmp.Terminal) error {
	size := func() {
		w, h := t.Size()
		fmt.Fprintf(t, "size %dx%d\r\n", w, h)
	}
	fmt.Fprintf(t, "hello %s %v\r\n", user.Name, user.MustChange)
	size()
	input := make(chan string)
	go func() {
		defer close(input)
		b := make([]byte, 100)
		for {
			n, err := t.Read(b)
			if n > 0 {
				input <- string(b[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	defer func() {
		t.(io.Closer).Close()
		for range input {
		}
	}()
	line := ""
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.Resized():
			size()
		case text, ok := <-input:
			if !ok {
				return nil
			}
			line += text
			if strings.HasSuffix(line, "\r") {
				if line == "exit\r" {
					return nil
				}
				fmt.Fprintf(t, "got %q\r\n", line)
				line = ""
			}
		}
	}
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
