package pid1

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"parley/services/durable"
)

// power is a request to stop the machine.
type power struct {
	off bool
	// why is for the console and the log: "power button".
	why string
}

func (p power) String() string {
	if p.off {
		return "power off: " + p.why
	}
	return "reboot: " + p.why
}

// signals are how the kernel and the programs poweroff and reboot ask.
// SIGINT is Ctrl-Alt-Del (reboot(2), LINUX_REBOOT_CMD_CAD_OFF).
var signals = map[os.Signal]power{
	unix.SIGINT:  {false, "Ctrl-Alt-Del"},
	unix.SIGTERM: {false, "reboot command"},
	unix.SIGUSR1: {true, "poweroff command"},
	unix.SIGUSR2: {true, "poweroff command"},
	unix.SIGPWR:  {true, "power failure"},
}

// catch makes the signals requests. Those that would end a process are caught
// as well, to no effect: PID 1 must not end. None is ignored, as that would be
// inherited by the services.
func catch() chan os.Signal {
	c := make(chan os.Signal, 8)
	signal.Notify(c, unix.SIGINT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPWR, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE)
	return c
}

// Deadlines of a stop.
const (
	syncWait    = 15 * time.Second
	unmountWait = 5 * time.Second
	// stopWait bounds the whole: services have at most 15 s each.
	stopWait = 90 * time.Second
)

// ask requests a stop; the first request wins and is false for the others.
func (i *Init) ask(p power) bool {
	select {
	case i.requests <- p:
		i.stop(p)
		return true
	default:
		return false
	}
}

// stop ends ctx of Run with the request as its cause.
func (i *Init) stop(p power) { i.cancel(stopping{p}) }

// stopping is the cause of a context that ended because the machine stops.
type stopping struct{ power }

func (s stopping) Error() string { return s.String() }

// down is the end of everything, after the services have stopped: the state
// partition is written and left, and the machine is off or starts again. It
// returns only where the kernel refuses.
func (i *Init) down(p power) error {
	i.kernel.KillAll()
	if i.mounted.Load() {
		end := i.phases.begin("state")
		if err := durable.WriteFile(i.statePath(cleanMark), []byte(p.String()+"\n"), 0o640); err != nil {
			i.log.Error("mark the shutdown clean", "err", err)
		}
		i.journal.close()
		end(i.unmount())
	}
	within(syncWait, i.kernel.Sync)
	i.phases.say(p.String())
	if p.off {
		return i.kernel.PowerOff()
	}
	return i.kernel.Restart()
}

// unmount leaves the state partition, or makes it read-only where something
// still holds it. What it returns is for people.
func (i *Init) unmount() string {
	if !within(syncWait, i.kernel.Sync) {
		return "the disk does not answer; some of the last changes may be lost"
	}
	deadline := time.Now().Add(unmountWait)
	for {
		err := i.kernel.Unmount(i.cfg.Paths.State)
		if err == nil {
			return "unmounted"
		}
		if time.Now().After(deadline) {
			if ro := i.kernel.Mount("", i.cfg.Paths.State, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); ro == nil {
				return fmt.Sprintf("cannot be unmounted (%v); made read-only", err)
			}
			return fmt.Sprintf("cannot be unmounted: %v; the next start checks it", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// within runs f and says whether it was done in time; if not, it goes on.
func within(d time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// limit makes sure that a stop ends: past stopWait the machine goes down as
// it is.
func (i *Init) limit(ctx context.Context, p power) {
	timer := time.NewTimer(stopWait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
		i.phases.say("the stop takes too long; going down now")
		within(syncWait, i.kernel.Sync)
		if p.off {
			_ = i.kernel.PowerOff()
		}
		_ = i.kernel.Restart()
	}
}
