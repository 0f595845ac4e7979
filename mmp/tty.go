package mmp

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// TTY is a Terminal on a tty of this machine.
type TTY struct {
	*os.File
	fd    int
	saved *term.State
}

var _ Terminal = (*TTY)(nil)

// OpenTTY puts the tty that is open as fd into raw mode. The file that it had
// must not be used any more: reads are made such that Close ends them.
func OpenTTY(fd int, name string) (*TTY, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	saved, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return &TTY{os.NewFile(uintptr(fd), name), fd, saved}, nil
}

// Close gives the tty back its mode and ends a Read.
func (t *TTY) Close() error {
	err := term.Restore(t.fd, t.saved)
	if closed := t.File.Close(); err == nil {
		err = closed
	}
	return err
}

// Size is the terminal's; a serial line does not know it, and is taken to be
// as wide as all terminals at the other end can show.
func (t *TTY) Size() (width, height int) {
	width, height, err := term.GetSize(t.fd)
	if err != nil || width == 0 || height == 0 {
		return 80, 24
	}
	return width, height
}

// Resized never tells: the size of a local terminal does not change.
func (t *TTY) Resized() <-chan struct{} { return nil }
