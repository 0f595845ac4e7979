package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"parley/init/state"
	"parley/mmp"
	"parley/services/config"
	"parley/services/journal"
	"parley/services/network"
	"parley/services/node"
	"parley/services/xmpp"
)

// errNoTTY says that console was called without a name.
var errNoTTY = errors.New("name the tty")

// logger writes lines to stderr, where init files them.
func logger(std streams) *slog.Logger { return journal.NewStream(std.err).Logger(slog.LevelInfo) }

func runNetwork(ctx context.Context, _ []string, std streams) error {
	store := config.NewStore(config.AppliancePaths().Live())
	return network.New(network.ApplianceConfig(state.Parley), network.Machine(store, logger(std))).Run(ctx)
}

func runXMPP(ctx context.Context, _ []string, std streams) error {
	paths := config.AppliancePaths()
	return xmpp.New(xmpp.Config{Paths: paths, Group: state.Parley, Version: version},
		xmpp.Deps{Config: config.NewStore(paths.Live()), Listen: network.ListenDevices, Log: logger(std)}).Run(ctx)
}

func runSSHD(ctx context.Context, _ []string, std streams) error {
	listen := func(ctx context.Context) ([]net.Listener, error) {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", ":22")
		return []net.Listener{l}, err
	}
	return desk(std).SSH(listen, logger(std)).Run(ctx)
}

// runConsole is logins on a tty, one after the other; init starts it anew.
func runConsole(ctx context.Context, args []string, std streams) error {
	if len(args) != 1 {
		return errNoTTY
	}
	tty, err := mmp.OpenTTY(int(std.in.Fd()), args[0])
	if err != nil {
		return err
	}
	defer tty.Close()
	stop := context.AfterFunc(ctx, func() { tty.SetReadDeadline(time.Now()) })
	defer stop()
	console := desk(std).Console
	for ctx.Err() == nil {
		if err := console.Login(ctx, tty); err != nil {
			return err
		}
	}
	return nil
}

func desk(std streams) *node.Desk {
	return node.NewDesk(config.AppliancePaths(), journal.NewStream(std.err))
}
