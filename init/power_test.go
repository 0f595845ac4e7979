package pid1

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

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
