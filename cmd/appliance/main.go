// Command appliance is every program of the image in one binary; the name it
// is called by says which: init, the services, and what the kernel runs.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// version is set by the linker.
var version = "dev"

// program is one of them; args are without its name.
type program func(ctx context.Context, args []string, std streams) error

type streams struct {
	in, out *os.File
	err     io.Writer
}

var programs = map[string]program{
	"init":       runInit,
	"modprobe":   modprobe,
	"poweroff":   signalInit(unix.SIGUSR2),
	"reboot":     signalInit(unix.SIGTERM),
	"network":    runNetwork,
	"xmpp":       runXMPP,
	"eventlog":   runEventLog,
	"sshd":       runSSHD,
	"console":    runConsole,
	"callbridge": runCallBridge,
	"database":   runDatabase,
	"webadmin":   runWebadmin,
}

func main() {
	os.Exit(run(context.Background(), os.Args, streams{os.Stdin, os.Stdout, os.Stderr}))
}

func run(ctx context.Context, args []string, std streams) int {
	name := filepath.Base(args[0])
	p, ok := programs[name]
	if !ok {
		fmt.Fprintf(std.err, "%s: not a program of this image\n", name)
		return 2
	}
	if name != "init" {
		// Init has its own way with signals.
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
		defer stop()
	}
	if err := p(ctx, args[1:], std); err != nil {
		fmt.Fprintf(std.err, "%s: %v\n", name, err)
		return 1
	}
	return 0
}
