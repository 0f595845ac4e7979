// Command boot runs the appliance's image in QEMU with the serial console on
// this terminal, and a state disk that it creates when there is none.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"parley/qemu"
)

// A service of the appliance that is forwarded from loopback.
type service struct {
	guest    uint16
	variable string // of the environment, overrides host
	host     int
	usage    string // with %s for the port on this machine
}

var services = []service{
	{22, "PARLEY_SSH_PORT", 2222, "ssh -p %s admin@127.0.0.1     (sftp -P %[1]s for files)"},
	{5222, "PARLEY_XMPP_PORT", 5222, "XMPP clients: 127.0.0.1, port %s"},
	{5223, "PARLEY_COMPONENT_PORT", 5223, "Call Bridges and other components: 127.0.0.1, port %s"},
	{445, "PARLEY_WEBADMIN_PORT", 8445, "Webadmin, after 'webadmin listen a 445': https://127.0.0.1:%s/"},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	os.Exit(run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdin, stdout, stderr *os.File) int {
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	iso := flags.String("iso", "build/parley.iso", "the `ISO` to boot")
	state := flags.String("state", "build/state.img", "the state `disk`; created when it is not there")
	uefi := flags.Bool("uefi", false, "start by UEFI rather than BIOS")
	memory := flags.Int("memory", 1024, "memory in `MiB`")
	if err := flags.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	cfg := qemu.Config{ISO: *iso, StateDisk: *state, MemoryMiB: *memory, CPUs: 2}
	if *uefi {
		cfg.Firmware = qemu.OVMF
	}
	if err := boot(ctx, cfg, os.Getenv, stdin, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "boot: %v\n", err)
		return 1
	}
	return 0
}

func boot(ctx context.Context, cfg qemu.Config, getenv func(string) string, stdin, stdout, stderr *os.File) error {
	forwards, err := forwardsFrom(getenv)
	if err != nil {
		return err
	}
	cfg.NICs = []qemu.NIC{{Forwards: forwards}}
	if err := qemu.CheckForwards(cfg); err != nil {
		return explain(err)
	}
	created, err := ensureState(cfg.StateDisk)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Booting %s; state is kept in %s%s.\n", cfg.ISO, cfg.StateDisk, map[bool]string{true: " (new)"}[created])
	for i, s := range services {
		_, port, _ := net.SplitHostPort(forwards[i].Host)
		fmt.Fprintf(stdout, "  "+s.usage+"\n", port)
	}
	fmt.Fprint(stdout, "Below is the serial console. Leave with the command shutdown, or with Ctrl-A X, which is a power cut.\n\n")
	return explain(qemu.Run(ctx, cfg, stdin, stdout, stderr))
}

func forwardsFrom(getenv func(string) string) ([]qemu.Forward, error) {
	var forwards []qemu.Forward
	for _, s := range services {
		port := s.host
		if text := getenv(s.variable); text != "" {
			var err error
			if port, err = strconv.Atoi(text); err != nil || port < 1 || port > 65535 {
				return nil, fmt.Errorf("%s=%s is no port; use 1 to 65535", s.variable, text)
			}
		}
		forwards = append(forwards, qemu.Forward{Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Guest: s.guest})
	}
	return forwards, nil
}

// explain names the variable that mends a port in use.
func explain(err error) error {
	var inUse *qemu.PortInUseError
	if !errors.As(err, &inUse) {
		return err
	}
	for _, s := range services {
		if s.guest == inUse.Guest {
			return fmt.Errorf("%s: %w; choose another port: %s=%d make run", inUse.Address, reason(inUse.Err), s.variable, s.host+10000)
		}
	}
	return err
}

// reason is what the kernel said, without the address that stands before it.
func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

func ensureState(path string) (created bool, err error) {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, qemu.CreateStateDisk(path, qemu.DefaultStateSize)
}
