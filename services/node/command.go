package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"parley/services/config"
	"parley/services/files"
	"parley/services/journal"
	"parley/services/problem"
)

// sourceLocal is where commands of the same machine come from, in audit lines.
const sourceLocal = "local"

// Exec runs one console command on the node whose state is in the folder, as
// the local admin, and returns its exit status. Prompts read lines of stdin.
func Exec(ctx context.Context, state, line string, stdin io.Reader, stdout, stderr io.Writer) int {
	d, err := openDesk(state)
	if err != nil {
		fmt.Fprintln(stderr, "FAILURE:", problem.Text(err))
		return 1
	}
	return d.Console.Exec(ctx, local, sourceLocal, line, stdin, stdout, stderr)
}

// Put copies files to where SFTP would put them, each as a whole.
func Put(state string, paths []string) error {
	d, err := openDesk(state)
	if err != nil {
		return errors.New(problem.Text(err))
	}
	if err := d.Files.Prepare(); err != nil {
		return err
	}
	who := files.Who{Name: local.Name, Role: local.Role, Source: sourceLocal}
	for _, path := range paths {
		if err := put(d.Files, who, path); err != nil {
			return errors.New(problem.Text(err))
		}
	}
	return nil
}

func put(root *files.Store, who files.Who, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	u, err := root.Create(who, filepath.Base(path))
	if err != nil {
		return err
	}
	defer u.Discard()
	if _, err := io.Copy(u, f); err != nil {
		return err
	}
	return u.Commit()
}

// openDesk is the desk of a process's node, which must have run once.
func openDesk(state string) (*Desk, error) {
	paths := config.FolderPaths(state)
	if _, err := os.Stat(paths.Log()); err != nil {
		return nil, problem.New(problem.NoNode, "folder", state)
	}
	return NewDesk(paths, journal.New(paths.Log(), hostname(config.NewStore(paths.Live())))), nil
}
