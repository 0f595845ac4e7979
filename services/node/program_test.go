package node_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/services/node"
)

// made is what the program under test is made of, which the test's own has in it
// for this: a change has go test run anew.
var made = node.Run

// parley is the program under test, built once.
var parley string

func TestMain(m *testing.M) {
	runtime.KeepAlive(made)
	dir, err := os.MkdirTemp("", "parley")
	if err != nil {
		panic(err)
	}
	parley = filepath.Join(dir, "parley")
	build := exec.Command("go", "build", "-o", parley, "parley/cmd/parley")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	status := 1
	if err := build.Run(); err == nil {
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// lastAddress gives each node of a test run an address of its own.
var lastAddress atomic.Uint32

// program is a node in a process of its own.
type program struct {
	t       *testing.T
	state   string
	address string
	sshPort int
	cmd     *exec.Cmd
	log     *os.File
}

// newProgram returns a node that has not started yet.
func newProgram(t *testing.T) *program {
	t.Helper()
	// Socket paths are short: t.TempDir has the test's name in it.
	state, err := os.MkdirTemp("", "node")
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, state: state, address: fmt.Sprintf("127.0.77.%d", 10+lastAddress.Add(1)), sshPort: freePort(t), log: log}
	t.Cleanup(func() {
		p.kill()
		log.Close()
		if t.Failed() {
			data, _ := os.ReadFile(log.Name())
			syslog, _ := os.ReadFile(filepath.Join(state, "log", "syslog"))
			t.Logf("output of the node:\n%s\nsyslog:\n%s", data, syslog)
		}
		os.RemoveAll(state)
	})
	return p
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start runs the node until it answers its console, and returns how long that
// took.
func (p *program) start() time.Duration {
	p.t.Helper()
	p.cmd = exec.Command(parley, "run", "-state", p.state, "-a", p.address, "-ssh-port", fmt.Sprint(p.sshPort))
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	begun := time.Now()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	for {
		if out, status := p.try("", "xmpp", "status"); status == 0 {
			return time.Since(begun)
		} else if time.Since(begun) > 30*time.Second {
			p.t.Fatalf("the node does not answer: %s", out)
		}
	}
}

// kill is SIGKILL: the node gets no chance to do anything.
func (p *program) kill() {
	if p.cmd != nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		p.cmd = nil
	}
}

// stop ends the node in order and returns its error.
func (p *program) stop() error {
	p.cmd.Process.Signal(os.Interrupt)
	err := p.cmd.Wait()
	p.cmd = nil
	return err
}

// try runs a console command with stdin and returns what it printed.
func (p *program) try(stdin string, words ...string) (out string, status int) {
	p.t.Helper()
	return p.command(stdin, append([]string{"mmp", "-state", p.state}, words...)...)
}

func (p *program) command(stdin string, args ...string) (out string, status int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, parley, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return b.String(), cmd.ProcessState.ExitCode()
}

// mmp is try for a command that must succeed.
func (p *program) mmp(words ...string) string {
	p.t.Helper()
	return p.mmpWith("", words...)
}

func (p *program) mmpWith(stdin string, words ...string) string {
	p.t.Helper()
	begun := time.Now()
	out, status := p.try(stdin, words...)
	if took := time.Since(begun); took > time.Second {
		p.t.Logf("%s on %s took %v", strings.Join(words, " "), p.address, took)
	}
	if status != 0 {
		p.t.Fatalf("%s: exit status %d\n%s", strings.Join(words, " "), status, out)
	}
	return out
}

// put copies files to the node.
func (p *program) put(files ...string) {
	p.t.Helper()
	if out, status := p.command("", append([]string{"put", "-state", p.state}, files...)...); status != 0 {
		p.t.Fatalf("put %v: exit status %d\n%s", files, status, out)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSecondNodeOfAFolderIsRefused(t *testing.T) {
	p := newProgram(t)
	p.start()
	out, status := p.command("", "run", "-state", p.state, "-a", p.address, "-ssh-port", fmt.Sprint(freePort(t)))
	if status != 1 || !strings.Contains(out, "already runs") {
		t.Errorf("a second node: exit status %d\n%s", status, out)
	}
	p.mmp("xmpp", "status")
}

func TestUsage(t *testing.T) {
	p := newProgram(t)
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		want   string
	}{
		{"nothing", nil, 2, "usage:"},
		{"unknown verb", []string{"start"}, 2, "usage:"},
		{"no state", []string{"run", "-a", p.address}, 2, "-state is missing"},
		{"no address", []string{"run", "-state", p.state}, 2, "-a takes the address"},
		{"bad address", []string{"run", "-state", p.state, "-a", "300.1.1.1"}, 2, "-a takes the address"},
		{"no node there", []string{"mmp", "-state", filepath.Join(p.state, "none"), "version"}, 1, "start one with 'parley run"},
		{"put of nothing", []string{"put", "-state", p.state, "absent.cer"}, 1, "parley run"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, status := p.command("", tt.args...)
			if status != tt.status || !strings.Contains(out, tt.want) {
				t.Errorf("parley %v: exit status %d; want %d, and %q in\n%s", tt.args, status, tt.status, tt.want, out)
			}
		})
	}
}
