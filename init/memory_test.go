package pid1

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"parley/init/initapi"
	"parley/init/state"
	"parley/init/supervise"
	"parley/services/config"
)

// machine is the edges of a machine in memory, with its files in a folder.
type machine struct {
	t    *testing.T
	root string

	mu     sync.Mutex
	calls  []string
	disks  []state.Partition
	refuse map[string]error
	events chan Event
	start  time.Time
	*supervise.Memory
}

var _ Kernel = (*machine)(nil)

// newMachine lays out what the kernel and the image would have there. No tty
// exists: there is nobody at the consoles.
func newMachine(t *testing.T) *machine {
	m := &machine{t: t, root: t.TempDir(), events: make(chan Event), start: time.Now(), refuse: map[string]error{}, Memory: &supervise.Memory{}}
	m.file("lib/modules/"+initapi.KernelRelease()+"/modules.dep", "kernel/ext4.ko:\nkernel/virtio_blk.ko:\nkernel/late.ko:\n")
	m.file("lib/modules/"+initapi.KernelRelease()+"/modules.alias", "alias fs-ext4 ext4\nalias virtio:d00000002v* virtio_blk\nalias usb:v1* late\n")
	m.file("sys/class/tty/console/active", "tty0 ttyS0\n")
	m.file("sys/bus/virtio/devices/virtio0/modalias", "virtio:d00000002v00001AF4\n")
	m.file("sys/fs/cgroup/cgroup.subtree_control", "")
	m.file("run/parley/network.sock", "")
	m.file("proc/meminfo", "MemTotal:        1000000 kB\n")
	for _, s := range settings {
		m.file("proc/sys/"+s.file, "")
	}
	for _, d := range []string{"tmp", "state", "run"} {
		if err := os.MkdirAll(filepath.Join(m.root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *machine) file(name, text string) {
	m.t.Helper()
	p := filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) config() Config {
	return Config{
		Version: "1.2", Root: m.root, Programs: "/bin", Fsck: "sbin/e2fsck", Group: -1,
		Paths: config.Paths{State: filepath.Join(m.root, "state"), Run: filepath.Join(m.root, "run/parley")},
	}
}

func (m *machine) deps() Deps {
	return Deps{
		Kernel: m, Events: (*memoryEvents)(m), Launcher: m.Memory,
		Own: func(*os.File, int, int, uint32) error { return nil },
		Disks: func() []state.Partition {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.disks
		},
	}
}

// note records a call and returns what it is to return.
func (m *machine) note(format string, args ...any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	call := strings.ReplaceAll(fmt.Sprintf(format, args...), m.root, "")
	m.calls = append(m.calls, call)
	for prefix, err := range m.refuse {
		if strings.HasPrefix(call, prefix) {
			return err
		}
	}
	return nil
}

// done returns the calls that begin with one of prefixes, in order.
func (m *machine) done(prefixes ...string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, c := range m.calls {
		for _, p := range prefixes {
			if strings.HasPrefix(c, p) {
				out = append(out, c)
				break
			}
		}
	}
	return out
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 20 s: %s", what)
		}
	}
}

func (m *machine) InsertModule(file string) error { return m.note("insmod %s", filepath.Base(file)) }

func (m *machine) Mount(source, target, fstype string, flags uintptr, _ string) error {
	if flags&unix.MS_REMOUNT != 0 {
		return m.note("remount %s ro=%v", target, flags&unix.MS_RDONLY != 0)
	}
	return m.note("mount %s %s %s", fstype, source, target)
}

func (m *machine) Unmount(target string) error { return m.note("umount %s", target) }

func (m *machine) Sync() { _ = m.note("sync") }

func (m *machine) Randomness() error { return m.note("random") }

func (m *machine) SetHostname(name string) error { return m.note("hostname %s", name) }

func (m *machine) LoopbackUp() error { return m.note("lo up") }

func (m *machine) KillAll() { _ = m.note("killall") }

func (m *machine) Restart() error { return m.note("restart") }

func (m *machine) PowerOff() error { return m.note("poweroff") }

func (m *machine) Uptime() time.Duration { return time.Since(m.start) }

// memoryEvents is the machine as Events.
type memoryEvents machine

func (m *memoryEvents) Open() error { return nil }

func (m *memoryEvents) Receive(ctx context.Context, handle func(Event)) error {
	for {
		select {
		case e := <-m.events:
			handle(e)
		case <-ctx.Done():
			return nil
		}
	}
}
