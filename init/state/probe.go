package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Content is what a partition holds.
type Content string

// Contents that are not the name of some other file system.
const (
	// Ext4 is an ext2, 3 or 4 superblock where the first one belongs.
	Ext4 Content = "ext4"
	// Empty is zeros where any file system would have its signature.
	Empty Content = "empty"
	// Unknown is data without a signature: an ext4 whose first superblock
	// is lost looks so.
	Unknown Content = "unknown"
)

// probed is how much of a partition Probe reads: past the last signature.
const probed = 68 << 10

var signatures = []struct {
	offset int
	magic  string
	name   Content
}{
	{0, "XFSB", "XFS"},
	{0x10040, "_BHRfS_M", "Btrfs"},
	{0, "LUKS\xba\xbe", "LUKS"},
	{512, "LABELONE", "LVM"},
	{4086, "SWAPSPACE2", "swap"},
	{3, "NTFS    ", "NTFS"},
	{54, "FAT", "FAT"},
	{82, "FAT32", "FAT"},
	{3, "EXFAT   ", "exFAT"},
	{0, "hsqs", "SquashFS"},
	{1024, "\x10\x20\xf5\xf2", "F2FS"},
	{1024, "\xe2\xe1\xf5\xe0", "EROFS"},
	{0x8001, "CD001", "ISO 9660"},
	{512, "EFI PART", "a partition table"},
}

// Probe says what the device holds; it only reads.
func Probe(device string) (Content, error) {
	f, err := os.Open(device)
	if err != nil {
		return "", fmt.Errorf("probe: %w", err)
	}
	defer f.Close()
	head := make([]byte, probed)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("probe %s: %w", device, err)
	}
	head = head[:n]
	if len(head) >= 1024+58 && binary.LittleEndian.Uint16(head[1024+56:]) == 0xEF53 {
		return Ext4, nil
	}
	for _, s := range signatures {
		if len(head) >= s.offset+len(s.magic) && string(head[s.offset:s.offset+len(s.magic)]) == s.magic {
			return s.name, nil
		}
	}
	if len(bytes.Trim(head, "\x00")) == 0 {
		return Empty, nil
	}
	return Unknown, nil
}
