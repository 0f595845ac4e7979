package pid1

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parley/init/state"
	"parley/services/journal"
)

// disk gives m a state partition that fsck finds clean.
func disk(m *machine, fsckStatus string) state.Partition {
	m.file("dev/vda1", strings.Repeat("\x00", 1080)+"\x53\xef"+strings.Repeat("\x00", 4096))
	m.file("sbin/e2fsck", "#!/bin/sh\necho e2fsck \"$@\"\nexit "+fsckStatus+"\n")
	if err := os.Chmod(filepath.Join(m.root, "sbin/e2fsck"), 0o755); err != nil {
		m.t.Fatal(err)
	}
	p := state.Partition{Name: "vda1", Device: filepath.Join(m.root, "dev/vda1"), Size: 1 << 30}
	m.disks = []state.Partition{p}
	return p
}

func TestNoDisk(t *testing.T) {
	m := newMachine(t)
	r := boot(t, m).up(t)
	s, _ := api{r.Init}.Status(t.Context())
	if !s.Volatile || !strings.Contains(s.Storage, "no state disk") {
		t.Errorf("Status = %+v; want volatile, and that there is no disk", s)
	}
	r.ask(power{why: "test"})
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	if got := m.done("mount tmpfs tmpfs /state", "umount", "restart"); !slices.Equal(got, []string{"mount tmpfs tmpfs /state", "restart"}) {
		t.Errorf("calls %v; want memory at /state, and nothing to unmount", got)
	}
}

// With nobody at the consoles a damaged disk must not keep the system from
// being reached: memory, and the disk as it was.
func TestDamagedDiskIsLeftAlone(t *testing.T) {
	m := newMachine(t)
	p := disk(m, "8")
	before, err := os.ReadFile(p.Device)
	if err != nil {
		t.Fatal(err)
	}
	r := boot(t, m).up(t)
	s, _ := api{r.Init}.Status(t.Context())
	if !s.Volatile || !strings.Contains(s.Storage, "vda1") {
		t.Errorf("Status = %+v; want volatile, and the disk named", s)
	}
	after, err := os.ReadFile(p.Device)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the disk has changed (%v); want it as it was", err)
	}
	lines, _, err := journal.NewReader(filepath.Join(m.root, "state/log/syslog")).Tail(100)
	if text := strings.Join(lines, "\n"); err != nil || !strings.Contains(text, "e2fsck cannot mend it") || !strings.Contains(text, "e2fsck -y") {
		t.Errorf("log (%v):\n%s\nwant what is wrong and what e2fsck said", err, text)
	}
	r.ask(power{why: "test"})
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
}

func TestTwoStateDisks(t *testing.T) {
	m := newMachine(t)
	p := disk(m, "0")
	m.disks = []state.Partition{p, {Name: "vdb1", Device: p.Device}}
	r := boot(t, m).up(t)
	if got := m.done("mount ext4"); len(got) != 0 {
		t.Errorf("mounted %v; want neither", got)
	}
	r.ask(power{why: "test"})
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
}

func TestDiskThatComesLate(t *testing.T) {
	m := newMachine(t)
	m.file("sys/class/nvme/nvme0/state", "connecting\n")
	r := boot(t, m)
	eventually(t, "init waits for the disk", func() bool { return len(m.done("remount")) == 1 })
	m.mu.Lock()
	disk(m, "0")
	m.mu.Unlock()
	m.events <- Event{"ACTION": "add", "SUBSYSTEM": "block", "DEVNAME": "vda1"}
	r.up(t)
	if got := m.done("mount ext4"); len(got) != 1 {
		t.Errorf("mounted %v; want the disk", got)
	}
	r.ask(power{why: "test"})
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
}
