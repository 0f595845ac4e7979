package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"parley/init/state"
	"parley/mmp"
	"parley/services/callbridge"
	"parley/services/config"
	"parley/services/database"
	"parley/services/database/databaseapi"
	"parley/services/diagnosis"
	"parley/services/eventlog/eventlogapi"
	"parley/services/eventlog/trace"
	"parley/services/journal"
	"parley/services/network"
	"parley/services/network/networkapi"
	"parley/services/node"
	"parley/services/xmpp"
)

// The services run under the accounts that init gives them, each with the one
// configuration of the image, and write their log to stderr, where init files
// it.

// service is what a process runs.
type service interface{ Run(context.Context) error }

// traced runs the service that start makes with a log, which is in detail while
// its subsystem is traced.
func traced(ctx context.Context, subsystem string, std streams, start func(*slog.Logger) service) error {
	tracer := trace.New(subsystem, eventlogapi.NewClient(config.AppliancePaths().Socket("eventlog")))
	s := start(tracer.Logger(journal.NewStream(std.err).Logger(slog.LevelInfo)))
	ctx, stop := context.WithCancel(ctx)
	var tracing sync.WaitGroup
	// It never fails.
	tracing.Go(func() { _ = tracer.Run(ctx) })
	err := s.Run(ctx)
	stop()
	tracing.Wait()
	return err
}

func runNetwork(ctx context.Context, _ []string, std streams) error {
	return traced(ctx, trace.DNS, std, func(log *slog.Logger) service {
		store := config.NewStore(config.AppliancePaths().Live())
		return network.New(network.ApplianceConfig(state.Parley), network.Machine(store, log))
	})
}

func runXMPP(ctx context.Context, _ []string, std streams) error {
	return traced(ctx, trace.XMPP, std, func(log *slog.Logger) service {
		paths := config.AppliancePaths()
		return xmpp.New(
			xmpp.Config{Paths: paths, Group: state.Parley, Version: version},
			xmpp.Deps{
				Config: config.NewStore(paths.Live()), Listen: network.ListenDevices, Address: network.DeviceAddress,
				Examine: diagnosis.New(diagnosis.Machine(paths)).Answer, Log: log,
			},
		)
	})
}

func runEventLog(ctx context.Context, _ []string, std streams) error {
	log := journal.NewStream(std.err).Logger(slog.LevelInfo)
	paths := config.AppliancePaths()
	return node.EventLog(paths, state.Parley, filepath.Join(paths.Run, "faults.json"), log).Run(ctx)
}

func runCallBridge(ctx context.Context, _ []string, std streams) error {
	return traced(ctx, trace.CallBridge, std, func(log *slog.Logger) service {
		paths := config.AppliancePaths()
		return callbridge.New(callbridge.Config{Paths: paths, Group: state.Parley}, callbridge.Deps{
			Config: config.NewStore(paths.Live()), Names: networkapi.NewClient(paths.Socket("network")),
			Events: eventlogapi.NewClient(paths.Socket("eventlog")), Own: ownAddresses,
			Deployment: databaseapi.NewClient(paths.Socket("database")), Log: log,
		})
	})
}

func runDatabase(ctx context.Context, _ []string, std streams) error {
	log := journal.NewStream(std.err).Logger(slog.LevelInfo)
	paths := config.AppliancePaths()
	return database.New(
		database.Config{Paths: paths, Group: state.Parley, Version: version},
		database.Deps{Config: config.NewStore(paths.Live()), Listen: network.ListenDevices, Address: network.DeviceAddress, Log: log},
	).Run(ctx)
}

// ownAddresses are this machine's, loopback first.
func ownAddresses() []netip.Addr {
	own := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	for _, name := range network.Names {
		if a, err := network.DeviceAddress(name); err == nil && a.IsValid() {
			own = append(own, a)
		}
	}
	return own
}

// sshPort is on all interfaces: an operator must get in whatever is set up.
const sshPort = ":22"

func runSSHD(ctx context.Context, _ []string, std streams) error {
	j := journal.NewStream(std.err)
	listen := func(ctx context.Context) ([]net.Listener, error) {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", sshPort)
		if err != nil {
			return nil, fmt.Errorf("listen for SSH: %w", err)
		}
		return []net.Listener{l}, nil
	}
	return node.NewDesk(config.AppliancePaths(), j).SSH(listen, j.Logger(slog.LevelInfo)).Run(ctx)
}

func runWebadmin(ctx context.Context, _ []string, std streams) error {
	j := journal.NewStream(std.err)
	return node.NewDesk(config.AppliancePaths(), j).Webadmin(state.Parley, network.ListenDevices, j.Logger(slog.LevelInfo)).Run(ctx)
}

// errNoTTY says that console was called without the name of its terminal.
var errNoTTY = errors.New("name the terminal")

// runConsole is one session on the terminal that is its stdin; init starts the
// next one.
func runConsole(ctx context.Context, args []string, std streams) error {
	if len(args) != 1 {
		return errNoTTY
	}
	tty, err := mmp.OpenTTY(int(std.in.Fd()), args[0])
	if err != nil {
		return err
	}
	defer tty.Close()
	err = node.NewDesk(config.AppliancePaths(), journal.NewStream(std.err)).Console.Login(ctx, tty)
	if ctx.Err() != nil || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
