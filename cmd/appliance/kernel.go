package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	pid1 "parley/init"
	"parley/init/initapi"
	"parley/init/module"
)

// runInit does not return on a machine that works: init ends with the machine.
func runInit(ctx context.Context, _ []string, std streams) error {
	err := pid1.New(pid1.Appliance(version), pid1.Machine()).Run(ctx)
	fmt.Fprintln(std.err, "init: the machine did not go down:", err)
	pid1.Forever()
	return err
}

// errUsage says that modprobe was called without a name.
var errUsage = errors.New("name a module or an alias")

// modprobe answers the kernel, which calls it as "modprobe -q -- ALIAS".
func modprobe(_ context.Context, args []string, _ streams) error {
	quiet, name := false, ""
	for _, a := range args {
		switch {
		case a == "-q":
			quiet = true
		case !strings.HasPrefix(a, "-"):
			name = a
		}
	}
	if name == "" {
		return errUsage
	}
	index, err := module.Open(filepath.Join("/lib/modules", initapi.KernelRelease()))
	if err != nil {
		return err
	}
	err = module.NewLoader(index, module.Running{}).Request(name)
	if quiet && errors.Is(err, module.ErrUnknown) {
		// The kernel looks whether it got what it wanted, not at this.
		return nil
	}
	return err
}

// signalInit is poweroff and reboot, which the kernel runs for an orderly stop.
func signalInit(s unix.Signal) program {
	return func(context.Context, []string, streams) error {
		if err := unix.Kill(1, s); err != nil {
			return fmt.Errorf("signal init: %w", err)
		}
		return nil
	}
}
