// Command parley is a Parley node as one ordinary process: no root, no VM.
//
//	parley run -state DIR -a 127.0.0.11 [-ssh-port 2222]
//	parley mmp -state DIR COMMAND…
//	parley put -state DIR FILE…
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"parley/mmp"
	"parley/services/node"
)

// version is set by the linker.
var version = "dev"

const usage = `usage:
  parley run -state DIR -a ADDRESS [-ssh-port PORT]   run a node until interrupted
  parley mmp -state DIR COMMAND…                      run one console command on it, as the local admin
  parley put -state DIR FILE…                         put files where SFTP would
`

// errUsage is already explained on standard error.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run returns the exit status: 0, 1 where the command failed, 2 where it was
// not understood.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("parley "+verb, flag.ContinueOnError)
	flags.SetOutput(stderr)
	state := flags.String("state", "", "the folder that the node's state is in")
	var err error
	switch verb {
	case "run":
		err = runNode(ctx, flags, args, state, stdout, stderr)
	case "mmp":
		if err = parse(flags, args, state); err == nil {
			return node.Exec(ctx, *state, mmp.Line(flags.Args()), stdin, stdout, stderr)
		}
	case "put":
		if err = parse(flags, args, state); err == nil {
			err = node.Put(*state, flags.Args())
		}
	default:
		fmt.Fprint(stderr, usage)
		err = errUsage
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		return 2
	}
	fmt.Fprintln(stderr, "parley:", err)
	return 1
}

func parse(flags *flag.FlagSet, args []string, state *string) error {
	if flags.Parse(args) != nil {
		return errUsage
	}
	if *state == "" {
		fmt.Fprint(flags.Output(), "parley: -state is missing; name the folder that the node's state is in\n", usage)
		return errUsage
	}
	return nil
}

func runNode(ctx context.Context, flags *flag.FlagSet, args []string, state *string, stdout, stderr io.Writer) error {
	a := flags.String("a", "", "the address that interface a has")
	port := flags.Int("ssh-port", 2222, "the port of SSH and SFTP on that address")
	if err := parse(flags, args, state); err != nil {
		return err
	}
	address, err := netip.ParseAddr(*a)
	if err != nil || flags.NArg() > 0 {
		fmt.Fprint(stderr, "parley: -a takes the address of interface a, such as 127.0.0.11\n", usage)
		return errUsage
	}
	return node.Run(ctx, node.Config{State: *state, Address: address, SSHPort: *port, Version: version, Out: stdout})
}
