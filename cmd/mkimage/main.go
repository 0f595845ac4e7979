// Command mkimage builds the appliance's ISO.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"parley/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	output := flags.String("o", "build/parley.iso", "the `ISO` to write")
	cache := flags.String("cache", "build/cache", "`folder` that keeps the kernel between builds")
	version := flags.String("version", "dev", "the image's `version`")
	epoch := flags.Int64("epoch", 0, "`seconds` since 1970 that every file of the image carries")
	source := flags.String("source", ".", "root `folder` of the module")
	program := flags.String("program", "./cmd/appliance", "`package` of the appliance's multi-call binary")
	if err := flags.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	// The image must run on every x86-64 CPU and be the same whoever builds it,
	// whatever the builder's own Go settings are.
	for name, value := range map[string]string{"GOAMD64": "v1", "GOFLAGS": "", "GOWORK": "off"} {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintf(stderr, "mkimage: %v\n", err)
			return 1
		}
	}
	err := build(ctx, image.Config{
		Source: *source, Program: *program, Version: *version, Epoch: time.Unix(*epoch, 0),
		Cache: *cache, Output: *output, Log: stdout,
	})
	if err != nil {
		fmt.Fprintf(stderr, "mkimage: %v\n", err)
		return 1
	}
	return 0
}

// build makes the paths absolute: programs that it starts run elsewhere.
func build(ctx context.Context, cfg image.Config) error {
	for _, p := range []*string{&cfg.Source, &cfg.Cache, &cfg.Output} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	if err := os.MkdirAll(filepath.Dir(cfg.Output), 0o755); err != nil {
		return err
	}
	return image.Build(ctx, cfg)
}
