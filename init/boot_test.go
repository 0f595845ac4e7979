package pid1_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/disk"
	"github.com/diskfs/go-diskfs/filesystem"
	"github.com/diskfs/go-diskfs/partition/gpt"

	pid1 "parley/init"
	"parley/qemu"
	"parley/qemu/qemutest"
)

// The tests of this file boot the real image: see package qemutest.

const (
	// stateAt is where the partition of a state disk begins.
	stateAt  = 1 << 20
	password = "Correct horse 1"
)

// appliance is a booted image.
type appliance struct {
	*testing.T
	*qemu.VM
	ctx context.Context
}

func start(t *testing.T, disk string) *appliance {
	t.Helper()
	iso := qemutest.ISO(t)
	ctx := qemutest.Context(t)
	cfg := qemu.Config{ISO: iso, StateDisk: disk, NICs: []qemu.NIC{{}}}
	return &appliance{t, qemutest.Start(t, ctx, cfg), ctx}
}

// await returns the console's output up to text.
func (a *appliance) await(text string) string {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.ctx, 2*time.Minute)
	defer cancel()
	out, _, err := a.Console().Expect(ctx, text)
	if err != nil {
		a.Fatal(err)
	}
	return out
}

// say types a line and returns the output up to text.
func (a *appliance) say(line, text string) string {
	a.Helper()
	if err := a.Console().SendLine(line); err != nil {
		a.Fatal(err)
	}
	return a.await(text)
}

// login logs in for the first time, and returns the banner.
func (a *appliance) login() string {
	a.Helper()
	banner := a.await("login: ")
	a.say("admin", "Password: ")
	a.say("admin", "New password: ")
	a.say(password, "New password again: ")
	a.say(password, "parley> ")
	return banner
}

// ends waits until the machine is off.
func (a *appliance) ends() {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.ctx, time.Minute)
	defer cancel()
	if err := a.Wait(ctx); err != nil {
		a.Fatal(err)
	}
}

func (a *appliance) pressPower() {
	a.Helper()
	if err := a.PowerButton(a.ctx); err != nil {
		a.Fatal(err)
	}
	a.ends()
}

// debugfs runs a command on the file system of a state disk and returns what
// it prints.
func debugfs(t *testing.T, disk string, args ...string) string {
	t.Helper()
	cmd := exec.Command("debugfs", append(args, fmt.Sprintf("%s?offset=%d", disk, stateAt))...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("debugfs %q: %v\n%s", args, err, &errs)
	}
	return out.String()
}

// lastBoot is the youngest line of the boot record.
func lastBoot(t *testing.T, disk string) (r pid1.Record) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(debugfs(t, disk, "-R", "cat /boot.jsonl")), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("boot record %q: %v", lines, err)
	}
	return r
}

func sum(t *testing.T, path string) [32]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}

func TestBootKeepsStateOverReboot(t *testing.T) {
	disk := qemutest.StateDisk(t)
	a := start(t, disk)
	if banner := a.login(); !strings.Contains(banner, "vda1 (ext4") {
		t.Errorf("banner:\n%s\nwant the state partition", banner)
	}
	a.say("hostname cb1", "cb1> ")
	a.say("reboot", "capital Y")
	if err := a.Console().Send("Y\r"); err != nil {
		t.Fatal(err)
	}
	a.await("state: unmounted")
	a.await("cb1 login: ")
	a.say("admin", "Password: ")
	a.say(password, "cb1> ")
	a.pressPower()
	if r := lastBoot(t, disk); !r.Clean || r.Previous != "reboot: console command" || r.Fsck != "clean" || len(r.Phases) == 0 {
		t.Errorf("boot record %+v; want a clean stop by the console before", r)
	}
}

func TestBootAfterPowerCut(t *testing.T) {
	disk := qemutest.StateDisk(t)
	a := start(t, disk)
	a.login()
	a.say("hostname cb1", "cb1> ")
	if err := a.Kill(); err != nil {
		t.Fatal(err)
	}
	a = start(t, disk)
	a.await("cb1 login: ")
	a.pressPower()
	if r := lastBoot(t, disk); r.Clean {
		t.Errorf("boot record %+v; want to know of the power cut", r)
	}
}

func TestBootMendsLostSuperblock(t *testing.T) {
	disk := qemutest.StateDisk(t)
	if n := spoil(t, disk, 1); n != 1 {
		t.Fatalf("%d superblocks overwritten; want 1", n)
	}
	a := start(t, disk)
	if banner := a.login(); !strings.Contains(banner, "vda1 (ext4") {
		t.Errorf("banner:\n%s\nwant the mended state partition", banner)
	}
	a.pressPower()
	if r := lastBoot(t, disk); r.Fsck != "mended" {
		t.Errorf("boot record %+v; want mended", r)
	}
}

// spoil overwrites the first most superblocks (ext4 keeps copies) and says how
// many there were.
func spoil(t *testing.T, disk string, most int) (n int) {
	t.Helper()
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1024)
	for at := int64(stateAt); n < most; at += int64(len(block)) {
		if _, err := f.ReadAt(block, at); err != nil {
			return n
		}
		if block[56] != 0x53 || block[57] != 0xEF {
			continue
		}
		if _, err := f.WriteAt(bytes.Repeat([]byte{0xA5}, len(block)), at); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestBootWithRuinedStateDisk(t *testing.T) {
	disk := qemutest.StateDisk(t)
	if n := spoil(t, disk, 1000); n < 2 {
		t.Fatalf("%d superblocks overwritten; want all copies", n)
	}
	before := sum(t, disk)
	a := start(t, disk)
	if text := a.await("rescue> "); !strings.Contains(text, "is damaged, and e2fsck cannot mend it") || !strings.Contains(text, "  memory ") {
		t.Errorf("rescue console:\n%s\nwant what is wrong and what can be done", text)
	}
	if text := a.say("log", "rescue> "); !strings.Contains(text, "superblock") {
		t.Errorf("log:\n%s\nwant what e2fsck said", text)
	}
	a.say("retry", "cannot mend it")
	a.await("rescue> ")
	a.say("format", "anything else to go back: ")
	a.say("yes", "Nothing was erased.")
	a.await("rescue> ")
	if banner := a.say("memory", "login: "); !strings.Contains(banner, "memory") {
		t.Errorf("banner:\n%s\nwant that state is in memory", banner)
	}
	a.pressPower()
	if sum(t, disk) != before {
		t.Error("the disk has changed; want it as it was")
	}

	a = start(t, disk)
	a.await("rescue> ")
	a.pressPower()
	if sum(t, disk) != before {
		t.Error("the disk has changed by the power button; want it as it was")
	}

	a = start(t, disk)
	a.await("rescue> ")
	a.say("format", "anything else to go back: ")
	a.say("ERASE vda1", "formatting vda1")
	if banner := a.login(); !strings.Contains(banner, "vda1 (ext4") {
		t.Errorf("banner:\n%s\nwant the new state partition", banner)
	}
	a.pressPower()
	if out, err := exec.Command("e2fsck", "-f", "-n", fmt.Sprintf("%s?offset=%d", disk, stateAt)).CombinedOutput(); err != nil {
		t.Errorf("e2fsck of the formatted partition: %v\n%s", err, out)
	}
}

func TestBootWithoutStateDisk(t *testing.T) {
	a := start(t, "")
	if banner := a.login(); !strings.Contains(banner, "memory") {
		t.Errorf("banner:\n%s\nwant that state is in memory", banner)
	}
	a.pressPower()
}

func TestBootLeavesForeignDiskAlone(t *testing.T) {
	foreign := filepath.Join(t.TempDir(), "foreign.img")
	const size = 128 << 20
	d, err := diskfs.Create(foreign, size, diskfs.SectorSizeDefault)
	if err != nil {
		t.Fatal(err)
	}
	table := &gpt.Table{LogicalSectorSize: 512, PhysicalSectorSize: 512, ProtectiveMBR: true, Partitions: []*gpt.Partition{{
		Index: 1, Start: stateAt / 512, End: (size-stateAt)/512 - 1, Type: gpt.LinuxFilesystem, Name: "DATA",
	}}}
	if err := d.Partition(table); err != nil {
		t.Fatal(err)
	}
	if _, err := d.CreateFilesystem(disk.FilesystemSpec{Partition: 1, FSType: filesystem.TypeExt4, VolumeLabel: "parley-state"}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	before := sum(t, foreign)
	a := start(t, foreign)
	if banner := a.login(); !strings.Contains(banner, "memory") {
		t.Errorf("banner:\n%s\nwant that state is in memory", banner)
	}
	a.pressPower()
	if sum(t, foreign) != before {
		t.Error("the foreign disk has changed; want it as it was")
	}
}

// A service that cannot run is started again with a growing delay; the others
// and the console are not touched by it.
func TestBootWithServiceThatFails(t *testing.T) {
	disk := qemutest.StateDisk(t)
	a := start(t, disk)
	a.login()
	a.pressPower()
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, bytes.Repeat([]byte("junk"), 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(debugfs(t, disk, "-R", "ls -p /xmpp")) {
		if f := strings.Split(name, "/"); len(f) > 5 && strings.HasSuffix(f[5], ".db") {
			debugfs(t, disk, "-w", "-R", "rm /xmpp/"+f[5])
			debugfs(t, disk, "-w", "-R", "write "+junk+" /xmpp/"+f[5])
		}
	}
	a = start(t, disk)
	a.await("login: ")
	a.say("admin", "Password: ")
	a.say(password, "parley> ")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		text := a.say("syslog tail 100", "parley> ")
		if strings.Count(text, "service failed service=xmpp") >= 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("syslog:\n%s\nwant at least 3 failures of xmpp", text)
		}
	}
	if text := a.say("uptime", "parley> "); !strings.Contains(text, "sshd") {
		t.Errorf("uptime:\n%s\nwant the other services", text)
	}
	a.pressPower()
}
