package state

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// files writes a tree.
func files(t *testing.T, root string, tree map[string]string) {
	t.Helper()
	for name, text := range tree {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind(t *testing.T) {
	sys := t.TempDir()
	files(t, sys, map[string]string{
		"class/block/vda/uevent":        "DEVNAME=vda\nDEVTYPE=disk\n",
		"class/block/vda1/uevent":       "DEVNAME=vda1\nDEVTYPE=partition\nPARTN=1\nPARTNAME=PARLEY-STATE\n",
		"class/block/vda1/size":         "2097152\n",
		"class/block/vdb1/uevent":       "DEVNAME=vdb1\nDEVTYPE=partition\nPARTN=1\nPARTNAME=PARLEY-STATE2\n",
		"class/block/sdc3/uevent":       "DEVNAME=sdc3\nPARTNAME=DATA\n",
		"class/block/nvme0n1p2/uevent":  "PARTNAME=PARLEY-STATE",
		"class/block/nvme0n1p2/size":    "64\n",
		"class/block/nvme0n1p3/uevents": "PARTNAME=PARLEY-STATE",
	})
	want := []Partition{{"nvme0n1p2", "/dev/nvme0n1p2", 32 << 10}, {"vda1", "/dev/vda1", 1 << 30}}
	if diff := cmp.Diff(want, Find(sys, "/dev")); diff != "" {
		t.Errorf("Find (-want +got):\n%s", diff)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 30: "1.0 GiB", 1536 << 20: "1.5 GiB", 5 << 40: "5.0 TiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q; want %q", n, got, want)
		}
	}
}

func TestProbing(t *testing.T) {
	for _, tt := range []struct {
		name string
		tree map[string]string
		want bool
	}{
		{"nothing", nil, false},
		{"nvme without a disk", map[string]string{"class/nvme/nvme0/state": "connecting"}, true},
		{"nvme with a disk", map[string]string{"class/nvme/nvme0/nvme0n1/size": "1"}, false},
		{"usb drive without a disk", map[string]string{"bus/usb/devices/1-1:1.0/bInterfaceClass": "08\n"}, true},
		{"usb drive with a disk", map[string]string{
			"bus/usb/devices/1-1:1.0/bInterfaceClass":                            "08\n",
			"bus/usb/devices/1-1:1.0/host6/target6:0:0/6:0:0:0/block/sda/uevent": "",
		}, false},
		{"usb keyboard", map[string]string{"bus/usb/devices/1-1:1.0/bInterfaceClass": "03\n"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sys := t.TempDir()
			files(t, sys, tt.tree)
			if got := Probing(sys); got != tt.want {
				t.Errorf("Probing = %v; want %v", got, tt.want)
			}
		})
	}
}

// image makes a file that stands for a partition.
func image(t *testing.T, size int64, fill func(f *os.File)) Partition {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "part"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if fill != nil {
		fill(f)
	}
	return Partition{Name: "vda1", Device: f.Name(), Size: size}
}

func at(offset int64, data string) func(*os.File) {
	return func(f *os.File) {
		if _, err := f.WriteAt([]byte(data), offset); err != nil {
			panic(err)
		}
	}
}

func noise(f *os.File) {
	r := rand.NewChaCha8([32]byte{1})
	block := make([]byte, 1<<20)
	fi, err := f.Stat()
	if err != nil {
		panic(err)
	}
	for off := int64(0); off < fi.Size(); off += int64(len(block)) {
		_, _ = r.Read(block)
		at(off, string(block))(f)
	}
}

func TestProbe(t *testing.T) {
	for _, tt := range []struct {
		name string
		fill func(*os.File)
		want Content
	}{
		{"zeros", nil, Empty},
		{"ext4", at(1080, "\x53\xef"), Ext4},
		{"XFS", at(0, "XFSB"), "XFS"},
		{"Btrfs", at(0x10040, "_BHRfS_M"), "Btrfs"},
		{"LUKS", at(0, "LUKS\xba\xbe\x00\x02"), "LUKS"},
		{"noise", at(100, "something"), Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := image(t, 1<<20, tt.fill)
			if got, err := Probe(p.Device); got != tt.want || err != nil {
				t.Errorf("Probe = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
	if _, err := Probe("/nonexistent"); err == nil {
		t.Error("Probe of no device = nil error; want one")
	}
}

// bench is Tools whose fsck is the real one, or answers from a list.
type bench struct {
	codes   []int
	runs    [][]string
	mounted []string
	refuse  error
}

func (b *bench) Fsck(ctx context.Context, args ...string) (int, []string, error) {
	b.runs = append(b.runs, args)
	if b.codes != nil {
		code := b.codes[0]
		b.codes = b.codes[1:]
		return code, []string{"fsck says " + fmt.Sprint(code)}, nil
	}
	cmd := exec.CommandContext(ctx, "/sbin/e2fsck", args...)
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), strings.Split(string(out), "\n"), nil
	}
	return 0, strings.Split(string(out), "\n"), err
}

func (b *bench) MountState(device string) error {
	b.mounted = append(b.mounted, device)
	return b.refuse
}

func (b *bench) Format(ctx context.Context, p Partition) error {
	return FormatDevice(ctx, p, func(float64) {})
}

func TestOpenByFsckStatus(t *testing.T) {
	for _, tt := range []struct {
		name   string
		codes  []int
		runs   int
		health Health
		fault  string
	}{
		{"clean", []int{0}, 1, Clean, ""},
		{"fixed", []int{1}, 1, Mended, ""},
		{"wants a reboot", []int{3}, 1, Mended, ""},
		{"left, then fixed", []int{4, 1}, 2, Mended, ""},
		{"left twice", []int{4, 4}, 2, "", "exit status 4"},
		{"operational", []int{8, 8}, 2, "", "exit status 8"},
		{"fixed some, left some", []int{5, 12}, 2, "", "exit status 12"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &bench{codes: tt.codes}
			health, err := Open(t.Context(), b, image(t, 1<<20, at(1080, "\x53\xef")))
			if health != tt.health || len(b.runs) != tt.runs {
				t.Errorf("Open = %q after %d runs; want %q after %d", health, len(b.runs), tt.health, tt.runs)
			}
			if tt.fault == "" {
				if err != nil || len(b.mounted) != 1 {
					t.Errorf("Open error %v, mounted %v; want mounted", err, b.mounted)
				}
				return
			}
			f, ok := errors.AsType[*Fault](err)
			if !ok || !strings.Contains(f.What, tt.fault) || !f.CanFormat || len(f.Detail) == 0 || len(b.mounted) != 0 {
				t.Errorf("Open error %#v, mounted %v; want a fault with %q", err, b.mounted, tt.fault)
			}
		})
	}
}

func TestOpenLeavesWhatIsNotOurs(t *testing.T) {
	for _, tt := range []struct {
		name string
		fill func(*os.File)
		what string
	}{
		{"empty", nil, "empty"},
		{"another file system", at(0, "XFSB"), "XFS"},
		{"encrypted", at(0, "LUKS\xba\xbe"), "LUKS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := image(t, 4<<20, tt.fill)
			before := sum(t, p.Device)
			b := &bench{}
			_, err := Open(t.Context(), b, p)
			if f, ok := errors.AsType[*Fault](err); !ok || !strings.Contains(f.What, tt.what) {
				t.Errorf("Open error = %v; want a fault that names %q", err, tt.what)
			}
			if len(b.runs) != 0 || len(b.mounted) != 0 || sum(t, p.Device) != before {
				t.Errorf("fsck ran %d times, mounted %v; want the partition untouched", len(b.runs), b.mounted)
			}
		})
	}
}

func sum(t *testing.T, path string) [32]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

// The real formatter and the real e2fsck, on a disk that was full of something.
func TestFormatAndMend(t *testing.T) {
	const size = 64 << 20
	p := image(t, size, noise)
	b := &bench{}
	if _, err := Open(t.Context(), b, p); err == nil {
		t.Fatal("Open of noise = nil error; want a fault")
	}
	if err := b.Format(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if health, err := Open(t.Context(), b, p); health != Clean || err != nil {
		t.Fatalf("Open of a formatted partition = %q, %v; want clean", health, err)
	}
	if code, lines, err := b.Fsck(t.Context(), "-f", "-n", p.Device); code != 0 || err != nil {
		t.Fatalf("e2fsck -f -n = %d, %v; want 0\n%s", code, err, strings.Join(lines, "\n"))
	}
	damage := func(offset int64, n int) {
		f, err := os.OpenFile(p.Device, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		at(offset, strings.Repeat("\xff", n))(f)
	}
	// The first superblock and what follows it: its copies mend it.
	damage(0, 4096)
	if health, err := Open(t.Context(), b, p); health != Mended || err != nil {
		t.Errorf("Open without the first superblock = %q, %v; want mended", health, err)
	}
	// Everything: nothing mends it, and it says so.
	for off := int64(0); off < size; off += 1 << 20 {
		damage(off, 1<<20)
	}
	_, err := Open(t.Context(), b, p)
	f, ok := errors.AsType[*Fault](err)
	if !ok || !f.CanFormat || !strings.Contains(f.What, "damaged") {
		t.Errorf("Open of ruins = %v; want a fault that says damaged", err)
	}
}

func TestMountRefused(t *testing.T) {
	b := &bench{codes: []int{0}, refuse: unix.EINVAL}
	_, err := Open(t.Context(), b, image(t, 1<<20, at(1080, "\x53\xef")))
	if f, ok := errors.AsType[*Fault](err); !ok || !strings.Contains(f.What, "invalid argument") {
		t.Errorf("Open = %v; want a fault with the reason", err)
	}
}

func TestAmbiguous(t *testing.T) {
	f := Ambiguous([]Partition{{Name: "vda1", Size: 1 << 30}, {Name: "vdb1", Size: 2 << 30}})
	if !strings.Contains(f.What, "vda1 (1.0 GiB), vdb1 (2.0 GiB)") || f.CanFormat {
		t.Errorf("Ambiguous = %+v; want both named, and no format", f)
	}
}

func TestPrepare(t *testing.T) {
	root := t.TempDir()
	files(t, root, map[string]string{"live.json": "{}", "accounts.json": "{}", "files/key.pem": "k", "foreign/x": "x"})
	outside := filepath.Join(t.TempDir(), "outside")
	files(t, filepath.Dir(outside), map[string]string{"outside": "x"})
	if err := os.Symlink(outside, filepath.Join(root, "files", "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(root, "files", "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	record := func(f *os.File, uid, gid int, mode uint32) error {
		rel, err := filepath.Rel(root, f.Name())
		got[rel] = fmt.Sprintf("%d:%d %04o", uid, gid, mode)
		return err
	}
	if err := Prepare(root, record); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		".": "102:100 2750", "files": "102:100 2750", "files/key.pem": "102:100 0640", "ssh": "102:100 0700", "log": "0:100 2750", "log/events": "105:100 2750",
		"xmpp": "101:101 0700", "database": "104:104 0700", "callbridge": "103:103 0700", "live.json": "102:100 0640", "accounts.json": "102:100 0600", ".live.lock": "102:100 0600",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
}

func TestPrepareFollowsNoLink(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "xmpp")); err != nil {
		t.Fatal(err)
	}
	touched := map[string]bool{}
	err := Prepare(root, func(f *os.File, _, _ int, _ uint32) error {
		touched[filepath.Base(f.Name())] = true
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "xmpp") {
		t.Errorf("Prepare = %v; want an error that names xmpp", err)
	}
	want := map[string]bool{filepath.Base(root): true, "files": true, "ssh": true, "log": true, "events": true, "database": true, "callbridge": true, ".live.lock": true}
	if !maps.Equal(touched, want) {
		t.Errorf("touched %v; want %v: the rest is prepared, the link is not", touched, want)
	}
}
