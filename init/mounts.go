package pid1

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"parley/init/state"
	"parley/init/supervise"
)

// mount is one kernel file system.
type mount struct {
	fstype, target string
	flags          uintptr
	data           string
	// may says that the kernel may lack it, or its module.
	may bool
}

const strict = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

var (
	// early is what everything else needs.
	early = []mount{
		{"proc", "proc", strict, "", false},
		{"sysfs", "sys", strict, "", false},
		{"devtmpfs", "dev", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0755", false},
	}
	// late comes after the modules: some are the modules' own.
	late = []mount{
		{"devpts", "dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666", false},
		{"tmpfs", "dev/shm", strict, "mode=1777,size=16m", false},
		{"tmpfs", "run", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "mode=0755,size=16m", false},
		{"tmpfs", "tmp", strict, "mode=1777,size=64m", false},
		{"cgroup2", "sys/fs/cgroup", strict, "nsdelegate", false},
		{"pstore", "sys/fs/pstore", strict, "", true},
		{"efivarfs", "sys/firmware/efi/efivars", strict | unix.MS_RDONLY, "", true},
	}
)

func (i *Init) mountAll(list []mount) error {
	for _, m := range list {
		target := i.path(m.target)
		if !m.may {
			if err := os.MkdirAll(target, 0o755); err != nil {
				return fmt.Errorf("mount /%s: %w", m.target, err)
			}
		}
		// The kernel may have mounted devtmpfs already.
		if err := i.kernel.Mount(m.fstype, target, m.fstype, m.flags, m.data); err != nil && !m.may && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount /%s: %w", m.target, err)
		}
	}
	return nil
}

// mountLate makes the folders that services need in /run as well, and then the
// root file system read-only: what is not under /run, /tmp or /state is as it
// was built.
func (i *Init) mountLate() error {
	if err := i.mountAll(late); err != nil {
		return err
	}
	if err := supervise.EnableControllers(i.path("sys/fs/cgroup")); err != nil {
		return err
	}
	if err := os.MkdirAll(i.cfg.Paths.Run, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", i.cfg.Paths.Run, err)
	}
	run, err := os.Open(i.cfg.Paths.Run)
	if err != nil {
		return fmt.Errorf("share control sockets: %w", err)
	}
	defer run.Close()
	// Each service makes its socket there; the sticky bit keeps the others'.
	if err := i.deps.Own(run, 0, state.Parley, unix.S_ISVTX|0o770); err != nil {
		return fmt.Errorf("share %s: %w", i.cfg.Paths.Run, err)
	}
	if err := i.kernel.Mount("", i.path("."), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make / read-only: %w", err)
	}
	return nil
}

// settings are kernel parameters that differ from the kernel's defaults.
var settings = []struct{ file, value string }{
	// Errors and less stay off the consoles, where somebody may be typing;
	// they go to syslog.
	{"kernel/printk", "3 4 1 7"},
	// A dead init or a kernel bug is a reboot, with time to read why.
	{"kernel/panic", "10"},
	{"kernel/panic_on_oops", "1"},
	// Ctrl-Alt-Del is a signal to init, not a cut.
	{"kernel/ctrl-alt-del", "0"},
	{"kernel/sysrq", "0"},
	// The network service pings without raw sockets.
	{"net/ipv4/ping_group_range", "0 2147483647"},
	// Services that are taken over learn little of the kernel.
	{"kernel/dmesg_restrict", "1"},
	{"kernel/kptr_restrict", "2"},
	{"kernel/unprivileged_bpf_disabled", "1"},
}

// configure writes settings; one that this kernel does not have is reported
// and left out.
func (i *Init) configure() {
	for _, s := range settings {
		if err := os.WriteFile(i.path("proc/sys/"+s.file), []byte(s.value), 0o644); err != nil {
			i.log.Warn("kernel setting", "err", err)
		}
	}
}
