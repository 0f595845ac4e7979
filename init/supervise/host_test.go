package supervise

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// reaping makes this process inherit orphans, as PID 1 does, and reaps them
// until the test ends.
func reaping(t *testing.T) *Reaper {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	r := NewReaper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

// children counts the children of this process, dead ones too.
func children(t *testing.T) int {
	t.Helper()
	n := 0
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tasks {
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		n += len(strings.Fields(string(data)))
	}
	return n
}

func TestReaperLosesNoStatus(t *testing.T) {
	r := reaping(t)
	const total, parallel = 1000, 16
	var next, wrong atomic.Int64
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > total {
					return
				}
				want := int(i % 256)
				// The orphan outlives its parent or dies before it, as it comes.
				cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("(exit 7) & (:) & exit %d", want))
				if err := r.Start(cmd); err != nil {
					t.Error(err)
					return
				}
				state, err := r.Wait(cmd.Process)
				if err != nil || state.ExitCode() != want {
					wrong.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := wrong.Load(); n != 0 {
		t.Errorf("%d of %d exit statuses lost or wrong; want none", n, total)
	}
	for deadline := time.Now().Add(time.Minute); children(t) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d zombies are left; want none", children(t))
		}
	}
}

// host launches without control groups and keeps the output.
func host(t *testing.T) (*Host, func() []string) {
	var mu sync.Mutex
	var lines []string
	return &Host{Reaper: reaping(t), Guard: plain, Output: func(_ Spec, l string) {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, l)
		}}, func() []string {
			mu.Lock()
			defer mu.Unlock()
			return lines
		}
}

func script(name, text string) Spec {
	return Spec{Name: name, Path: "/bin/sh", Args: []string{"sh", "-c", text}, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
}

func TestOutputIsCollectedByLine(t *testing.T) {
	h, lines := host(t)
	p, err := h.Launch(script("s", "echo one; echo two >&2; printf three; exit 4"))
	if err != nil {
		t.Fatal(err)
	}
	if e := p.Wait(); e != (Exit{Code: 4}) {
		t.Errorf("Wait = %v; want exit status 4", e)
	}
	if diff := cmp.Diff([]string{"one", "two", "three"}, lines()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestServiceIsConfinedAndInitIsNot(t *testing.T) {
	h, lines := host(t)
	spec := script("s", "cat /proc/self/status")
	spec.Capabilities = []uintptr{unix.CAP_NET_BIND_SERVICE}
	p, err := h.Launch(spec)
	if err != nil {
		t.Fatal(err)
	}
	p.Wait()
	got := map[string]string{}
	for _, l := range lines() {
		k, v, _ := strings.Cut(l, ":")
		got[k] = strings.TrimSpace(v)
	}
	if got["NoNewPrivs"] != "1" {
		t.Errorf("NoNewPrivs of the service = %q; want 1", got["NoNewPrivs"])
	}
	if os.Geteuid() == 0 && got["CapBnd"] != fmt.Sprintf("%016x", 1<<unix.CAP_NET_BIND_SERVICE) {
		t.Errorf("CapBnd of the service = %q; want CAP_NET_BIND_SERVICE alone", got["CapBnd"])
	}
	// The thread that was confined is gone or going; none other is.
	for deadline := time.Now().Add(30 * time.Second); confinedThreads(t) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a thread of this process keeps no_new_privs; want none")
		}
	}
}

func confinedThreads(t *testing.T) int {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range tasks {
		data, _ := os.ReadFile(f)
		if strings.Contains(string(data), "NoNewPrivs:\t1") {
			n++
		}
	}
	return n
}

func TestEndOfServiceEndsItsChildren(t *testing.T) {
	h, lines := host(t)
	p, err := h.Launch(script("s", "sleep 1000 & echo $!; exit 0"))
	if err != nil {
		t.Fatal(err)
	}
	p.Wait()
	l := lines()
	if len(l) != 1 {
		t.Fatalf("output = %q; want one pid", l)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat("/proc/" + l[0]); err != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("child %s outlives its service", l[0])
		}
	}
}

func TestKillEndsAStubbornService(t *testing.T) {
	h, lines := host(t)
	p, err := h.Launch(script("s", "trap '' TERM; echo ready; while :; do sleep 0.1; done"))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); len(lines()) == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	p.Terminate()
	p.Kill()
	if e := p.Wait(); e != (Exit{Signal: unix.SIGKILL}) {
		t.Errorf("Wait = %v; want killed by SIGKILL", e)
	}
}

func TestLaunchOfNoProgram(t *testing.T) {
	h, _ := host(t)
	if _, err := h.Launch(Spec{Name: "s", Path: "/nonexistent/program", Args: []string{"p"}, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}); err == nil {
		t.Error("Launch = nil error; want one")
	}
}
