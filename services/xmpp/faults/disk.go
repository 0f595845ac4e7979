package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Disk is the file system of one node's state: ext4 on a loop device that is a
// file, or tmpfs where this process is not really root.
type Disk struct {
	path string
	// device is that of the loop device, "" on tmpfs; number is its major
	// and minor.
	device, number string
}

// diskSize leaves room beyond the product's reserve for the logs of an hour.
const diskSize = 1 << 30

// throttle is where the first version of control groups limits a device, for
// all who use it.
const throttle = "/sys/fs/cgroup/blkio/blkio.throttle.write_iops_device"

// NewDisk mounts one at path, which it makes.
func NewDisk(place Place, path string) (*Disk, error) {
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, err
	}
	d := &Disk{path: path}
	if !place.Root {
		return d, unix.Mount("state", path, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize))
	}
	image := path + ".img"
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(image, diskSize); err != nil {
		return nil, err
	}
	if err := command("", "mkfs.ext4", "-q", "-m", "0", "-F", image); err != nil {
		return nil, err
	}
	out, err := exec.Command("losetup", "-f", "--show", image).Output()
	if err != nil {
		return nil, fmt.Errorf("losetup: %w", err)
	}
	d.device = strings.TrimSpace(string(out))
	if err := unix.Mount(d.device, path, "ext4", 0, ""); err != nil {
		command("", "losetup", "-d", d.device)
		return nil, fmt.Errorf("mount %s: %w", d.device, err)
	}
	// From here on the device goes with the mount, even if this process is
	// killed.
	command("", "losetup", "-d", d.device)
	number, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(d.device), "dev"))
	if err != nil {
		d.Close()
		return nil, err
	}
	d.number = strings.TrimSpace(string(number))
	return d, nil
}

// Close unmounts it; what was on it is gone.
func (d *Disk) Close() {
	if d.slowable() {
		d.slow(0)
	}
	unix.Unmount(d.path, unix.MNT_DETACH)
	if d.device != "" {
		os.Remove(d.path + ".img")
	}
}

// slowable says whether slow works.
func (d *Disk) slowable() bool {
	_, err := os.Stat(throttle)
	return d.number != "" && err == nil
}

// slow lets through so many writes a second, 0 all. An fsync is several.
func (d *Disk) slow(writes int) error {
	return os.WriteFile(throttle, fmt.Appendf(nil, "%s %d\n", d.number, writes), 0)
}

func (d *Disk) ballast() string { return filepath.Join(d.path, "ballast") }

// fill leaves no room.
func (d *Disk) fill() error { return Fill(d.ballast()) }

// Fill makes a file so large that its file system has no room left.
func Fill(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	size := int64(0)
	for step := int64(256 << 20); step >= 4096; {
		err := unix.Fallocate(int(f.Fd()), 0, size, step)
		switch {
		case err == nil:
			size += step
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("fill the disk by %s: %w", path, err)
		}
	}
	return nil
}

// free gives the room back.
func (d *Disk) free() error {
	if err := os.Remove(d.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
