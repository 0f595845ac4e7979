package watch

import (
	"fmt"

	"golang.org/x/sys/unix"

	"parley/services/eventlog/eventlogapi"
)

// Percentages of the state disk: it is nearly full above the first, and until
// it is below the second, so that one file more or less is not news.
const (
	diskFull = 90
	diskGood = 88
)

func (w *Watcher) disk(standing map[string]eventlogapi.Fault) []finding {
	const key = "disk"
	free, total, err := w.deps.Disk()
	if err != nil {
		return []finding{raise("disk.state", eventlogapi.Error, "State disk cannot be asked for its space", err.Error()+"; see 'syslog tail'")}
	}
	if total == 0 {
		return nil
	}
	limit := float64(diskFull)
	if _, stands := standing[key]; stands {
		limit = diskGood
	}
	used := 100 * (1 - float64(free)/float64(total))
	if used <= limit {
		return nil
	}
	return []finding{raise(key, eventlogapi.Warning, fmt.Sprintf("State disk is more than %d%% full", diskFull),
		fmt.Sprintf("%.0f%% of its %s are used; see 'ls', and remove files with 'rm'", used, bytes(total)))}
}

// bytes is a size for people.
func bytes(n uint64) string {
	const gib = 1 << 30
	if n >= gib {
		return fmt.Sprintf("%.1f GiB", float64(n)/gib)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// StateDisk is the Disk of the file system that dir is on, as who is not root
// can use it.
func StateDisk(dir string) func() (free, total uint64, err error) {
	return func() (free, total uint64, err error) {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return 0, 0, fmt.Errorf("statfs %s: %w", dir, err)
		}
		size := uint64(st.Bsize)
		return st.Bavail * size, (st.Blocks - st.Bfree + st.Bavail) * size, nil
	}
}
