// Package qemutest lets tests boot the image. Such tests run only when
// PARLEY_BOOT_TESTS is 1 and PARLEY_ISO names the image, as `make test-boot`
// sets them: a boot takes ten seconds and more, and needs a built image.
package qemutest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/qemu"
)

// LogsVariable names a folder where the consoles' output of failed tests is
// kept.
const LogsVariable = "PARLEY_BOOT_LOGS"

// ISO is the image to test; without the environment the test does not run.
func ISO(t testing.TB) string {
	t.Helper()
	if os.Getenv("PARLEY_BOOT_TESTS") != "1" {
		t.Skip("boots a virtual machine; run it by: make test-boot")
	}
	iso := os.Getenv("PARLEY_ISO")
	if _, err := os.Stat(iso); err != nil {
		t.Fatalf("PARLEY_ISO: %v; build the image by: make iso", err)
	}
	return iso
}

// StateDisk is a new state disk.
func StateDisk(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.img")
	if err := qemu.CreateStateDisk(path, 256<<20); err != nil {
		t.Fatal(err)
	}
	return path
}

// Context ends well before the test binary is killed for its age, so that logs
// are still written.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), qemu.DefaultLifetime)
	t.Cleanup(cancel)
	return ctx
}

// Start powers a VM on and pulls its plug at the end of the test. Each serial
// port's output is kept when the test fails.
func Start(t testing.TB, ctx context.Context, cfg qemu.Config) *qemu.VM {
	t.Helper()
	cfg.Log = filepath.Join(t.TempDir(), "console.log")
	vm, err := qemu.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	t.Cleanup(func() {
		if err := vm.Kill(); err != nil {
			t.Errorf("pull the plug: %v", err)
		}
		if t.Failed() {
			keep(t, cfg.Log, began)
		}
	})
	return vm
}

func keep(t testing.TB, log string, began time.Time) {
	data, err := os.ReadFile(log)
	if err != nil {
		t.Logf("console: %v", err)
		return
	}
	folder := os.Getenv(LogsVariable)
	if folder == "" {
		t.Logf("console:\n%s", data)
		return
	}
	name := strings.NewReplacer("/", "-", " ", "_").Replace(t.Name()) + began.Format("-150405.000") + ".log"
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Logf("console: %v", err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Logf("console: %v", err)
	}
	t.Logf("the console's output is in %s", path)
}
