package state

import (
	"context"
	"fmt"
	"strings"
)

// Tools are what Volume does to the machine; tests have others.
type Tools interface {
	// Fsck runs e2fsck with args; the code is its exit status, lines what
	// it printed. An error says that it did not run.
	Fsck(ctx context.Context, args ...string) (code int, lines []string, err error)
	// MountState mounts an ext4 device at the state folder.
	MountState(device string) error
	// Format makes an ext4 file system; all that was there is lost.
	Format(ctx context.Context, p Partition) error
}

// Exit status bits of e2fsck(8).
const (
	fsckFixed  = 1
	fsckReboot = 2
	// 4 and above: errors are left, or it could not work.
)

// Health is how Open found the file system.
type Health string

// Healths.
const (
	Clean Health = "clean"
	// Mended says that fsck changed something: after a power cut it replays
	// the journal, which counts as clean, so this is more.
	Mended Health = "mended"
)

// Fault is why a state partition cannot be used. It is for people: What says
// what is wrong in a sentence, Detail is what the tools printed.
type Fault struct {
	Partition Partition
	What      string
	Detail    []string
	// CanFormat says that starting over on this partition is a way out.
	CanFormat bool
}

// Error implements error.
func (f *Fault) Error() string { return f.What }

// Open mends and mounts p. Only e2fsck writes to it, and only where the
// partition holds an ext4 file system or what may be the rest of one. The
// error is a *Fault unless ctx ended.
func Open(ctx context.Context, t Tools, p Partition) (Health, error) {
	content, err := Probe(p.Device)
	if err != nil {
		return "", &Fault{Partition: p, What: fmt.Sprintf("The partition %s cannot be read: %v.", p.Name, err)}
	}
	switch content {
	case Ext4, Unknown:
	case Empty:
		return "", &Fault{Partition: p, CanFormat: true, What: fmt.Sprintf("The partition %s is empty: it holds no file system yet.", p.Name)}
	default:
		return "", &Fault{Partition: p, CanFormat: true, What: fmt.Sprintf("The partition %s holds %s, not the ext4 file system that Parley keeps its state in.", p.Name, content)}
	}
	health, fault := mend(ctx, t, p)
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if fault != nil {
		return "", fault
	}
	if err := t.MountState(p.Device); err != nil {
		return "", &Fault{Partition: p, CanFormat: true, What: fmt.Sprintf("The file system on %s cannot be mounted: %v.", p.Name, err)}
	}
	return health, nil
}

// mend repairs what is safe to repair, then, if that is not enough, what can
// be repaired at all.
func mend(ctx context.Context, t Tools, p Partition) (Health, *Fault) {
	var all []string
	var code int
	for _, mode := range []string{"-p", "-y"} {
		var lines []string
		var err error
		code, lines, err = t.Fsck(ctx, mode, p.Device)
		all = append(all, lines...)
		switch {
		case err != nil:
			return "", &Fault{Partition: p, What: fmt.Sprintf("The file system on %s cannot be checked: %v.", p.Name, err), Detail: all}
		case code == 0 && mode == "-p":
			return Clean, nil
		case code&^(fsckFixed|fsckReboot) == 0:
			// fsckReboot is for a file system that is mounted; ours is not.
			return Mended, nil
		}
	}
	return "", &Fault{
		Partition: p, CanFormat: true, Detail: all,
		What: fmt.Sprintf("The file system on %s is damaged, and e2fsck cannot mend it (exit status %d).", p.Name, code),
	}
}

// Ambiguous is the fault of more than one state partition: to choose would be
// to guess which one is current.
func Ambiguous(all []Partition) *Fault {
	var names []string
	for _, p := range all {
		names = append(names, p.String())
	}
	return &Fault{
		Partition: all[0],
		What: fmt.Sprintf("There are %d partitions named %s: %s. Parley does not guess which one is current; detach the other disk.",
			len(all), PartitionName, strings.Join(names, ", ")),
	}
}
