package pid1

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"parley/init/rescue"
	"parley/init/state"
)

// openState mounts the state partition, or memory in its place.
func (i *Init) openState() error {
	end := i.phases.begin("state")
	storage, volatile, err := i.storage()
	if err != nil {
		return err
	}
	if volatile {
		flags := uintptr(unix.MS_NOATIME | strict)
		if err := i.kernel.Mount("tmpfs", i.cfg.Paths.State, "tmpfs", flags, "mode=0750,size=50%"); err != nil {
			return fmt.Errorf("mount memory at %s: %w", i.cfg.Paths.State, err)
		}
	}
	i.mounted.Store(!volatile)
	if err := state.Prepare(i.cfg.Paths.State, i.deps.Own); err != nil {
		i.log.Error("prepare the state folder", "err", err)
	}
	if err := i.journal.open(i.cfg.Paths.Log()); err != nil {
		i.log.Error("open the logs", "err", err)
	}
	i.mu.Lock()
	i.status.Storage, i.status.Volatile = storage, volatile
	i.mu.Unlock()
	end(storage)
	return nil
}

// storage settles where state is kept, asking on the consoles where the disk
// cannot be used.
func (i *Init) storage() (text string, volatile bool, err error) {
	t := &tools{
		kernel: i.kernel, reaper: i.reaper, fsck: i.path(i.cfg.Fsck), target: i.cfg.Paths.State, scratch: i.path("tmp"),
		progress: i.phases.say,
	}
	for {
		found := i.waitForDisk()
		var fault *state.Fault
		switch len(found) {
		case 0:
			return "memory only: there is no state disk, nothing outlives a reboot", true, i.ctx.Err()
		case 1:
			p := found[0]
			i.fsck, err = state.Open(i.ctx, t, p)
			if err == nil {
				return fmt.Sprintf("%s (ext4, %s)", p.Name, state.Bytes(p.Size)), false, nil
			}
			if !errors.As(err, &fault) {
				return "", false, err
			}
		default:
			fault = state.Ambiguous(found)
		}
		i.log.Error("state disk", "partition", fault.Partition.Name, "what", fault.What)
		for _, l := range fault.Detail {
			i.log.Error("e2fsck: " + l)
		}
		choice, ok := rescue.Ask(i.ctx, terminals(i.path("dev"), i.ttys), fault, i.guard)
		if !ok {
			return "", false, i.ctx.Err()
		}
		i.log.Warn("rescue console", "choice", string(choice))
		switch choice {
		case rescue.Memory:
			return fmt.Sprintf("memory only: %s was left out, nothing outlives a reboot", fault.Partition.Name), true, nil
		case rescue.Format:
			if err := t.Format(i.ctx, fault.Partition); err != nil {
				i.phases.say(fmt.Sprintf("state: %v", err))
			}
		case rescue.Reboot, rescue.Poweroff:
			i.ask(power{off: choice == rescue.Poweroff, why: "rescue console"})
			return "", false, i.ctx.Err()
		}
	}
}

// Bounds of the wait for a disk: until devices have been quiet for so long,
// and no driver is known to be at work, but not for ever.
const (
	diskQuiet = 300 * time.Millisecond
	diskWait  = 15 * time.Second
)

// waitForDisk returns the state partitions as soon as there is one.
func (i *Init) waitForDisk() []state.Partition {
	deadline := time.NewTimer(diskWait)
	defer deadline.Stop()
	for {
		if found := i.deps.Disks(); len(found) > 0 {
			return found
		}
		quiet := time.NewTimer(diskQuiet)
		select {
		case <-i.devices:
			quiet.Stop()
		case <-quiet.C:
			if !state.Probing(i.path("sys")) {
				return i.deps.Disks()
			}
		case <-deadline.C:
			quiet.Stop()
			return nil
		case <-i.ctx.Done():
			quiet.Stop()
			return nil
		}
	}
}
