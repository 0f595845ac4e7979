package diagnosis

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"parley/services/config"
	"parley/services/files"
	"parley/services/xmpp/store"
)

// Disk is how full a node's state disk is.
type Disk struct {
	// Size is all that it holds, in bytes, and Used what of it is in use.
	Size, Used int64
	// Largest is the largest file that people have put on it, and Takes its
	// bytes, -1 where that is not known.
	Largest string
	Takes   int64
}

// Percentages of the state disk in use that are worth a warning, and too much,
// and that of a file which it helps to remove.
const (
	nearlyFull = 90
	asGoodFull = 97
	worthwhile = 5
)

func stateDisk(paths config.Paths) (Disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(paths.State, &s); err != nil {
		return Disk{}, fmt.Errorf("statfs %s: %w", paths.State, err)
	}
	used := s.Blocks - s.Bfree
	d := Disk{Size: int64(used+s.Bavail) * s.Bsize, Used: int64(used) * s.Bsize}
	entries, err := os.ReadDir(paths.Files())
	if err != nil {
		// That the disk is full is worth telling without.
		d.Takes = -1
	}
	for _, f := range entries {
		info, err := f.Info()
		if err == nil && info.Mode().IsRegular() && info.Size() > d.Takes && files.CheckName(f.Name()) == nil {
			d.Largest, d.Takes = f.Name(), info.Size()
		}
	}
	return d, nil
}

// percent is a share of the disk.
func (d Disk) percent(bytes int64) float64 { return 100 * float64(bytes) / float64(max(1, d.Size)) }

func (f *facts) space() Finding {
	const what = "state disk"
	d := f.disk
	used, free := d.percent(d.Used), (d.Size-d.Used)>>20
	switch {
	case f.diskErr != nil:
		return of(Warn, what, f.diskErr)
	case d.Size-d.Used < store.DefaultReserve:
		return d.room(fail(what, "%.0f%% in use, %d MiB free, and below %d no message is taken", used, free, store.DefaultReserve>>20))
	case used >= asGoodFull:
		return d.room(fail(what, "%.0f%% in use, %d MiB free", used, free))
	case used >= nearlyFull:
		return d.room(warn(what, "%.0f%% in use, %d MiB free", used, free))
	}
	return ok(what, "%.0f%% in use", used)
}

// room adds what makes some.
func (d Disk) room(f Finding) Finding {
	switch {
	case d.Takes < 0:
		return f.by("ls", "rm <file>")
	case d.percent(d.Takes) < worthwhile:
		f.Detail += "; no file takes much of it"
		return f.first("have those log in for whom messages wait").by("xmpp user list")
	}
	f.Detail += fmt.Sprintf("; %s takes %.0f%%", d.Largest, d.percent(d.Takes))
	return f.first("fetch that by SFTP if it is still needed").by("rm " + word(d.Largest))
}

// word writes a file's name so that the console takes it for one word: the names
// have blanks, and neither quotes nor backslashes.
func word(name string) string {
	if strings.Contains(name, " ") {
		return `"` + name + `"`
	}
	return name
}
