package pid1

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
