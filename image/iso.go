package image

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// volumeID is the ISO's label.
const volumeID = "PARLEY"

//go:embed grub.cfg
var grubConfig []byte

// GRUB's files for BIOS and UEFI.
const (
	grubBIOS = "/usr/lib/grub/i386-pc"
	grubEFI  = "/usr/lib/grub/x86_64-efi"
)

// All modules of GRUB that are used are in its core images, so that the ISO has
// no folder of them.
const (
	grubModules     = "normal iso9660 part_gpt part_msdos search_fs_file serial terminal test echo linux"
	grubBIOSModules = grubModules + " biosdisk linux16"
	grubEFIModules  = grubModules + " fat"
)

// isoParts is what GRUB boots.
type isoParts struct {
	vmlinuz, initrd string
	manifest        []byte
}

// compress is zstd rather than xz: the kernel unpacks it several times faster,
// and the image is small enough. Several threads give the same bytes as one.
func compress(ctx context.Context, in, out string) error {
	if _, err := command(ctx, "", nil, "zstd", "-19", "-T0", "--quiet", "-o", out, in); err != nil {
		return fmt.Errorf("compress initramfs: %w", err)
	}
	return nil
}

// makeISO lays out the tree and makes it bootable four ways: by BIOS (El Torito
// for CD, the boot sector for a disk) and by UEFI (a FAT image that is both an
// El Torito entry and a partition). grub-mkrescue does the same, but puts the
// time of day into it.
func makeISO(ctx context.Context, cfg Config, tmp string, parts isoParts, out string) error {
	tree := filepath.Join(tmp, "iso")
	grub := filepath.Join(tree, "boot", "grub")
	if err := os.MkdirAll(grub, 0o755); err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	id, err := lay(tree, parts)
	if err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	early := filepath.Join(tmp, "early.cfg")
	if err := os.WriteFile(early, []byte(earlyConfig(id)), 0o644); err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	if err := makeCore(ctx, "i386-pc-eltorito", grubBIOS, grubBIOSModules, early, filepath.Join(grub, "eltorito.img")); err != nil {
		return err
	}
	efi := filepath.Join(tmp, "bootx64.efi")
	if err := makeCore(ctx, "x86_64-efi", grubEFI, grubEFIModules, early, efi); err != nil {
		return err
	}
	if err := makeFAT(ctx, cfg, efi, filepath.Join(tree, "efi.img")); err != nil {
		return err
	}
	if err := settle(tree, cfg.Epoch); err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	return master(ctx, cfg, tree, out)
}

// lay puts the files that GRUB reads into tree and returns the path of an empty
// one whose name tells this image from all others.
func lay(tree string, parts isoParts) (id string, err error) {
	boot := filepath.Join(tree, "boot")
	for _, step := range []func() error{
		func() error { return copyFile(filepath.Join(boot, "vmlinuz"), parts.vmlinuz) },
		func() error { return os.Rename(parts.initrd, filepath.Join(boot, "initrd")) },
		func() error { return os.WriteFile(filepath.Join(boot, "grub", "grub.cfg"), grubConfig, 0o644) },
		func() error { return os.WriteFile(filepath.Join(tree, "manifest.json"), parts.manifest, 0o644) },
	} {
		if err := step(); err != nil {
			return "", err
		}
	}
	initrd, err := fileSHA256(filepath.Join(boot, "initrd"))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte(initrd), grubConfig...))
	id = fmt.Sprintf("/boot/%x.id", sum[:8])
	return id, os.WriteFile(filepath.Join(tree, id), nil, 0o644)
}

// earlyConfig finds the medium that GRUB was started from: firmware names discs
// in too many ways, and another Parley disc may be there too.
func earlyConfig(id string) string {
	return fmt.Sprintf("search.file %s root\nset prefix=($root)/boot/grub\n", id)
}

// makeCore links GRUB into one file.
func makeCore(ctx context.Context, format, dir, modules, early, out string) error {
	args := []string{"--format=" + format, "--directory=" + dir, "--prefix=/boot/grub", "--config=" + early, "--output=" + out}
	if _, err := command(ctx, "", nil, "grub-mkimage", append(args, strings.Fields(modules)...)...); err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	return nil
}

// makeFAT is the EFI system partition, with GRUB where removable media have it
// (UEFI §3.5.1.1). FAT's serial number and times would differ each time.
func makeFAT(ctx context.Context, cfg Config, efi, out string) error {
	info, err := os.Stat(efi)
	if err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	// FAT's own tables and folders fit in 64 KiB at this size.
	kib := strconv.FormatInt((info.Size()+64<<10)/1024, 10)
	if err := os.Chtimes(efi, cfg.Epoch, cfg.Epoch); err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	env := sourceDate(cfg)
	for _, args := range [][]string{
		{"mformat", "-C", "-i", out, "-N", "0", "-v", "PARLEY", "-T", kib + "K", "::"},
		{"mmd", "-i", out, "::/EFI", "::/EFI/BOOT"},
		{"mcopy", "-m", "-i", out, efi, "::/EFI/BOOT/BOOTX64.EFI"},
	} {
		if _, err := command(ctx, "", env, args[0], args[1:]...); err != nil {
			return fmt.Errorf("iso: %w", err)
		}
	}
	return nil
}

// master writes the ISO.
func master(ctx context.Context, cfg Config, tree, out string) error {
	_, err := command(ctx, "", sourceDate(cfg), "xorriso", "-as", "mkisofs",
		"-volid", volumeID, "-rational-rock",
		"--modification-date="+cfg.Epoch.UTC().Format("20060102150405")+"00",
		"-b", "boot/grub/eltorito.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
		"--grub2-boot-info", "--grub2-mbr", filepath.Join(grubBIOS, "boot_hybrid.img"),
		"--efi-boot", "efi.img", "-efi-boot-part", "--efi-boot-image", "--protective-msdos-label",
		"-o", out, tree)
	if err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	return nil
}

// sourceDate is for programs that follow reproducible-builds.org.
func sourceDate(cfg Config) []string {
	return []string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(cfg.Epoch.Unix(), 10), "TZ=UTC"}
}

// settle gives every file below dir the same time and the modes that do not
// depend on the builder's umask: both end up in the ISO.
func settle(dir string, t time.Time) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if d.IsDir() {
			mode = 0o755
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		return os.Chtimes(path, t, t)
	})
}

func copyFile(dst, src string) error {
	data, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	return os.WriteFile(dst, data, 0o644)
}
