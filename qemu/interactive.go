package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Run powers a VM on with its first serial port on this terminal and returns
// when it has ended. Every key goes to the guest, Ctrl-C too; Ctrl-A X ends the
// VM at once, Ctrl-A C shows QEMU's monitor, Ctrl-A H the other keys. cfg.Log,
// cfg.Serials and cfg.Lifetime have no meaning here.
func Run(ctx context.Context, cfg Config, stdin, stdout, stderr *os.File) error {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return err
	}
	if err := cfg.assignPorts(make(map[uint16]string)); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "parley-vm-")
	if err != nil {
		return fmt.Errorf("run virtual machine: %w", err)
	}
	defer os.RemoveAll(dir)
	vars, err := cfg.firmwareVariables(dir)
	if err != nil {
		return err
	}
	args := cfg.arguments(endpoints{variables: vars})
	args = append(args,
		"-chardev", "stdio,id=terminal,mux=on,signal=off",
		"-serial", "chardev:terminal", "-mon", "chardev=terminal,mode=readline")

	// QEMU makes the terminal raw; should it die it cannot put that back.
	if fd := int(stdin.Fd()); term.IsTerminal(fd) {
		if before, err := term.GetState(fd); err == nil {
			defer func() { _ = term.Restore(fd, before) }()
		}
	}
	ctx, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	defer func() { stop(); <-watched }()
	go func() {
		defer close(watched)
		if hungUp(ctx, stdin) {
			stop()
		}
	}()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	// Asked to end, QEMU restores the terminal itself.
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	switch err := cmd.Run(); {
	case err == nil || ctx.Err() != nil:
		// Whoever ended ctx, or the terminal, wanted this.
		return nil
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%s is %w; apt-get install qemu-system-x86", program, ErrNotInstalled)
	default:
		return fmt.Errorf("%s: %w", program, err)
	}
}

// hungUp waits until the terminal is gone, and says so, or ctx ends. SIGHUP
// does not tell: it goes to the session's leader, and when that is make it waits
// for us.
func hungUp(ctx context.Context, terminal *os.File) bool {
	if !term.IsTerminal(int(terminal.Fd())) {
		return false
	}
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(terminal.Fd())}} // no events: hang-ups are always told
		n, err := unix.Poll(fds, 250)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false
		}
		if n > 0 {
			return true
		}
	}
	return false
}
