package qemu

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Starved is how long the VM's busiest thread, its processor, has waited for a
// processor of this machine because other programs had them. A test of speed
// takes this off: what is left is what an idle machine shows.
func (vm *VM) Starved() (time.Duration, error) {
	files, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(vm.cmd.Process.Pid), "task/*/schedstat"))
	if err != nil {
		return 0, fmt.Errorf("scheduler statistics: %w", err)
	}
	var ran, waited, n int64
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has ended
		}
		var r, w int64
		if _, err := fmt.Sscan(string(data), &r, &w); err != nil {
			return 0, fmt.Errorf("scheduler statistics: %w", err)
		}
		n++
		if r > ran {
			ran, waited = r, w
		}
	}
	if n == 0 {
		return 0, fmt.Errorf("scheduler statistics: %w", ErrStopped)
	}
	return time.Duration(waited), nil
}
