package qemu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/disk"
	"github.com/diskfs/go-diskfs/filesystem"
	"github.com/diskfs/go-diskfs/partition/gpt"
)

// StatePartition is the GPT name by which init knows its state.
const StatePartition = "PARLEY-STATE"

// DefaultStateSize is that of a state disk for trying things out.
const DefaultStateSize = 1 << 30

const (
	sectorSize = 512
	alignment  = 1 << 20
)

// CreateStateDisk makes a raw disk image, sparse, with one ext4 partition named
// PARLEY-STATE. It appears under its name only when it is whole, and an existing
// file is never touched.
func CreateStateDisk(path string, size int64) error {
	if size%alignment != 0 || size < 64<<20 {
		return fmt.Errorf("create state disk: size %d is not a multiple of 1 MiB from 64 MiB up", size)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(path), ".state-*")
	if err != nil {
		return fmt.Errorf("create state disk: %w", err)
	}
	defer os.RemoveAll(tmp)
	raw := filepath.Join(tmp, "disk")
	if err := formatStateDisk(raw, size); err != nil {
		return fmt.Errorf("create state disk: %w", err)
	}
	if err := passBootOn(raw); err != nil {
		return fmt.Errorf("create state disk: %w", err)
	}
	// Link, unlike rename, fails when the name is taken.
	if err := os.Link(raw, path); err != nil {
		return fmt.Errorf("create state disk: %w", err)
	}
	return nil
}

func formatStateDisk(path string, size int64) (err error) {
	d, err := diskfs.Create(path, size, diskfs.SectorSizeDefault)
	if err != nil {
		return err
	}
	defer func() {
		if e := d.Close(); err == nil {
			err = e
		}
	}()
	table := &gpt.Table{
		LogicalSectorSize:  sectorSize,
		PhysicalSectorSize: sectorSize,
		ProtectiveMBR:      true,
		Partitions: []*gpt.Partition{{
			Index: 1,
			Start: alignment / sectorSize,
			End:   uint64((size-alignment)/sectorSize) - 1,
			Type:  gpt.LinuxFilesystem,
			Name:  StatePartition,
		}},
	}
	if err := d.Partition(table); err != nil {
		return fmt.Errorf("partition: %w", err)
	}
	if _, err := d.CreateFilesystem(disk.FilesystemSpec{Partition: 1, FSType: filesystem.TypeExt4, VolumeLabel: "parley-state"}); err != nil {
		return fmt.Errorf("format: %w", err)
	}
	return nil
}

// passBootOn gives the disk the boot code INT 18h: a BIOS that tries it before
// the ISO goes on to the next device rather than run zeros for ever.
func passBootOn(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{0xcd, 0x18}, 0)
	return errors.Join(err, f.Close())
}
