package image

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/u-root/gobusybox/src/pkg/golang"
	"github.com/u-root/mkuimage/cpio"
	"github.com/u-root/mkuimage/uimage"
	"github.com/u-root/uio/llog"
)

// tools are what support may need of u-root's userland when only init runs;
// they go into /bbin as one busybox. No shell is among them.
var tools = []string{
	"github.com/u-root/u-root/cmds/core/dmesg",
	"github.com/u-root/u-root/cmds/core/ip",
	"github.com/u-root/u-root/cmds/core/lsmod",
	"github.com/u-root/u-root/cmds/core/ps",
}

// buildProgram builds our programs, all one binary, into out. mkuimage's own
// builder would also take over the mode of its temporary folder for /, which
// services that are not root must get past.
func buildProgram(cfg Config, env *golang.Environ, out string) error {
	if err := env.Build(out, []string{cfg.Program}, &golang.BuildOpts{EnableInlining: true, ExtraArgs: []string{
		// It rebuilds the standard library each time unless told not to.
		"-a=false",
		"-buildvcs=false",
		"-ldflags=-s -w -buildid= -X main.version=" + cfg.Version,
	}}); err != nil {
		return fmt.Errorf("build %s: %w", cfg.Program, err)
	}
	return nil
}

// writeInitramfs builds the Go programs and writes the whole root file system,
// uncompressed, to out. mkuimage sets owner 0 and mtime 0 and sorts by name:
// equal input is equal output.
func writeInitramfs(cfg Config, tmp, out string, base *cpio.Archive) error {
	env := golang.Default(golang.DisableCGO(), golang.WithGOARCH("amd64"), golang.WithGOOS("linux"), golang.WithWorkingDir(cfg.Source))
	program := filepath.Join(tmp, "appliance")
	if err := buildProgram(cfg, env, program); err != nil {
		return err
	}
	log := llog.New(slog.LevelWarn, func(format string, args ...any) {
		fmt.Fprintf(cfg.Log, "mkuimage: %s\n", strings.TrimSpace(fmt.Sprintf(format, args...)))
	})
	err := uimage.Create(log,
		uimage.WithReplaceEnv(env),
		uimage.WithTempDir(tmp),
		uimage.WithFiles(program+":bin/appliance"),
		uimage.WithBusyboxCommands(tools...),
		uimage.WithBusyboxBuildOpts(&golang.BuildOpts{EnableInlining: true, ExtraArgs: []string{"-a=false", "-buildvcs=false"}}),
		uimage.WithBaseArchive(base),
		uimage.WithExistingInit(true),
		uimage.WithSkipLDD(),
		uimage.WithCPIOOutput(out),
	)
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	return nil
}
