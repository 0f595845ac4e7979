package pid1

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"parley/init/module"
	"parley/init/state"
	"parley/init/supervise"
)

// Kernel is the edge to the running kernel; all that init does to the machine
// other than by files goes through it. Tests have another.
type Kernel interface {
	module.Kernel
	Mount(source, target, fstype string, flags uintptr, data string) error
	Unmount(target string) error
	// Sync writes everything to the disks; it may take long.
	Sync()
	// Randomness returns when the kernel's random numbers are good.
	Randomness() error
	SetHostname(name string) error
	// LoopbackUp switches the interface lo on.
	LoopbackUp() error
	// KillAll kills every process but this one.
	KillAll()
	// Restart and PowerOff do not return when they work.
	Restart() error
	PowerOff() error
	// Uptime is the time since the kernel started.
	Uptime() time.Duration
}

// linux is the running kernel.
type linux struct{ module.Running }

var _ Kernel = linux{}

func (linux) Mount(source, target, fstype string, flags uintptr, data string) error {
	return unix.Mount(source, target, fstype, flags, data)
}

func (linux) Unmount(target string) error { return unix.Unmount(target, 0) }

func (linux) Sync() { unix.Sync() }

func (linux) Randomness() error {
	for {
		var b [1]byte
		_, err := unix.Getrandom(b[:], 0)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (linux) SetHostname(name string) error { return unix.Sethostname([]byte(name)) }

func (linux) LoopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

func (linux) KillAll() { _ = unix.Kill(-1, unix.SIGKILL) }

func (linux) Restart() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) }

func (linux) PowerOff() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) }

func (linux) Uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// tools is state.Tools on this machine.
type tools struct {
	kernel Kernel
	reaper *supervise.Reaper
	fsck   string
	target string
	// scratch is a folder for the output of e2fsck.
	scratch string
	// progress tells the consoles how far a format is.
	progress func(string)
}

var _ state.Tools = (*tools)(nil)

// maxFsckOutput bounds what is kept of e2fsck's output: the last of it.
const maxFsckOutput = 256 << 10

// Fsck runs e2fsck to its end, whatever happens to ctx: a repair that is cut
// off leaves more damage than it found.
func (t *tools) Fsck(_ context.Context, args ...string) (int, []string, error) {
	out, err := os.CreateTemp(t.scratch, "fsck-*")
	if err != nil {
		return 0, nil, fmt.Errorf("keep the output of e2fsck: %w", err)
	}
	defer out.Close()
	defer os.Remove(out.Name())
	cmd := &exec.Cmd{Path: t.fsck, Args: append([]string{"e2fsck"}, args...), Stdout: out, Stderr: out, Env: []string{"PATH=/sbin:/bin"}}
	if err := t.reaper.Start(cmd); err != nil {
		return 0, nil, fmt.Errorf("start e2fsck: %w", err)
	}
	end, err := t.reaper.Wait(cmd.Process)
	if err != nil {
		return 0, nil, err
	}
	var lines []string
	if fi, err := out.Stat(); err == nil {
		text := make([]byte, min(fi.Size(), maxFsckOutput))
		n, _ := out.ReadAt(text, fi.Size()-int64(len(text)))
		for l := range strings.FieldsFuncSeq(string(text[:n]), func(r rune) bool { return r == '\n' || r == '\r' }) {
			lines = append(lines, l)
		}
	}
	code := end.ExitCode()
	if code < 0 {
		return 0, lines, errors.New("e2fsck was killed")
	}
	return code, lines, nil
}

// MountState mounts for safety first: a file system that finds itself damaged
// turns read-only rather than go on, and nothing on it is ever executed.
// Write barriers and ordered data are ext4's defaults.
func (t *tools) MountState(device string) error {
	return t.kernel.Mount(device, t.target, "ext4", unix.MS_NOATIME|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, "errors=remount-ro")
}

func (t *tools) Format(ctx context.Context, p state.Partition) error {
	last := -1
	return state.FormatDevice(ctx, p, func(part float64) {
		if tenth := int(part * 10); tenth != last {
			last = tenth
			t.progress(fmt.Sprintf("state: formatting %s, %d %%", p.Name, tenth*10))
		}
	})
}
