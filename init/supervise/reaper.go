package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Reaper buries the orphans that PID 1 inherits without taking the exit status
// of the processes that it started itself. Everything that PID 1 executes goes
// through one Reaper.
//
// Invariant: mu is held from before a process is started until it is in owned,
// and whenever a dead child is looked at and reaped. So a child that dies at
// once is never taken for an orphan, and what is reaped here was never owned.
type Reaper struct {
	mu    sync.Mutex
	owned map[int]bool
	// again asks for another pass: an owned process that was in the way of
	// the ones behind it has been waited for.
	again chan struct{}
}

// NewReaper returns a reaper; Run makes it work.
func NewReaper() *Reaper {
	return &Reaper{owned: map[int]bool{}, again: make(chan struct{}, 1)}
}

// Run reaps until ctx ends.
func (r *Reaper) Run(ctx context.Context) {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	defer signal.Stop(died)
	for {
		for r.reapOne() {
		}
		select {
		case <-ctx.Done():
			return
		case <-died:
		case <-r.again:
		}
	}
}

// reapOne reaps one orphan. It is false where there is none to see now: either
// none is left, or an owned process is first in the kernel's list, whose Wait
// will ask for another pass.
func (r *Reaper) reapOne() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if errors.Is(err, unix.EINTR) {
		return true
	}
	pid := deadPID(&info)
	if err != nil || pid == 0 || r.owned[pid] {
		return false
	}
	_, err = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	return err == nil || errors.Is(err, unix.EINTR)
}

// deadPID is si_pid, which x/sys keeps in its padding: after three ints and, on
// 64-bit machines, the alignment of the union.
func deadPID(info *unix.Siginfo) int {
	offset := (3*unsafe.Sizeof(int32(0)) + unsafe.Alignof(uintptr(0)) - 1) &^ (unsafe.Alignof(uintptr(0)) - 1)
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), offset)))
}

// Start starts cmd and keeps its exit status for Wait. Its streams must be
// files: Wait does not copy.
func (r *Reaper) Start(cmd *exec.Cmd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	r.owned[cmd.Process.Pid] = true
	return nil
}

// Wait waits for a process that Start started, once.
func (r *Reaper) Wait(p *os.Process) (*os.ProcessState, error) {
	state, err := p.Wait()
	r.mu.Lock()
	delete(r.owned, p.Pid)
	r.mu.Unlock()
	select {
	case r.again <- struct{}{}:
	default:
	}
	if err != nil {
		return nil, fmt.Errorf("wait for process %d: %w", p.Pid, err)
	}
	return state, nil
}
