package supervise

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openTTY opens a terminal for a session and makes it sane: a session that
// crashed may have left it raw.
func openTTY(path string) (*os.File, error) {
	// O_NONBLOCK: a serial port without carrier would not open.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := sane(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// sane is stty sane: a terminal that edits lines and echoes, at the speed that
// it has.
func sane(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag = unix.BRKINT | unix.ICRNL | unix.IMAXBEL | unix.IUTF8
	t.Oflag = unix.OPOST | unix.ONLCR
	t.Cflag = t.Cflag&(unix.CBAUD|unix.CRTSCTS) | unix.CS8 | unix.CREAD | unix.HUPCL | unix.CLOCAL
	t.Lflag = unix.ISIG | unix.ICANON | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHOCTL | unix.ECHOKE | unix.IEXTEN
	for i, c := range map[int]byte{
		unix.VINTR: 3, unix.VQUIT: 28, unix.VERASE: 127, unix.VKILL: 21, unix.VEOF: 4, unix.VMIN: 1, unix.VTIME: 0,
		unix.VSTART: 17, unix.VSTOP: 19, unix.VSUSP: 26, unix.VREPRINT: 18, unix.VDISCARD: 15, unix.VWERASE: 23, unix.VLNEXT: 22,
	} {
		t.Cc[i] = c
	}
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
