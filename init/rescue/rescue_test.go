package rescue

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"parley/init/state"
)

var damaged = &state.Fault{
	Partition: state.Partition{Name: "vda1", Size: 1 << 30}, CanFormat: true,
	What:   "The file system on vda1 is damaged, and e2fsck cannot mend it (exit status 8).",
	Detail: []string{"Bad magic number in super-block"},
}

func plain(f func()) { f() }

// script is a terminal on which somebody types lines.
type script struct {
	io.Reader
	mu  sync.Mutex
	out bytes.Buffer
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *script) Close() error { return nil }

func TestChoices(t *testing.T) {
	for _, tt := range []struct {
		name, typed string
		fault       *state.Fault
		want        Choice
		shows       string
	}{
		{"retry", "retry\n", damaged, Retry, "is damaged"},
		{"case and blanks", "  ReTry \n", damaged, Retry, ""},
		{"memory", "memory\n", damaged, Memory, ""},
		{"poweroff after a wrong word", "pwoeroff\npoweroff\n", damaged, Poweroff, `no "pwoeroff" here; type one of: retry, memory, format`},
		{"format confirmed", "format\nERASE vda1\n", damaged, Format, "erases vda1 (1.0 GiB) for good"},
		{"format not confirmed", "format\nyes\nreboot\n", damaged, Reboot, "Nothing was erased."},
		{"format confirmed in small letters", "format\nerase vda1\nreboot\n", damaged, Reboot, "Nothing was erased."},
		{"log", "log\nreboot\n", damaged, Reboot, "Bad magic number in super-block"},
		{"nothing to format", "format\nreboot\n", &state.Fault{What: "Two."}, Reboot, `no "format" here`},
		{"terminal is gone", "", damaged, Memory, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{Reader: strings.NewReader(tt.typed)}
			got, ok := Ask(t.Context(), []Terminal{s}, tt.fault, plain)
			if got != tt.want || !ok {
				t.Errorf("Ask = %q, %v; want %q", got, ok, tt.want)
			}
			if !strings.Contains(s.out.String(), tt.shows) {
				t.Errorf("terminal shows\n%s\nwant %q in it", &s.out, tt.shows)
			}
			for line := range strings.Lines(s.out.String()) {
				if len(line) > 2*width {
					t.Errorf("line of %d bytes: %q", len(line), line)
				}
			}
		})
	}
}

// pipe is a terminal that somebody else holds the other end of.
func pipe(t *testing.T) (Terminal, net.Conn) {
	a, b := net.Pipe()
	t.Cleanup(func() { b.Close() })
	go func() { _, _ = io.Copy(io.Discard, b) }()
	return a, b
}

func TestFirstTerminalWins(t *testing.T) {
	idle, _ := pipe(t)
	used, keyboard := pipe(t)
	go func() { _, _ = keyboard.Write([]byte("memory\n")) }()
	if got, ok := Ask(t.Context(), []Terminal{idle, used}, damaged, plain); got != Memory || !ok {
		t.Errorf("Ask = %q, %v; want memory", got, ok)
	}
	if _, err := idle.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the other terminal is still open: %v", err)
	}
}

func TestPowerButtonEndsTheQuestion(t *testing.T) {
	idle, _ := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, ok := Ask(ctx, []Terminal{idle}, damaged, plain); ok {
		t.Errorf("Ask = %q; want no answer", got)
	}
}

func TestNobodyToAsk(t *testing.T) {
	if got, ok := Ask(t.Context(), nil, damaged, plain); got != Memory || !ok {
		t.Errorf("Ask without terminals = %q, %v; want memory", got, ok)
	}
}

func TestLogIsBounded(t *testing.T) {
	f := &state.Fault{Detail: strings.Split(strings.Repeat("error\n", 5000), "\n")}
	if n := strings.Count(log(f), "\n"); n != maxLog+1 {
		t.Errorf("log shows %d lines; want %d", n, maxLog+1)
	}
}
