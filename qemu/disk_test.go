package qemu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/partition/gpt"
)

func TestCreateStateDisk(t *testing.T) {
	for _, size := range []int64{64 << 20, DefaultStateSize} {
		t.Run(fmt.Sprintf("%d MiB", size>>20), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.img")
			if err := CreateStateDisk(path, size); err != nil {
				t.Fatal(err)
			}
			d, err := diskfs.Open(path, diskfs.WithOpenMode(diskfs.ReadOnly))
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			table, err := d.GetPartitionTable()
			if err != nil {
				t.Fatal(err)
			}
			parts := table.(*gpt.Table).Partitions
			if len(parts) == 0 || parts[0].Name != StatePartition || parts[0].Start != 2048 {
				t.Fatalf("first partition = %+v; want %s at sector 2048", parts, StatePartition)
			}
			out, err := exec.Command("e2fsck", "-fn", fmt.Sprintf("%s?offset=%d", path, parts[0].Start*sectorSize)).CombinedOutput()
			if err != nil {
				t.Errorf("e2fsck: %v\n%s", err, out)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if used := info.Sys().(*syscall.Stat_t).Blocks * 512; info.Size() != size || used > size/2 {
				t.Errorf("disk of %d bytes uses %d; want %d, sparse", info.Size(), used, size)
			}
		})
	}
}

func TestCreateStateDiskNeverTouchesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.img")
	if err := os.WriteFile(path, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := CreateStateDisk(path, 64<<20); !errors.Is(err, fs.ErrExist) {
		t.Errorf("CreateStateDisk = %v; want %v", err, fs.ErrExist)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "precious" {
		t.Errorf("the file is now %q, %v", data, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".state-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestCreateStateDiskRefusesOddSizes(t *testing.T) {
	for _, size := range []int64{0, 1 << 20, 64<<20 + 1} {
		if err := CreateStateDisk(filepath.Join(t.TempDir(), "x"), size); err == nil {
			t.Errorf("CreateStateDisk(%d) = nil; want an error", size)
		}
	}
}
