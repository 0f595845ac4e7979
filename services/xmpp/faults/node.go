package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"parley/services/config"
	"parley/services/xmpp/xmppapi"
)

// Node is a `parley run` process and its state folder.
type Node struct {
	Name    string
	Address string
	// API is the node's control socket.
	API *xmppapi.Client

	binary string
	state  string
	prefix []string
	disk   *Disk
	log    *os.File

	mu sync.Mutex
	// proc is the running process, nil while there is none.
	proc *process
	// apart says that the node is not in the cluster for now: it may well
	// refuse clients, and what it alone was told is not the cluster's.
	apart bool
	// fell are the ends that nobody asked for.
	fell []string
}

// process is one run of a node.
type process struct {
	cmd   *exec.Cmd
	clock Clock
	// wanted says that the end was asked for.
	wanted bool
	done   chan struct{}
}

func (n *Node) setApart(apart bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.apart = apart
}

func (n *Node) isApart() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.apart
}

// Client is the address of the client port.
func (n *Node) Client() string { return n.Address + ":5222" }

// Start runs the node until it answers its console.
func (n *Node) Start(ctx context.Context) error {
	args := append(append([]string{}, n.prefix...), n.binary, "run", "-state", n.state, "-a", n.Address)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = n.log, n.log
	fmt.Fprintf(n.log, "--- started %s\n", time.Now().Format(time.StampMilli))
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	p := &process{cmd: cmd, clock: Clock{PID: cmd.Process.Pid}, done: make(chan struct{})}
	n.mu.Lock()
	n.proc = p
	n.mu.Unlock()
	go func() {
		err := cmd.Wait()
		n.mu.Lock()
		if !p.wanted {
			n.fell = append(n.fell, fmt.Sprintf("%s ended by itself at %s: %v", n.Name, time.Now().Format(time.StampMilli), err))
		}
		if n.proc == p {
			n.proc = nil
		}
		n.mu.Unlock()
		close(p.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, err := n.API.Status(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start %s: it does not answer: %w", n.Name, err)
		case <-p.done:
			return fmt.Errorf("start %s: it ended at once: %s", n.Name, n.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// lastWords is the end of what the process printed.
func (n *Node) lastWords() string {
	b, _ := os.ReadFile(n.log.Name())
	return string(b[max(0, len(b)-2000):])
}

// Kill is SIGKILL: the node gets no chance to do anything.
func (n *Node) Kill() {
	n.mu.Lock()
	p := n.proc
	if p != nil {
		p.wanted = true
		p.cmd.Process.Kill()
	}
	n.mu.Unlock()
	if p != nil {
		<-p.done
	}
}

// signal sends one to the running process.
func (n *Node) signal(s syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return fmt.Errorf("%s does not run", n.Name)
	}
	return n.proc.cmd.Process.Signal(s)
}

// Freeze and Thaw stop the process and let it go on.
func (n *Node) Freeze() error { return n.signal(syscall.SIGSTOP) }
func (n *Node) Thaw() error   { return n.signal(syscall.SIGCONT) }

// SetClock moves the wall clock of the running process.
func (n *Node) SetClock(offset time.Duration) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return fmt.Errorf("%s does not run", n.Name)
	}
	return n.proc.clock.Set(offset)
}

// cpu is the time that the running process has used.
func (n *Node) cpu() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.proc.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The fields after the name in parentheses, in hundredths of a second.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var user, system int64
	fmt.Sscan(fields[11], &user)
	fmt.Sscan(fields[12], &system)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// console runs one command there and returns what it printed; stdin answers
// prompts.
func (n *Node) console(ctx context.Context, stdin string, words ...string) (string, error) {
	return n.program(ctx, stdin, append([]string{"mmp", "-state", n.state}, words...)...)
}

// put copies files to where SFTP would.
func (n *Node) put(ctx context.Context, files ...string) error {
	_, err := n.program(ctx, "", append([]string{"put", "-state", n.state}, files...)...)
	return err
}

func (n *Node) program(ctx context.Context, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.binary, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("no answer within a minute")
		}
		return string(out), fmt.Errorf("%s> %s: %w: %s", n.Name, strings.Join(args[3:], " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

func newNode(binary, name, address, state string, prefix []string, d *Disk) (*Node, error) {
	// Beside the folder: the log outlives a file system that is gone.
	log, err := os.OpenFile(state+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &Node{
		Name: name, Address: address, API: xmppapi.NewClient(config.FolderPaths(state).Socket("xmpp")),
		binary: binary, state: state, prefix: prefix, disk: d, log: log,
	}, nil
}
