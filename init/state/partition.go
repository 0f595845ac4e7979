// Package state prepares the partition that outlives a reboot: it finds the
// one named PARLEY-STATE, has e2fsck mend it, mounts it, and lays out its
// folders. It never formats by itself and opens no other partition for writing.
package state

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// PartitionName is the GPT name (PARTNAME) of the partition that is ours. The
// image's disks and the installer give it; nobody else's disk has it.
const PartitionName = "PARLEY-STATE"

// Partition is one of that name.
type Partition struct {
	// Name is the kernel's, vda1; Device the node to open.
	Name, Device string
	// Size in bytes.
	Size int64
}

// Find lists the partitions named PARLEY-STATE, by kernel name.
func Find(sys, dev string) []Partition {
	var found []Partition
	files, _ := filepath.Glob(filepath.Join(sys, "class/block/*/uevent"))
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil || !slices.Contains(strings.Split(string(data), "\n"), "PARTNAME="+PartitionName) {
			continue
		}
		name := filepath.Base(filepath.Dir(f))
		p := Partition{Name: name, Device: filepath.Join(dev, name)}
		if size, err := os.ReadFile(filepath.Join(filepath.Dir(f), "size")); err == nil {
			sectors, _ := strconv.ParseInt(strings.TrimSpace(string(size)), 10, 64)
			p.Size = sectors * 512
		}
		found = append(found, p)
	}
	slices.SortFunc(found, func(a, b Partition) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// String names a partition for people.
func (p Partition) String() string { return fmt.Sprintf("%s (%s)", p.Name, Bytes(p.Size)) }

// Bytes writes a size for people.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for v >= unit && i < 4 {
		v /= unit
		i++
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTP"[i])
}

// Probing says that storage drivers are still at work on devices that may turn
// out to hold the partition, so that waiting for it makes sense: an NVMe
// controller without namespaces or a USB drive without a disk. Other drivers
// are done when their module is loaded.
func Probing(sys string) bool {
	controllers, _ := filepath.Glob(filepath.Join(sys, "class/nvme/nvme*"))
	for _, c := range controllers {
		disks, _ := filepath.Glob(filepath.Join(c, "nvme*n*"))
		if len(disks) == 0 {
			return true
		}
	}
	interfaces, _ := filepath.Glob(filepath.Join(sys, "bus/usb/devices/*/bInterfaceClass"))
	for _, f := range interfaces {
		class, err := os.ReadFile(f)
		// Mass storage, USB-IF class 08h.
		if err != nil || strings.TrimSpace(string(class)) != "08" {
			continue
		}
		disks, _ := filepath.Glob(filepath.Join(filepath.Dir(f), "host*/target*/*/block/*"))
		if len(disks) == 0 {
			return true
		}
	}
	return false
}
