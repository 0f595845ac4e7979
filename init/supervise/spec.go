// Package supervise runs the services of the appliance: each a process of its
// own, started in order, started anew with exponential back-off when it ends,
// stopped in reverse order. It reaps what they leave behind. It knows nothing
// of what the services do.
package supervise

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec says how a service runs. It is not changed once given.
type Spec struct {
	Name string
	// Path is the program, Args its arguments from argv[0] on.
	Path string
	Args []string
	Env  []string

	UID, GID uint32
	Groups   []uint32
	// Capabilities are all that the process and its children can ever have
	// (capabilities(7)): the bounding set, and the ambient set for a uid
	// other than 0.
	Capabilities []uintptr
	// Memory and Tasks bound the service's control group; 0 is no bound.
	Memory int64
	Tasks  int
	// OOMScore is oom_score_adj: who goes first when the machine itself is
	// out of memory.
	OOMScore int
	// TTY, if set, is the controlling terminal, stdin and stdout.
	TTY string
	// Await, if set, is a file of another service (its socket) that the
	// first start waits for, a bounded time: a wish, not a condition.
	Await string
	// Session says that ending is what the service is for, as at a logout:
	// it is started again at once.
	Session bool
	// Audit says that its lines may go into the audit log.
	Audit bool
	// StopWait is what it gets between SIGTERM and the kill.
	StopWait time.Duration
}

// Exit is how a process ended.
type Exit struct {
	Code   int
	Signal unix.Signal
	// OOM says that it ran into its memory bound.
	OOM bool
}

func exitOf(w syscall.WaitStatus) Exit {
	if w.Signaled() {
		return Exit{Signal: w.Signal()}
	}
	return Exit{Code: w.ExitStatus()}
}

// String is for people.
func (e Exit) String() string {
	switch {
	case e.OOM:
		return "out of memory"
	case e.Signal != 0:
		return "killed by " + unix.SignalName(e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// Process is a service that runs.
type Process interface {
	PID() int
	// Wait returns when the process has ended and nothing that it started
	// is left. It is called once.
	Wait() Exit
	// Terminate asks it to end.
	Terminate()
	// Abort ends it with a trace of what it was doing, which is how a Go
	// program answers SIGQUIT.
	Abort()
	// Kill ends it and all that it started.
	Kill()
}

// Launcher starts services; *Host does so on the machine.
type Launcher interface {
	Launch(Spec) (Process, error)
}
