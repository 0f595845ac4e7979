package pid1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Event is one uevent of the kernel: a device that came, went or changed.
type Event map[string]string

// Events is the kernel's uevents; tests have others.
type Events interface {
	// Receive calls handle for each event until ctx ends, in one goroutine.
	// Open must have been called, before the devices that matter come.
	Open() error
	Receive(ctx context.Context, handle func(Event)) error
}

// netlinkEvents receives uevents by netlink(7), NETLINK_KOBJECT_UEVENT.
type netlinkEvents struct{ f *os.File }

func (n *netlinkEvents) Open() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return fmt.Errorf("uevents: %w", err)
	}
	// A cold boot brings hundreds at once.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		unix.Close(fd)
		return fmt.Errorf("uevents: %w", err)
	}
	n.f = os.NewFile(uintptr(fd), "uevents")
	return nil
}

func (n *netlinkEvents) Receive(ctx context.Context, handle func(Event)) error {
	defer n.f.Close()
	stop := context.AfterFunc(ctx, func() { _ = n.f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 16<<10)
	for {
		size, err := n.f.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			// Events were lost; the others still matter.
			continue
		case err != nil:
			return fmt.Errorf("uevents: %w", err)
		}
		if e := parseEvent(buf[:size]); e != nil {
			handle(e)
		}
	}
}

// parseEvent reads "add@/devices/x\0ACTION=add\0…"; nil for anything else.
func parseEvent(data []byte) Event {
	head, rest, ok := bytes.Cut(data, []byte{0})
	if !ok || !bytes.ContainsRune(head, '@') {
		return nil
	}
	e := Event{}
	for field := range strings.SplitSeq(string(rest), "\x00") {
		if k, v, ok := strings.Cut(field, "="); ok {
			e[k] = v
		}
	}
	return e
}
