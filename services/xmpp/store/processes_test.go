package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"parley/services/problem"
	"parley/services/xmpp/link"
)

// faultTiming is short, as nobody calls Campaign in these tests.
var faultTiming = Timing{Heartbeat: 200 * time.Millisecond}

// member is a child's part: a node of a group that does as its standard input
// says, and writes what it acknowledges.
func member(dir string) error {
	addr := os.Getenv("PARLEY_STORE_ADDR")
	if os.Getenv("PARLEY_STORE_FIRST") == "" {
		if _, err := CreateMember(dir); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	tr, err := raft.NewTCPTransport(addr, nil, 3, time.Second, io.Discard)
	if err != nil {
		return err
	}
	s := New(Config{Dir: dir, Timing: faultTiming}, Deps{Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Transport: tr})
	if err := s.Open(); err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Run(context.Background()) }()
	say := func(format string, args ...any) { os.Stdout.WriteString(fmt.Sprintf(format, args...) + "\n") }
	say("id %s", s.State().ID)
	writing := false
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			var what, a, b string
			fmt.Sscan(in.Text(), &what, &a, &b)
			var err error
			switch what {
			case "address":
				if err = s.WaitReady(ctx); err == nil {
					err = s.Address(ctx, a)
				}
				if err == nil {
					_, err = s.Apply(ctx, &AccountAdd{Name: "ada"})
				}
			case "learn":
				if err = s.AddLearner(ctx, a, b); err == nil {
					err = s.Promote(ctx, a)
				}
			case "write":
				var size, writers int
				fmt.Sscan(a, &writers)
				fmt.Sscan(b, &size)
				for w := 0; w < writers && !writing; w++ {
					go writeAsLeader(s, os.Getenv("PARLEY_STORE_RUN"), byte(w), size)
				}
				writing = true
			case "limit":
				var n uint64
				fmt.Sscan(a, &n)
				err = limit(n)
			case "state":
			}
			cancel()
			if err != nil {
				say("err %v", err)
			} else {
				st := s.State()
				say("ok %s %d %d", st.Role, st.AppliedIndex, st.LastIndex)
			}
		}
		os.Exit(0)
	}()
	return <-failed
}

// writeAsLeader puts numbered messages, whenever this node leads.
func writeAsLeader(s *Store, run string, w byte, size int) {
	var id link.SessionID
	copy(id[:], run)
	id[15] = w
	for seq := uint64(1); ; {
		text := fmt.Sprintf("%s.%d %d", run, w, seq)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		rs, err := s.Apply(ctx, &MessagePut{Account: "ada", Session: id, Seq: seq, Stanza: append([]byte(text+" "), make([]byte, size)...)})
		cancel()
		switch {
		case err == nil && rs[0].Err == nil:
			os.Stdout.WriteString("ack " + text + "\n")
			seq++
		case problem.CodeOf(err) == problem.NoLeader, problem.CodeOf(err) == problem.StoreFull, errors.Is(err, ErrOutcome):
			time.Sleep(5 * time.Millisecond)
		default:
			fmt.Fprintln(os.Stderr, "write:", err)
			os.Exit(1)
		}
	}
}

// processes is a group of child processes.
type processes struct {
	t    *testing.T
	all  []*process
	runs int

	mu sync.Mutex
	// acked is the highest number acknowledged, by run and writer.
	acked map[string]uint64
	acks  int
}

type process struct {
	dir, addr string
	cmd       *exec.Cmd
	in        io.WriteCloser
	lines     chan string
	stderr    *strings.Builder
	id        string
}

func newProcesses(t *testing.T, size int) *processes {
	ps := &processes{t: t, acked: map[string]uint64{}}
	for i := range size {
		p := &process{dir: filepath.Join(t.TempDir(), "xmpp"), addr: tcp{}.address(t, i)}
		ps.all = append(ps.all, p)
		ps.start(p, i == 0)
		if i == 0 {
			ps.must(p, "address "+p.addr)
		} else {
			ps.onLeader("learn " + p.id + " " + p.addr)
		}
	}
	t.Cleanup(func() {
		for _, p := range ps.all {
			ps.kill(p)
		}
	})
	return ps
}

func (ps *processes) start(p *process, first bool) {
	ps.t.Helper()
	ps.runs++
	env := []string{"PARLEY_STORE_DIR=" + p.dir, "PARLEY_STORE_ADDR=" + p.addr, fmt.Sprintf("PARLEY_STORE_RUN=run%d", ps.runs)}
	if first {
		env = append(env, "PARLEY_STORE_FIRST=1")
	}
	p.cmd = child(ps.t, "member", env...)
	p.stderr = &strings.Builder{}
	p.cmd.Stderr = p.stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.in, err = p.cmd.StdinPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		ps.t.Fatal(err)
	}
	lines := make(chan string, 100)
	p.lines = lines
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			var who string
			var seq uint64
			if n, _ := fmt.Sscanf(in.Text(), "ack %s %d", &who, &seq); n == 2 {
				ps.mu.Lock()
				ps.acked[who] = seq
				ps.acks++
				ps.mu.Unlock()
				continue
			}
			lines <- in.Text()
		}
	}()
	line, ok := ps.line(p)
	if !ok || !strings.HasPrefix(line, "id ") {
		ps.t.Fatalf("child says %q\n%s", line, p.stderr)
	}
	p.id = line[3:]
}

func (ps *processes) line(p *process) (string, bool) {
	select {
	case l, ok := <-p.lines:
		return l, ok
	case <-time.After(time.Minute):
		return "", false
	}
}

// do sends a command and returns the answer.
func (ps *processes) do(p *process, cmd string) string {
	io.WriteString(p.in, cmd+"\n")
	l, _ := ps.line(p)
	return l
}

func (ps *processes) must(p *process, cmd string) string {
	ps.t.Helper()
	l := ps.do(p, cmd)
	if !strings.HasPrefix(l, "ok ") {
		ps.t.Fatalf("%s: %q\n%s", cmd, l, p.stderr)
	}
	return l
}

func (ps *processes) kill(p *process) {
	if p.cmd != nil {
		p.cmd.Process.Signal(syscall.SIGKILL)
		p.cmd.Wait()
		p.cmd = nil
	}
}

func (ps *processes) count() int {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.acks
}

// progress waits until n more are acknowledged.
func (ps *processes) progress(n int) {
	ps.t.Helper()
	want := ps.count() + n
	for deadline := time.Now().Add(2 * time.Minute); ps.count() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			for _, p := range ps.all {
				if p.cmd != nil {
					ps.t.Log(ps.do(p, "state"), "\n", p.stderr)
				}
			}
			ps.t.Fatalf("stuck at %d of %d", ps.count(), want)
		}
	}
}

// onLeader repeats a command, which may be done twice, on whoever leads until
// it succeeds, and says on which that was.
func (ps *processes) onLeader(cmd string) *process {
	ps.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for _, p := range ps.all {
			if strings.HasPrefix(ps.do(p, "state"), "ok LEADER") && strings.HasPrefix(ps.do(p, cmd), "ok ") {
				return p
			}
		}
	}
	ps.t.Fatal("no leader does: ", cmd)
	return nil
}

func (ps *processes) leader() *process {
	ps.t.Helper()
	return ps.onLeader("state")
}

func (ps *processes) write(writers, size int) {
	for _, p := range ps.all {
		ps.must(p, fmt.Sprintf("write %d %d", writers, size))
	}
}

// check ends the processes and checks that each node has all that was
// acknowledged, once and in order.
func (ps *processes) check() {
	ps.t.Helper()
	g := &group{t: ps.t}
	for _, p := range ps.all {
		ps.kill(p)
		g.nodes = append(g.nodes, &node{net: tcp{}, cfg: Config{Dir: p.dir, Timing: faultTiming}, addr: p.addr})
	}
	for _, n := range g.nodes {
		n.boot(ps.t)
	}
	total := uint64(0)
	for i, got := range g.inboxes() {
		total = 0
		for who, seq := range ps.acked {
			if got[who] < seq {
				ps.t.Errorf("%s: %s has %d; %d are acknowledged", g.nodes[i].addr, who, got[who], seq)
			}
		}
		for _, seq := range got {
			total += seq
		}
	}
	ps.t.Logf("%d acknowledged, %d on each node", ps.acks, total)
}
