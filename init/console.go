package pid1

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"parley/init/rescue"
)

// consoles lists the terminals that have a console, from the kernel's list.
// tty0 stands for the virtual terminal in front, which is tty1 here: there is
// no other.
func consoles(sys string) []string {
	data, err := os.ReadFile(filepath.Join(sys, "class/tty/console/active"))
	if err != nil {
		return nil
	}
	var all []string
	for name := range strings.FieldsSeq(string(data)) {
		if name == "tty0" {
			name = "tty1"
		}
		all = append(all, name)
	}
	return all
}

// screens is the terminals of all consoles as one that is only written. A
// terminal that takes no more (a serial line held by flow control) loses text
// rather than hold init up.
//
// They are opened for each write: the end of a session hangs its terminal up,
// for every descriptor of it.
type screens struct {
	mu    sync.Mutex
	paths []string
}

func (s *screens) use(dev string, names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range names {
		s.paths = append(s.paths, filepath.Join(dev, n))
	}
}

// Write never fails: there is nobody to tell.
func (s *screens) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, path := range s.paths {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		_ = writeAll(fd, p)
		unix.Close(fd)
	}
	return len(p), nil
}

// writeAll waits up to a second for a slow terminal.
func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		if n > 0 {
			p = p[n:]
			continue
		}
		if err != unix.EAGAIN && err != unix.EINTR {
			return err
		}
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 1000)
		if err != nil && err != unix.EINTR || ready == 0 {
			return fmt.Errorf("terminal does not take more: %w", unix.EAGAIN)
		}
	}
	return nil
}

// terminals opens the consoles for a dialogue. O_NONBLOCK lets Close end a
// Read that waits.
func terminals(dev string, names []string) []rescue.Terminal {
	var all []rescue.Terminal
	for _, n := range names {
		if f, err := os.OpenFile(filepath.Join(dev, n), os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0); err == nil {
			all = append(all, f)
		}
	}
	return all
}

// phases prints a line a phase of the boot, with the time since the kernel
// started, and keeps the durations for the boot record.
type phases struct {
	out    *screens
	uptime func() time.Duration
	note   func(string)

	mu   sync.Mutex
	done []Phase
}

// Phase is one part of a boot.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// begin starts a phase; the returned function ends it with what came of it.
func (p *phases) begin(name string) func(result string) {
	start := p.uptime()
	return func(result string) {
		took := p.uptime() - start
		p.mu.Lock()
		p.done = append(p.done, Phase{name, float64(took.Milliseconds()) / 1000})
		p.mu.Unlock()
		p.say(fmt.Sprintf("%s: %s (%.2f s)", name, result, took.Seconds()))
	}
}

// say prints one line with the time.
func (p *phases) say(line string) {
	p.note(line)
	fmt.Fprintf(p.out, "[%7.3f] %s\r\n", p.uptime().Seconds(), line)
}

func (p *phases) list() []Phase {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Phase(nil), p.done...)
}
