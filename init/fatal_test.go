package pid1

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFatalScreen(t *testing.T) {
	text := screen("mount /proc: no such device", strings.Repeat("line\n", 100))
	if !strings.Contains(text, "mount /proc: no such device") || strings.Count(text, "line\r\n") > 20 {
		t.Errorf("screen = %q; want the reason, and a bounded trace", text)
	}
}

func TestEarlyFailureIsFatal(t *testing.T) {
	m := newMachine(t)
	m.refuse["mount proc"] = unix.ENODEV
	i := New(m.config(), m.deps())
	i.countdown = func() {}
	err := i.Run(t.Context())
	if !errors.Is(err, unix.ENODEV) {
		t.Errorf("Run = %v; want ENODEV", err)
	}
	if got := m.done("restart"); len(got) != 1 {
		t.Errorf("calls %v; want a restart", got)
	}
}

func TestPanicInAGoroutineRestartsTheMachine(t *testing.T) {
	m := newMachine(t)
	disk(m, "0")
	r := boot(t, m).up(t)
	r.countdown = func() {}
	r.guard(func() { panic("test") })
	if got := m.done("remount /state", "restart"); !slices.Equal(got, []string{"remount /state ro=true", "restart"}) {
		t.Errorf("calls %v; want the state saved, then a restart", got)
	}
	r.ask(power{why: "test"})
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
}
