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
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	// Asked to end, QEMU restores the terminal itself.
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	switch err := cmd.Run(); {
	case err == nil || ctx.Err() != nil:
		return nil
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%s is %w; apt-get install qemu-system-x86", program, ErrNotInstalled)
	default:
		return fmt.Errorf("%s: %w", program, err)
	}
}
