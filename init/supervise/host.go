package supervise

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Host launches services on this machine.
type Host struct {
	Reaper *Reaper
	// Cgroups is where cgroup2 is mounted; empty runs services without
	// control groups, each a session of its own.
	Cgroups string
	// Output gets each line that a service writes to stderr (and stdout,
	// unless that is a terminal). It is called by one goroutine a service.
	Output func(spec Spec, line string)
	// Guard wraps each goroutine.
	Guard func(func())
}

var _ Launcher = (*Host)(nil)

// maxOutput bounds a line of a service; a longer one is several.
const maxOutput = 8 << 10

// Launch implements Launcher.
func (h *Host) Launch(spec Spec) (Process, error) {
	cmd := &exec.Cmd{Path: spec.Path, Args: spec.Args, Env: spec.Env, Dir: "/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: spec.UID, Gid: spec.GID, Groups: spec.Groups}
		if spec.UID != 0 {
			cmd.SysProcAttr.AmbientCaps = spec.Capabilities
		}
	}
	p := &process{h: h, spec: spec, drained: make(chan struct{})}
	if h.Cgroups != "" {
		g, err := newGroup(h.Cgroups, spec)
		if err != nil {
			return nil, err
		}
		p.group = g
		dir, err := os.Open(g.dir)
		if err != nil {
			return nil, fmt.Errorf("open control group: %w", err)
		}
		defer dir.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe for %s: %w", spec.Name, err)
	}
	defer write.Close()
	cmd.Stdout, cmd.Stderr = write, write
	if spec.TTY != "" {
		tty, err := openTTY(spec.TTY)
		if err != nil {
			read.Close()
			return nil, err
		}
		defer tty.Close()
		cmd.Stdin, cmd.Stdout = tty, tty
		// Ctty is a descriptor of the child: its stdin.
		cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, 0
	}
	if err := h.startConfined(cmd, spec); err != nil {
		read.Close()
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	p.Process = cmd.Process
	// Too late for the first instructions, early enough for any memory.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.Pid), []byte(strconv.Itoa(spec.OOMScore)), 0); err != nil && spec.OOMScore < 0 && os.Geteuid() == 0 {
		h.Output(spec, "oom_score_adj: "+err.Error())
	}
	go h.Guard(func() {
		defer close(p.drained)
		h.collect(spec, read)
	})
	return p, nil
}

// startConfined starts cmd from a thread that has set no_new_privs and has
// given up the capabilities that spec does not name. Both belong to a thread
// and are inherited by what it forks, so the service never runs without them,
// and needs no wrapper. The goroutine ends locked to the thread, which ends it
// too: no other goroutine runs on it. (The runtime starts no thread from a
// locked one.) The process's first thread never ends, so it is not used.
func (h *Host) startConfined(cmd *exec.Cmd, spec Spec) error {
	result := make(chan error, 1)
	go h.Guard(func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// While it is held here, another goroutine has another thread.
			defer runtime.UnlockOSThread()
			result <- h.startConfined(cmd, spec)
			return
		}
		result <- func() error {
			if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
				return fmt.Errorf("no_new_privs: %w", err)
			}
			if os.Geteuid() == 0 {
				if err := bound(spec.Capabilities); err != nil {
					return err
				}
			}
			return h.Reaper.Start(cmd)
		}()
	})
	return <-result
}

// bound drops all capabilities but keep from the thread's bounding set.
func bound(keep []uintptr) error {
	for c := uintptr(0); ; c++ {
		if _, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0); err != nil {
			// EINVAL: past the last one that this kernel knows.
			return nil
		}
		kept := false
		for _, k := range keep {
			kept = kept || k == c
		}
		if kept {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
}

// collect passes lines on until the last process that holds the pipe is gone.
func (h *Host) collect(spec Spec, r *os.File) {
	defer r.Close()
	in := bufio.NewReaderSize(r, maxOutput)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			if line[len(line)-1] == '\n' {
				line = line[:len(line)-1]
			}
			h.Output(spec, string(line))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// process is a service on this machine.
type process struct {
	*os.Process
	h     *Host
	spec  Spec
	group *group
	// drained is closed when the output has been read to its end.
	drained chan struct{}
}

func (p *process) PID() int { return p.Pid }

func (p *process) Wait() Exit {
	state, err := p.h.Reaper.Wait(p.Process)
	var e Exit
	if err != nil {
		e = Exit{Code: -1}
	} else {
		e = exitOf(state.Sys().(syscall.WaitStatus))
	}
	// What it started goes with it, else the next start would find its
	// ports and files taken.
	p.killRest()
	if p.group != nil {
		e.OOM = p.group.oomKilled()
		p.group.remove()
	}
	select {
	case <-p.drained:
	case <-time.After(time.Second):
		// A process outside the control group holds the pipe.
	}
	return e
}

func (p *process) Terminate() { _ = p.Signal(unix.SIGTERM) }

func (p *process) Abort() { _ = p.Signal(unix.SIGQUIT) }

func (p *process) Kill() {
	_ = p.Process.Kill()
	p.killRest()
}

// killRest kills what is left of the service. Without a control group that is
// its process group, whose number nobody else has while a member lives.
func (p *process) killRest() {
	if p.group != nil {
		p.group.kill()
		return
	}
	_ = unix.Kill(-p.Pid, unix.SIGKILL)
}
