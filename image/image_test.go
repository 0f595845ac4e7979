package image

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/mkuimage/cpio"
)

func TestParseDepends(t *testing.T) {
	for _, tt := range []struct{ name, out, want string }{
		{"one", "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n", "linux-image-6.1.0-56-amd64"},
		{"with an alternative", "linux-image-amd64\n |Depends: <x>\n  Depends: linux-image-7.0.0-1-amd64\n", "linux-image-7.0.0-1-amd64"},
		{"no lists", "", ""},
		{"something else", "linux-image-amd64\n  Depends: systemd\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := parseDepends(tt.out); got != tt.want {
				t.Errorf("parseDepends = %q; want %q", got, tt.want)
			}
		})
	}
}

func TestParseShow(t *testing.T) {
	sum := strings.Repeat("0f", 32)
	got, err := parseShow("k", "Package: k\nVersion: 6.1.192-2\nSHA256: "+sum+"\nDescription: Linux\n Version of it\n")
	want := debPackage{Name: "k", Version: "6.1.192-2", SHA256: sum}
	if err != nil || got != want {
		t.Errorf("parseShow = %+v, %v; want %+v", got, err, want)
	}
	for _, out := range []string{"", "Version: 1\n", "Version: 1\nSHA256: short\n"} {
		if _, err := parseShow("k", out); !errors.Is(err, errAptLists) {
			t.Errorf("parseShow(%q) = %v; want %v", out, err, errAptLists)
		}
	}
}

func TestMissingNamesThePackage(t *testing.T) {
	err := missing("mformat")
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "apt-get install mtools") {
		t.Errorf("missing(mformat) = %v; want how to install mtools", err)
	}
}

func TestManifestRoundTrip(t *testing.T) {
	want := Manifest{
		Version: "1.0", Epoch: 1700000000, Go: "go1.26.0", Kernel: "6.1.0-56-amd64", Modules: []string{"ahci"}, Tools: []string{"ip"},
		Packages: []debPackage{{Name: "linux-image-6.1.0-56-amd64", Version: "6.1.192-2", SHA256: "ab"}, {Name: "tzdata", Version: "2025b"}},
	}
	data, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	var got Manifest
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
}

func TestZoneRecords(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "Europe/Berlin"), "TZif2 x")
	writeFile(t, filepath.Join(dir, "posix/Europe/Berlin"), "TZif2 x")
	writeFile(t, filepath.Join(dir, "right/Europe/Berlin"), "TZif2 x")
	writeFile(t, filepath.Join(dir, "zone.tab"), "# table")
	for name, target := range map[string]string{"UTC": "Etc/UTC", "localtime": "/etc/localtime"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	records, err := zoneRecords(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records {
		got = append(got, r.Name)
	}
	if diff := cmp.Diff([]string{"usr/share/zoneinfo/Europe/Berlin", "usr/share/zoneinfo/UTC"}, got); diff != "" {
		t.Errorf("zoneRecords (-want +got):\n%s", diff)
	}
}

// TestRootFileSystem holds the rules of the image that no build step enforces:
// nobody else is asked for names, and there is no shell.
func TestRootFileSystem(t *testing.T) {
	records, err := baseRecords("1.0", []byte("{}\n"))
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]cpio.Record)
	for _, r := range records {
		if _, twice := byName[r.Name]; twice {
			t.Errorf("%s is in the image twice", r.Name)
		}
		byName[r.Name] = r
		if base := filepath.Base(r.Name); base == "sh" || base == "bash" || base == "gosh" {
			t.Errorf("%s: a shell", r.Name)
		}
	}
	read := func(name string) string {
		r, ok := byName[name]
		if !ok {
			t.Fatalf("no %s in the image", name)
		}
		data := make([]byte, r.FileSize)
		if _, err := r.ReadAt(data, 0); err != nil && len(data) > 0 {
			t.Fatalf("read %s: %v", name, err)
		}
		return string(data)
	}
	if got := read("etc/resolv.conf"); got != "nameserver 127.0.0.1\n" {
		t.Errorf("resolv.conf = %q; want loopback alone", got)
	}
	for name, want := range map[string]string{"init": "bin/appliance", "bin/sshd": "appliance", "sbin/poweroff": "../bin/appliance"} {
		if got := read(name); got != want {
			t.Errorf("%s -> %q; want %q", name, got, want)
		}
	}
	if _, ok := byName["sbin/modprobe"]; ok {
		t.Error("sbin/modprobe exists; the kernel then runs it before init")
	}
	for _, account := range []string{"root:x:0:0:", "xmpp:x:101:101:", "mmp:x:102:102:", "callbridge:x:103:103:", "database:x:104:104:"} {
		if !strings.Contains(read("etc/passwd"), account) {
			t.Errorf("passwd has no %s", account)
		}
	}
	if !strings.Contains(read("etc/group"), "parley:x:100:xmpp,mmp,callbridge") {
		t.Error("group: parley has not the members xmpp, mmp and callbridge")
	}
	if r := byName["sbin/e2fsck"]; r.Mode&0o111 == 0 {
		t.Error("e2fsck cannot be executed")
	}
	for _, tool := range tools {
		if base := filepath.Base(tool); base == "gosh" || base == "sh" {
			t.Errorf("tools: %s is a shell", tool)
		}
	}
}

func TestSettle(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "boot/x"), "x")
	if err := os.Chmod(filepath.Join(dir, "boot/x"), 0o600); err != nil {
		t.Fatal(err)
	}
	when := time.Unix(1700000000, 0)
	if err := settle(dir, when); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{".": 0o755, "boot": 0o755, "boot/x": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !info.ModTime().Equal(when) || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v; want %v %v", name, info.ModTime(), info.Mode().Perm(), when, mode)
		}
	}
}
