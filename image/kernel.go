package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// kernelMeta always depends on the newest kernel of the generic flavour. The
// ABI number in the real package's name moves with each security update, and
// old ones leave the mirror, so it is never written down here.
const kernelMeta = "linux-image-amd64"

// debPackage is one Debian package as the manifest names it.
type debPackage struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// SHA256 is of the .deb where the build fetched it, and else empty.
	SHA256 string `json:"sha256,omitempty"`
}

// kernel is an unpacked kernel package.
type kernel struct {
	Package debPackage
	Release string
	Vmlinuz string
	Modules string // lib/modules/RELEASE
}

// fetchKernel resolves the meta-package, downloads what it stands for unless
// cache has it, and unpacks it. apt verifies the download against the signed
// lists, and a cached file is held against their SHA-256 again.
func fetchKernel(ctx context.Context, cache string, log io.Writer) (*kernel, error) {
	name, err := resolveKernel(ctx)
	if err != nil {
		return nil, err
	}
	pkg, err := candidate(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("kernel cache: %w", err)
	}
	stem := fmt.Sprintf("%s_%s_amd64", pkg.Name, strings.ReplaceAll(pkg.Version, ":", "%3a"))
	deb := filepath.Join(cache, stem+".deb")
	if sum, err := fileSHA256(deb); err != nil || sum != pkg.SHA256 {
		fmt.Fprintf(log, "kernel: downloading %s %s\n", pkg.Name, pkg.Version)
		if err := download(ctx, cache, pkg, deb); err != nil {
			return nil, err
		}
	}
	tree, err := unpack(ctx, cache, stem+"-"+pkg.SHA256[:16], deb)
	if err != nil {
		return nil, err
	}
	release := strings.TrimPrefix(pkg.Name, "linux-image-")
	return &kernel{
		Package: pkg,
		Release: release,
		Vmlinuz: filepath.Join(tree, "boot", "vmlinuz-"+release),
		Modules: filepath.Join(tree, "lib", "modules", release),
	}, nil
}

var errAptLists = errors.New("apt knows no such package; run: sudo apt-get update")

// resolveKernel is the package that the meta-package depends on.
func resolveKernel(ctx context.Context) (string, error) {
	out, err := command(ctx, "", nil, "apt-cache", "depends", "--no-recommends", "--no-suggests", kernelMeta)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errAptLists, err)
	}
	if name := parseDepends(string(out)); name != "" {
		return name, nil
	}
	return "", fmt.Errorf("%s: %w", kernelMeta, errAptLists)
}

func parseDepends(out string) string {
	for line := range strings.Lines(out) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: ")
		if ok && strings.HasPrefix(name, "linux-image-") {
			return name
		}
	}
	return ""
}

// candidate is the version of a package that apt would install.
func candidate(ctx context.Context, name string) (debPackage, error) {
	out, err := command(ctx, "", nil, "apt-cache", "show", "--no-all-versions", name)
	if err != nil {
		return debPackage{}, fmt.Errorf("%w: %w", errAptLists, err)
	}
	return parseShow(name, string(out))
}

func parseShow(name, out string) (debPackage, error) {
	p := debPackage{Name: name}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "Version":
			p.Version = value
		case "SHA256":
			p.SHA256 = value
		}
	}
	if p.Version == "" || len(p.SHA256) != sha256.Size*2 {
		return debPackage{}, fmt.Errorf("%s: %w", name, errAptLists)
	}
	return p, nil
}

func download(ctx context.Context, cache string, pkg debPackage, deb string) error {
	if _, err := command(ctx, cache, nil, "apt-get", "download", pkg.Name+"="+pkg.Version); err != nil {
		return fmt.Errorf("download %s (when the mirror has it no more, run: sudo apt-get update): %w", pkg.Name, err)
	}
	sum, err := fileSHA256(deb)
	if err != nil {
		return fmt.Errorf("download %s: %w", pkg.Name, err)
	}
	if sum != pkg.SHA256 {
		os.Remove(deb)
		return fmt.Errorf("download %s: SHA-256 is %s, apt's lists say %s", pkg.Name, sum, pkg.SHA256)
	}
	return nil
}

// unpack extracts deb to cache/name. The folder appears under its name only
// when it is whole.
func unpack(ctx context.Context, cache, name, deb string) (string, error) {
	tree := filepath.Join(cache, name)
	if _, err := os.Stat(tree); err == nil {
		return tree, nil
	}
	tmp, err := os.MkdirTemp(cache, ".unpack-*")
	if err != nil {
		return "", fmt.Errorf("unpack kernel: %w", err)
	}
	defer os.RemoveAll(tmp)
	if _, err := command(ctx, "", nil, "dpkg-deb", "--extract", deb, tmp); err != nil {
		return "", fmt.Errorf("unpack kernel: %w", err)
	}
	if err := os.Rename(tmp, tree); err != nil {
		return "", fmt.Errorf("unpack kernel: %w", err)
	}
	return tree, nil
}

// installed is the version of a package on the build host.
func installed(ctx context.Context, name string) (debPackage, error) {
	out, err := command(ctx, "", nil, "dpkg-query", "--show", "--showformat=${Version}", name)
	if err != nil {
		return debPackage{}, fmt.Errorf("%s is %w: %w", name, ErrNotInstalled, err)
	}
	return debPackage{Name: name, Version: string(out)}, nil
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
