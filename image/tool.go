package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// ErrNotInstalled: the build needs a Debian package that is not there. The
// message names it; `make deps` installs them all.
var ErrNotInstalled = errors.New("not installed")

// packageOf says which Debian package brings a program or file that the build
// uses.
var packageOf = map[string]string{
	"apt-cache":                   "apt",
	"apt-get":                     "apt",
	"dpkg-deb":                    "dpkg",
	"dpkg-query":                  "dpkg",
	"grub-mkimage":                "grub-common",
	"xorriso":                     "xorriso",
	"mformat":                     "mtools",
	"zstd":                        "zstd",
	grubBIOS + "/boot_hybrid.img": "grub-pc-bin",
	grubEFI + "/moddep.lst":       "grub-efi-amd64-bin",
	e2fsckPath:                    "e2fsck-static",
	certificatesPath:              "ca-certificates",
	zoneinfoPath + "/UTC":         "tzdata",
}

// checkTools names all missing packages at once, before any work is done.
func checkTools() error {
	var errs []error
	for _, name := range sortedKeys(packageOf) {
		var err error
		if strings.HasPrefix(name, "/") {
			_, err = os.Stat(name)
		} else {
			_, err = exec.LookPath(name)
		}
		if err != nil {
			errs = append(errs, missing(name))
		}
	}
	return errors.Join(errs...)
}

func missing(name string) error {
	pkg := packageOf[name]
	return fmt.Errorf("%s is %w; it comes with the Debian package %s: apt-get install %s", name, ErrNotInstalled, pkg, pkg)
}

// command runs a program and returns its standard output. dir and env, which is
// added to the environment, may be empty.
func command(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append([]string{"LC_ALL=C"}, env...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		text := strings.TrimSpace(stderr.String())
		return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, text)
	}
	return out, nil
}
