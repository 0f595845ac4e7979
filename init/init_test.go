package pid1

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"parley/init/state"
	"parley/init/supervise"
	"parley/services/config"
	"parley/services/journal"
	"parley/services/problem"
)

// running is an init that has booted.
type running struct {
	*Init
	m    *machine
	done chan error
}

// boot runs init on m until all services have been started, or returns at
// once if it will not get as far.
func boot(t *testing.T, m *machine) *running {
	t.Helper()
	r := &running{Init: New(m.config(), m.deps()), m: m, done: make(chan error, 1)}
	go func() { r.done <- r.Run(t.Context()) }()
	return r
}

func (r *running) up(t *testing.T) *running {
	t.Helper()
	eventually(t, "the services are started", func() bool {
		return r.m.Process("console-ttyS0") != nil && len(r.phases.list()) == 4
	})
	return r
}

// wait returns what Run returned.
func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("Run does not return")
		return nil
	}
}

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

func TestBootAndPowerOff(t *testing.T) {
	m := newMachine(t)
	disk(m, "1")
	r := boot(t, m).up(t)
	s, err := api{r.Init}.Status(t.Context())
	if err != nil || s.Storage != "vda1 (ext4, 1.0 GiB)" || s.Volatile || s.Version != "1.2" || len(s.Services) != 9 {
		t.Errorf("Status = %+v, %v; want nine services and a disk", s, err)
	}
	if err := (api{r.Init}).Poweroff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := (api{r.Init}).Reboot(t.Context()); problem.CodeOf(err) != problem.Stopping {
		t.Errorf("Reboot while stopping = %v; want Stopping", err)
	}
	if err := r.wait(t); err != nil {
		t.Errorf("Run = %v; want nil", err)
	}
	want := []string{
		"mount proc proc /proc", "mount sysfs sysfs /sys", "mount devtmpfs devtmpfs /dev",
		"mount devpts devpts /dev/pts", "mount tmpfs tmpfs /dev/shm", "mount tmpfs tmpfs /run", "mount tmpfs tmpfs /tmp",
		"mount cgroup2 cgroup2 /sys/fs/cgroup", "mount pstore pstore /sys/fs/pstore", "mount efivarfs efivarfs /sys/firmware/efi/efivars",
		"remount  ro=true", "mount ext4 /dev/vda1 /state",
		"killall", "sync", "umount /state", "sync", "poweroff",
	}
	if diff := cmp.Diff(want, m.done("mount", "remount", "umount", "killall", "sync", "poweroff", "restart")); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"insmod ext4.ko", "insmod virtio_blk.ko"}, sorted(m.done("insmod"))); diff != "" {
		t.Errorf("modules (-want +got):\n%s", diff)
	}
	started := []string{"start network", "start xmpp", "start sshd", "start console-tty1", "start console-ttyS0", "start eventlog", "start database", "start callbridge", "start webadmin"}
	stopped := []string{"term webadmin", "term callbridge", "term database", "term eventlog", "term console-ttyS0", "term console-tty1", "term sshd", "term xmpp", "term network"}
	if diff := cmp.Diff(append(started, stopped...), m.Log()); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	if got := m.done("hostname"); !slices.Equal(got, []string{"hostname parley"}) {
		t.Errorf("host name set %v; want parley", got)
	}
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

func TestBootRecord(t *testing.T) {
	m := newMachine(t)
	disk(m, "0")
	record := func() []Record {
		data, err := os.ReadFile(filepath.Join(m.root, "state", bootRecord))
		if err != nil {
			t.Fatal(err)
		}
		var all []Record
		for line := range bytes.Lines(data) {
			var r Record
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("boot record: %v", err)
			}
			all = append(all, r)
		}
		return all
	}
	first := boot(t, m).up(t)
	eventually(t, "the boot is recorded", func() bool {
		_, err := os.Stat(filepath.Join(m.root, "state", bootRecord))
		return err == nil
	})
	first.ask(power{why: "test"})
	if err := first.wait(t); err != nil {
		t.Fatal(err)
	}
	second := boot(t, m).up(t)
	eventually(t, "the second boot is recorded", func() bool { return len(record()) == 2 })
	if _, err := os.Stat(filepath.Join(m.root, "state", cleanMark)); err == nil {
		t.Error("the mark of the clean stop is there while the machine runs; want it gone")
	}
	second.ask(power{why: "test"})
	if err := second.wait(t); err != nil {
		t.Fatal(err)
	}
	got := record()
	if got[0].Clean || !got[1].Clean || got[1].Previous != "reboot: test" || got[1].Fsck != "clean" || len(got[1].Phases) != 4 {
		t.Errorf("records = %+v; want the second to know of a clean stop", got)
	}
}

func TestRecordIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), bootRecord)
	old := strings.Repeat("{\"version\":\"old\"}\n", maxRecords)
	if err := os.WriteFile(path, []byte(old+"{\"torn"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := appendRecord(path, Record{Version: "new"}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	var last Record
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Version != "new" || len(lines) > maxRecords {
		t.Errorf("%d lines, the last %q (%v); want at most %d and the new one last", len(lines), lines[len(lines)-1], err, maxRecords)
	}
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

func TestHotplugLoadsDrivers(t *testing.T) {
	m := newMachine(t)
	r := boot(t, m).up(t)
	m.events <- Event{"ACTION": "add", "MODALIAS": "usb:v1234"}
	eventually(t, "the driver is loaded", func() bool { return slices.Contains(m.done("insmod"), "insmod late.ko") })
	r.ask(power{why: "test"})
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
}

func TestSignals(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    unix.Signal
		want string
	}{{"Ctrl-Alt-Del", unix.SIGINT, "restart"}, {"poweroff", unix.SIGUSR2, "poweroff"}, {"reboot", unix.SIGTERM, "restart"}} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			r := boot(t, m).up(t)
			// A signal that means nothing comes first, and ends nothing.
			for _, s := range []unix.Signal{unix.SIGHUP, tt.s} {
				if err := unix.Kill(os.Getpid(), s); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.wait(t); err != nil {
				t.Fatal(err)
			}
			if got := m.done("poweroff", "restart"); !slices.Equal(got, []string{tt.want}) {
				t.Errorf("calls %v; want %s", got, tt.want)
			}
		})
	}
}

func TestPowerButton(t *testing.T) {
	m := newMachine(t)
	// Bit 116 of a bitmap in 64-bit words.
	m.file("sys/class/input/event0/device/capabilities/key", "10000000000000 0\n")
	m.file("sys/class/input/event1/device/capabilities/key", "fffffffffffffffe\n")
	if err := os.MkdirAll(filepath.Join(m.root, "dev/input"), 0o755); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(m.root, "dev/input/event0")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	keys := make(chan *os.File, 1)
	go func() {
		f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
		}
		keys <- f
	}()
	r := boot(t, m).up(t)
	f := <-keys
	defer f.Close()
	for _, e := range [][3]uint32{{evKey, keyPower, 0}, {evKey, 30, 1}, {0, keyPower, 1}, {evKey, keyPower, 1}} {
		var b [eventSize]byte
		binary.NativeEndian.PutUint16(b[16:], uint16(e[0]))
		binary.NativeEndian.PutUint16(b[18:], uint16(e[1]))
		binary.NativeEndian.PutUint32(b[20:], e[2])
		if _, err := f.Write(b[:]); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	if got := m.done("poweroff", "restart"); !slices.Equal(got, []string{"poweroff"}) {
		t.Errorf("calls %v; want poweroff", got)
	}
}

func TestStopDuringBoot(t *testing.T) {
	m := newMachine(t)
	m.file("sys/class/nvme/nvme0/state", "connecting\n")
	r := boot(t, m)
	eventually(t, "init waits for the disk", func() bool { return len(m.done("remount")) == 1 })
	r.ask(power{off: true, why: "test"})
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	if got := m.Log(); len(got) != 0 {
		t.Errorf("services %v; want none started", got)
	}
	if got := m.done("poweroff"); len(got) != 1 {
		t.Errorf("calls %v; want poweroff", got)
	}
}

func TestUnmountThatIsRefused(t *testing.T) {
	m := newMachine(t)
	disk(m, "0")
	m.refuse["umount"] = unix.EBUSY
	r := boot(t, m).up(t)
	r.ask(power{why: "test"})
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	if got := m.done("remount /state", "restart"); !slices.Equal(got, []string{"remount /state ro=true", "restart"}) {
		t.Errorf("calls %v; want read-only as the last try, then restart", got)
	}
}

func TestServicesAreKeptApart(t *testing.T) {
	i := New(Appliance("1.2"), Deps{Kernel: newMachine(t)})
	specs := i.specs([]string{"tty1", "ttyS0"}, 1<<30)
	var total int64
	uids := map[string]uint32{}
	for _, s := range specs {
		uids[s.Name] = s.UID
		total += s.Memory
		if s.Memory == 0 || s.Tasks == 0 || s.StopWait == 0 || s.Path == "" {
			t.Errorf("%s has no bound: %+v", s.Name, s)
		}
		if s.UID != 0 && slices.ContainsFunc(s.Capabilities, func(c uintptr) bool { return c != unix.CAP_NET_BIND_SERVICE }) {
			t.Errorf("%s has capabilities %v", s.Name, s.Capabilities)
		}
		if s.Audit != (s.UID == state.MMP) {
			t.Errorf("%s may write audit lines: %v", s.Name, s.Audit)
		}
	}
	want := map[string]uint32{
		"network": 0, "eventlog": state.Events, "xmpp": state.XMPP, "callbridge": state.CallBridge, "database": state.Database, "sshd": state.MMP, "webadmin": state.MMP,
		"console-tty1": state.MMP, "console-ttyS0": state.MMP,
	}
	if diff := cmp.Diff(want, uids); diff != "" {
		t.Errorf("uids (-want +got):\n%s", diff)
	}
}

func TestConsoles(t *testing.T) {
	for _, tt := range []struct {
		active string
		want   []string
	}{{"tty0 ttyS0\n", []string{"tty1", "ttyS0"}}, {"ttyS1", []string{"ttyS1"}}, {"", nil}} {
		sys := t.TempDir()
		if err := os.MkdirAll(filepath.Join(sys, "class/tty/console"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sys, "class/tty/console/active"), []byte(tt.active), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := consoles(sys); !slices.Equal(got, tt.want) {
			t.Errorf("consoles(%q) = %v; want %v", tt.active, got, tt.want)
		}
	}
}

func TestParseEvent(t *testing.T) {
	got := parseEvent([]byte("add@/devices/virtio0\x00ACTION=add\x00SUBSYSTEM=block\x00PARTNAME=A=B\x00"))
	if diff := cmp.Diff(Event{"ACTION": "add", "SUBSYSTEM": "block", "PARTNAME": "A=B"}, got); diff != "" {
		t.Errorf("parseEvent (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "libudev\x00junk", "add@/devices"} {
		if got := parseEvent([]byte(bad)); got != nil {
			t.Errorf("parseEvent(%q) = %v; want nil", bad, got)
		}
	}
}

func TestParseKmsg(t *testing.T) {
	for _, tt := range []struct {
		record, text string
		level        slog.Level
		ok           bool
	}{
		{"6,339,5140900,-;NET: Registered\n SUBSYSTEM=net\n", "NET: Registered", slog.LevelInfo, true},
		{"4,1,2,-;slow; but fine\n", "slow; but fine", slog.LevelWarn, true},
		{"3,1,2,c;I/O error\n", "I/O error", slog.LevelError, true},
		{"11,1,2,-;written by a program\n", "", 0, false},
		{"junk", "", 0, false},
		{"x,1;y", "", 0, false},
	} {
		level, text, ok := parseKmsg(tt.record)
		if level != tt.level || text != tt.text || ok != tt.ok {
			t.Errorf("parseKmsg(%q) = %v, %q, %v; want %v, %q, %v", tt.record, level, text, ok, tt.level, tt.text, tt.ok)
		}
	}
}

func TestFatalScreen(t *testing.T) {
	text := screen("mount /proc: no such device", strings.Repeat("line\n", 100))
	if !strings.Contains(text, "mount /proc: no such device") || strings.Count(text, "line\r\n") > 20 {
		t.Errorf("screen = %q; want the reason, and a bounded trace", text)
	}
}

func TestTermAndProgramOfConsoles(t *testing.T) {
	i := New(Appliance("1.2"), Deps{Kernel: newMachine(t)})
	specs := i.specs([]string{"tty1", "ttyS0"}, 0)
	for _, want := range []struct{ name, tty, term string }{{"console-tty1", "/dev/tty1", "TERM=linux"}, {"console-ttyS0", "/dev/ttyS0", "TERM=vt220"}} {
		n := slices.IndexFunc(specs, func(s supervise.Spec) bool { return s.Name == want.name })
		s := specs[n]
		if s.TTY != want.tty || !slices.Contains(s.Env, want.term) || s.Path != "/bin/console" || !s.Session {
			t.Errorf("spec = %+v; want %+v", s, want)
		}
	}
}

func TestHostnameOfTheConfiguration(t *testing.T) {
	m := newMachine(t)
	if err := config.NewStore(filepath.Join(m.root, "state/live.json")).Update(func(d *config.Document) error {
		d.Hostname = "cb1"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r := boot(t, m).up(t)
	r.ask(power{why: "test"})
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	if got := m.done("hostname"); !slices.Equal(got, []string{"hostname cb1"}) {
		t.Errorf("host name set %v; want cb1", got)
	}
}

func TestEarlyFailureIsFatal(t *testing.T) {
	m := newMachine(t)
	m.refuse["mount proc"] = unix.ENODEV
	i := New(m.config(), m.deps())
	i.countdown = func() {}
	err := i.Run(t.Context())
	if !errors.Is(err, unix.ENODEV) {
		t.Errorf("Run = %v; want ENODEV", err)
	}
	if got := m.done("restart"); len(got) != 1 {
		t.Errorf("calls %v; want a restart", got)
	}
}

func TestPanicInAGoroutineRestartsTheMachine(t *testing.T) {
	m := newMachine(t)
	disk(m, "0")
	r := boot(t, m).up(t)
	r.countdown = func() {}
	r.guard(func() { panic("test") })
	if got := m.done("remount /state", "restart"); !slices.Equal(got, []string{"remount /state ro=true", "restart"}) {
		t.Errorf("calls %v; want the state saved, then a restart", got)
	}
	r.ask(power{why: "test"})
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
}
