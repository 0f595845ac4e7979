package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/ext4"
	"golang.org/x/sys/unix"
)

// FormatDevice makes an ext4 file system of the partition's size. What was
// there is overwritten with zeros first: the formatter relies on unused inode
// tables being zero. progress gets the part done, 0 to 1.
func FormatDevice(ctx context.Context, p Partition, progress func(float64)) error {
	f, err := os.OpenFile(p.Device, os.O_RDWR|os.O_EXCL, 0)
	if err != nil {
		return fmt.Errorf("format: %w", err)
	}
	defer f.Close()
	const step = 64 << 20
	for at := int64(0); at < p.Size; at += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		progress(float64(at) / float64(p.Size))
		if err := zero(f, at, min(step, p.Size-at)); err != nil {
			return fmt.Errorf("format %s: overwrite with zeros: %w", p.Name, err)
		}
	}
	if _, err := ext4.Create(file.New(f, false), p.Size, 0, 512, &ext4.Params{VolumeName: "parley-state"}); err != nil {
		return fmt.Errorf("format %s: %w", p.Name, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("format %s: %w", p.Name, err)
	}
	progress(1)
	return nil
}

// zero clears a range by the device itself where it can, else by writing.
func zero(f *os.File, at, n int64) error {
	span := [2]uint64{uint64(at), uint64(n)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKZEROOUT, uintptr(unsafe.Pointer(&span)))
	if errno == 0 {
		return nil
	}
	if !errors.Is(errno, unix.ENOTTY) && !errors.Is(errno, unix.EOPNOTSUPP) && !errors.Is(errno, unix.EINVAL) {
		return errno
	}
	block := make([]byte, min(n, 1<<20))
	for end := at + n; at < end; {
		w, err := f.WriteAt(block[:min(int64(len(block)), end-at)], at)
		if err != nil {
			return err
		}
		at += int64(w)
	}
	return nil
}
