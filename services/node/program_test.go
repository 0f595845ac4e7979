package node_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/services/diagnosis"
	"parley/services/network/loopback"
	"parley/services/node"
	"parley/services/xmpp/faults"
)

// made is what the program under test is made of, which the test's own has in it
// for this: a change has go test run anew.
var made = node.Run

// parley is the program under test, built once.
var parley string

// place is what a test may do to network, disks and clocks: nothing, unless
// it was run again, in namespaces of its own.
var (
	place faults.Place
	again bool
)

// binaryEnv names the program under test; without it one is built.
const binaryEnv = "PARLEY_BINARY"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	runtime.KeepAlive(made)
	var err error
	if place, again, err = faults.Inside(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if parley = os.Getenv(binaryEnv); parley == "" {
		dir, err := os.MkdirTemp("", "parley")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		parley = filepath.Join(dir, "parley")
		if err := faults.Build(context.Background(), parley); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// program is a node in a process of its own.
type program struct {
	t       *testing.T
	state   string
	address string
	sshPort int
	// prefix are words that run a program on the node's own machine, if it has
	// one, and dial connects from there.
	prefix []string
	dial   func(ctx context.Context, addr string) error
	cmd    *exec.Cmd
	log    *os.File
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
	p := &program{t: t, state: state, address: loopback.Address().String(), sshPort: loopback.Port(t), dial: diagnosis.Dial, log: log}
	t.Cleanup(func() {
		p.kill()
		log.Close()
		if t.Failed() {
			data, _ := os.ReadFile(log.Name())
			syslog, _ := os.ReadFile(filepath.Join(p.state, "log", "syslog"))
			t.Logf("output of the node:\n%s\nsyslog:\n%s", data, syslog)
		}
		os.RemoveAll(state)
	})
	return p
}

// start runs the node until it answers its console, and returns how long that
// took. One that is up stays as it is: a second process would end, and the first
// be nobody's.
func (p *program) start() time.Duration {
	p.t.Helper()
	if p.cmd != nil {
		return 0
	}
	words := append(slices.Clone(p.prefix), parley, "run", "-state", p.state, "-a", p.address, "-ssh-port", fmt.Sprint(p.sshPort))
	p.cmd = exec.Command(words[0], words[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	begun := time.Now()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	for {
		if out, status := p.try("", "xmpp", "status"); status == 0 {
			return time.Since(begun)
		} else if time.Since(begun) > time.Minute {
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
	words := append(append(slices.Clone(p.prefix), parley), args...)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return b.String(), cmd.ProcessState.ExitCode()
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
	out, status := p.command("", "run", "-state", p.state, "-a", p.address, "-ssh-port", fmt.Sprint(loopback.Port(t)))
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
