package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// EnableControllers makes the controllers of the cgroup2 file system at root
// available to the groups of services.
func EnableControllers(root string) error {
	if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+memory +pids"), 0); err != nil {
		return fmt.Errorf("enable cgroup controllers: %w", err)
	}
	return nil
}

// group is the control group of one service (cgroups v2).
type group struct{ dir string }

// newGroup makes an empty group with the bounds of spec.
func newGroup(root string, spec Spec) (*group, error) {
	g := &group{filepath.Join(root, spec.Name)}
	if err := os.Mkdir(g.dir, 0o755); errors.Is(err, fs.ErrExist) {
		// Left by a process that would not die within remove's time.
		g.kill()
		g.remove()
		err = os.Mkdir(g.dir, 0o755)
		if err != nil {
			return nil, fmt.Errorf("create control group: %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("create control group: %w", err)
	}
	var errs []error
	set := func(file, value string) {
		errs = append(errs, os.WriteFile(filepath.Join(g.dir, file), []byte(value), 0))
	}
	if spec.Memory > 0 {
		set("memory.max", strconv.FormatInt(spec.Memory, 10))
		// One process out of memory is a service that does not work.
		set("memory.oom.group", "1")
	}
	if spec.Tasks > 0 {
		set("pids.max", strconv.Itoa(spec.Tasks))
	}
	if err := errors.Join(errs...); err != nil {
		g.remove()
		return nil, fmt.Errorf("bound control group %s: %w", spec.Name, err)
	}
	return g, nil
}

// kill ends every process in the group, also one that forks as fast as it can.
func (g *group) kill() {
	_ = os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0)
}

func (g *group) oomKilled() bool {
	data, err := os.ReadFile(filepath.Join(g.dir, "memory.events"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strings.TrimSpace(n) != "0"
		}
	}
	return false
}

// remove waits, for a bounded time, until the killed processes are gone, and
// takes the group away. One that hangs in the kernel keeps it.
func (g *group) remove() {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Rmdir(g.dir)
		if err == nil || !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return
		}
	}
}
