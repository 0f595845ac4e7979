package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Ids of the services' accounts, as the image's /etc/passwd has them.
const (
	XMPP       = 101
	MMP        = 102
	Events     = 105
	Parley     = 100
	CallBridge = 103
	Database   = 104
)

// entry is a folder or file of the state folder.
type entry struct {
	path     string
	uid, gid int
	mode     uint32
	// file: make no folder; glob: many, and none is no error.
	file, glob, create bool
}

// layout keeps the services apart: XMPP reads the configuration and its key,
// as group parley, but neither SSH keys nor account hashes; console and SSH do
// not read messages; nobody but init writes the logs, save the
// event log, which is its service's.
var layout = []entry{
	{path: ".", uid: MMP, gid: Parley, mode: 0o2750},
	{path: "files", uid: MMP, gid: Parley, mode: 0o2750},
	{path: "files/*", uid: MMP, gid: Parley, mode: 0o640, file: true, glob: true},
	{path: "ssh", uid: MMP, gid: Parley, mode: 0o700},
	{path: "log", uid: 0, gid: Parley, mode: 0o2750},
	{path: "log/events", uid: Events, gid: Parley, mode: 0o2750},
	{path: "xmpp", uid: XMPP, gid: XMPP, mode: 0o700},
	{path: "database", uid: Database, gid: Database, mode: 0o700},
	{path: "callbridge", uid: CallBridge, gid: CallBridge, mode: 0o700},
	{path: "live.json", uid: MMP, gid: Parley, mode: 0o640, file: true},
	{path: "accounts.json", uid: MMP, gid: Parley, mode: 0o600, file: true},
	// Whoever comes first would own it, and network runs as root.
	{path: ".live.lock", uid: MMP, gid: Parley, mode: 0o600, file: true, create: true},
}

// Owner changes owner and mode of an open file; tests that do not run as root
// have another.
type Owner func(f *os.File, uid, gid int, mode uint32) error

// Chown is the Owner of the machine.
func Chown(f *os.File, uid, gid int, mode uint32) error {
	if err := f.Chown(uid, gid); err != nil {
		return err
	}
	return unix.Fchmod(int(f.Fd()), mode)
}

// Prepare makes the folders and sets owners and modes where they differ. It
// goes on after an error and returns all of them.
//
// The account that owns the folder may have put anything there, and this runs
// as root: so links are not followed, and FIFOs not waited for.
func Prepare(root string, own Owner) error {
	var errs []error
	for _, e := range layout {
		paths := []string{filepath.Join(root, e.path)}
		if e.glob {
			paths, _ = filepath.Glob(paths[0])
		}
		for _, p := range paths {
			if err := e.apply(p, own); err != nil {
				errs = append(errs, fmt.Errorf("state folder: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}

func (e entry) apply(path string, own Owner) error {
	flags := os.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK
	switch {
	case !e.file:
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		flags |= unix.O_DIRECTORY
	case e.create:
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, fs.FileMode(e.mode))
	if e.file && (errors.Is(err, fs.ErrNotExist) || e.glob && errors.Is(err, unix.ELOOP)) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", path, err)
	}
	if e.file && st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	if int(st.Uid) == e.uid && int(st.Gid) == e.gid && st.Mode&0o7777 == e.mode {
		return nil
	}
	if err := own(f, e.uid, e.gid, e.mode); err != nil {
		return fmt.Errorf("own %s: %w", path, err)
	}
	return nil
}
