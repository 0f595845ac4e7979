package main

import (
	"context"
	"fmt"
	"log/slog"

	"parley/init/state"
	"parley/services/config"
	"parley/services/journal"
	"parley/services/network"
)

// logger writes lines to stderr, where init files them.
func logger(std streams) *slog.Logger { return journal.NewStream(std.err).Logger(slog.LevelInfo) }

func runNetwork(ctx context.Context, _ []string, std streams) error {
	store := config.NewStore(config.AppliancePaths().Live())
	return network.New(network.ApplianceConfig(state.Parley), network.Machine(store, logger(std))).Run(ctx)
}

func runXMPP(ctx context.Context, _ []string, _ streams) error {
	<-ctx.Done()
	return nil
}

func runSSHD(ctx context.Context, _ []string, _ streams) error {
	<-ctx.Done()
	return nil
}

func runConsole(ctx context.Context, _ []string, std streams) error {
	fmt.Fprint(std.out, "parley login: ")
	<-ctx.Done()
	return nil
}
