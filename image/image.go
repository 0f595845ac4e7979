// Package image makes the appliance's image: Debian's kernel, a curated set of
// its modules, an initramfs that is the whole system, and GRUB around them, as
// an ISO that boots by BIOS and UEFI from CD and USB. It needs no root. It does
// not run images (package qemu) and has no part in what happens inside one.
//
// Equal sources, Go version and Debian packages give an ISO that is equal byte
// for byte.
package image

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/u-root/mkuimage/cpio"
)

// Config is what an image is built from.
type Config struct {
	// Source is the module's root; Program the package of the appliance's
	// multi-call binary, relative to it.
	Source  string
	Program string
	Version string
	// Epoch is the time that every file of the image carries.
	Epoch time.Time
	// Cache keeps the kernel between builds.
	Cache string
	// Output is the ISO to write.
	Output string
	// Log gets a line a step.
	Log io.Writer
}

// hostPackages are the Debian packages, beside the kernel, that parts of the
// image come from.
var hostPackages = []string{"ca-certificates", "e2fsck-static", "grub-efi-amd64-bin", "grub-pc-bin", "tzdata"}

// Build writes the ISO. Output appears under its name only when it is whole.
func Build(ctx context.Context, cfg Config) error {
	if err := checkTools(); err != nil {
		return err
	}
	steps := stepLog{out: cfg.Log, start: time.Now()}
	kernel, err := fetchKernel(ctx, cfg.Cache, cfg.Log)
	if err != nil {
		return err
	}
	steps.done("kernel %s (%s %s)", kernel.Release, kernel.Package.Name, kernel.Package.Version)

	tree, err := readKmodTree(kernel.Modules)
	if err != nil {
		return err
	}
	set, err := tree.closure(moduleList(curatedModules))
	if err != nil {
		return err
	}
	steps.done("%d kernel modules", len(set.Names))

	tmp, err := os.MkdirTemp(filepath.Dir(cfg.Output), ".image-*")
	if err != nil {
		return fmt.Errorf("build image: %w", err)
	}
	defer os.RemoveAll(tmp)

	manifest, err := makeManifest(ctx, cfg, kernel, set)
	if err != nil {
		return err
	}
	raw := filepath.Join(tmp, "initramfs.cpio")
	if err := makeInitramfs(cfg, tmp, raw, manifest, set); err != nil {
		return err
	}
	steps.done("initramfs, %.1f MiB", mebibytes(raw))
	packed := filepath.Join(tmp, "initrd")
	if err := compress(ctx, raw, packed); err != nil {
		return err
	}
	steps.done("compressed to %.1f MiB", mebibytes(packed))

	iso := filepath.Join(tmp, "image.iso")
	if err := makeISO(ctx, cfg, tmp, isoParts{vmlinuz: kernel.Vmlinuz, initrd: packed, manifest: manifest}, iso); err != nil {
		return err
	}
	if err := os.Rename(iso, cfg.Output); err != nil {
		return fmt.Errorf("build image: %w", err)
	}
	steps.done("%s, %.1f MiB", cfg.Output, mebibytes(cfg.Output))
	return nil
}

func makeManifest(ctx context.Context, cfg Config, k *kernel, set *moduleSet) ([]byte, error) {
	m := Manifest{
		Version:  cfg.Version,
		Epoch:    cfg.Epoch.Unix(),
		Go:       runtime.Version(),
		Kernel:   k.Release,
		Modules:  set.Names,
		Packages: []debPackage{k.Package},
	}
	for _, tool := range tools {
		m.Tools = append(m.Tools, path.Base(tool))
	}
	for _, name := range hostPackages {
		p, err := installed(ctx, name)
		if err != nil {
			return nil, err
		}
		m.Packages = append(m.Packages, p)
	}
	return m.encode()
}

func makeInitramfs(cfg Config, tmp, out string, manifest []byte, set *moduleSet) error {
	base, err := baseRecords(cfg.Version, manifest)
	if err != nil {
		return err
	}
	modules, err := moduleRecords(set)
	if err != nil {
		return err
	}
	archive, err := cpio.ArchiveFromRecords(append(base, modules...))
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	return writeInitramfs(cfg, tmp, out, archive)
}

// stepLog prints what is done and how long it took since the build began.
type stepLog struct {
	out   io.Writer
	start time.Time
}

func (s stepLog) done(format string, args ...any) {
	fmt.Fprintf(s.out, "%6.1f s  %s\n", time.Since(s.start).Seconds(), fmt.Sprintf(format, args...))
}

func mebibytes(file string) float64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return float64(info.Size()) / (1 << 20)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
