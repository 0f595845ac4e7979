package diagnosis_test

import (
	"os"
	"path/filepath"
	"testing"

	"parley/services/config"
	"parley/services/diagnosis"
)

// TestMachineDisk finds the largest file that a person can remove.
func TestMachineDisk(t *testing.T) {
	paths := config.FolderPaths(t.TempDir())
	disk := func() diagnosis.Disk {
		t.Helper()
		d, err := diagnosis.Machine(paths).Disk()
		if err != nil {
			t.Fatal(err)
		}
		if d.Size <= 0 || d.Used <= 0 || d.Used > d.Size {
			t.Errorf("of %d bytes %d are in use", d.Size, d.Used)
		}
		return d
	}
	if got := disk(); got.Takes != -1 {
		t.Errorf("without a folder %q takes %d; want that it is not known", got.Largest, got.Takes)
	}
	if err := os.MkdirAll(filepath.Join(paths.Files(), "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := disk(); got.Takes != 0 || got.Largest != "" {
		t.Errorf("in an empty folder %q takes %d; want none", got.Largest, got.Takes)
	}
	for name, size := range map[string]int{"small.cer": 10, "large.bin": 3000, ".upload": 5000} {
		if err := os.WriteFile(filepath.Join(paths.Files(), name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := disk(); got.Largest != "large.bin" || got.Takes != 3000 {
		t.Errorf("the largest is %q with %d; want %q with 3000", got.Largest, got.Takes, "large.bin")
	}
}
