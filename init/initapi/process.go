package initapi

import (
	"context"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"parley/services/problem"
)

// Process stands in for init where a node is one ordinary process. All fields
// are set before its first call and not changed after.
type Process struct {
	Version string
	Started time.Time
	// State is the folder that outlives the process.
	State string
	// RestartAll stops the node's services and starts them again; End ends
	// the process in order. Neither waits for it.
	RestartAll, End func()
}

var _ API = (*Process)(nil)

// Status implements API; the services are goroutines and have no state of
// their own here.
func (p *Process) Status(context.Context) (Status, error) {
	return Status{Version: p.Version, Kernel: KernelRelease(), Booted: p.Started, Storage: p.State}, nil
}

// Restart implements API: there is no process to start anew.
func (p *Process) Restart(_ context.Context, service string) error {
	return problem.New(problem.NoSuchService, "service", service)
}

// Reboot implements API.
func (p *Process) Reboot(context.Context) error {
	p.RestartAll()
	return nil
}

// Poweroff implements API.
func (p *Process) Poweroff(context.Context) error {
	p.End()
	return nil
}

// KernelRelease is the running kernel's, as uname -r prints it.
func KernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return strings.TrimRight(string(u.Release[:]), "\x00")
}
