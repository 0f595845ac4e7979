package qemu

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Starved is how long the VM's busiest thread, its processor, has waited for a
// processor of this machine because other programs had them, and for its part
// of what this machine, where it is a VM itself, was kept waiting by its host. A
// test of speed takes this off: what is left is what an idle machine shows.
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
	return time.Duration(waited) + readProcessors().stolen(vm.began, time.Duration(ran)), nil
}

// processors are the times of this machine's, all together.
type processors struct{ busy, steal time.Duration }

// readProcessors returns zero where /proc/stat does not say.
func readProcessors() processors {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return processors{}
	}
	// proc_stat(5), in hundredths of a second.
	var user, nice, system, idle, iowait, irq, softirq, steal int64
	if _, err := fmt.Sscanf(string(data), "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal); err != nil {
		return processors{}
	}
	const tick = 10 * time.Millisecond
	return processors{time.Duration(user+nice+system+irq+softirq) * tick, time.Duration(steal) * tick}
}

// stolen is the part of the steal since then that fell on a thread that ran for
// so long.
func (p processors) stolen(then processors, ran time.Duration) time.Duration {
	busy, steal := p.busy-then.busy, p.steal-then.steal
	if busy <= 0 || steal <= 0 {
		return 0
	}
	return time.Duration(float64(steal) * min(1, float64(ran)/float64(busy)))
}
