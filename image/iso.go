package image

import (
	"context"
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// volumeID is the ISO's label.
const volumeID = "PARLEY"

//go:embed grub.cfg
var grubConfig []byte

// grubModules are those that grub.cfg and the kernel's start need; all of
// GRUB's would be 9 MB of the image.
const grubModules = "normal linux linux16 iso9660 part_gpt part_msdos fat search serial terminal test echo reboot halt all_video"

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

// makeISO lays out the tree and has grub-mkrescue make it bootable.
func makeISO(ctx context.Context, cfg Config, tmp string, parts isoParts, out string) error {
	tree := filepath.Join(tmp, "iso")
	boot := filepath.Join(tree, "boot")
	if err := os.MkdirAll(filepath.Join(boot, "grub"), 0o755); err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	if err := copyFile(filepath.Join(boot, "vmlinuz"), parts.vmlinuz); err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	if err := os.Rename(parts.initrd, filepath.Join(boot, "initrd")); err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	if err := os.WriteFile(filepath.Join(boot, "grub", "grub.cfg"), grubConfig, 0o644); err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	if err := os.WriteFile(filepath.Join(tree, "manifest.json"), parts.manifest, 0o644); err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	if err := settle(tree, cfg.Epoch); err != nil {
		return err
	}
	epoch := "SOURCE_DATE_EPOCH=" + strconv.FormatInt(cfg.Epoch.Unix(), 10)
	_, err := command(ctx, "", []string{epoch, "TZ=UTC"}, "grub-mkrescue",
		"--output="+out, "--install-modules="+grubModules, "--locales=", "--fonts=", "--themes=",
		tree, "--", "-volid", volumeID)
	if err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	return nil
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
