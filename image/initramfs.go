package image

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/u-root/gobusybox/src/pkg/golang"
	"github.com/u-root/mkuimage/cpio"
	"github.com/u-root/mkuimage/uimage"
	"github.com/u-root/mkuimage/uimage/builder"
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

// writeInitramfs builds the Go programs and writes the whole root file system,
// uncompressed, to out. mkuimage sets owner 0 and mtime 0 and sorts by name:
// equal input is equal output.
func writeInitramfs(cfg Config, tmp, out string, base *cpio.Archive) error {
	flags := []string{
		// It rebuilds the standard library each time unless told not to.
		"-a=false",
		"-buildvcs=false",
		"-ldflags=-s -w -buildid= -X main.version=" + cfg.Version,
	}
	log := llog.New(slog.LevelWarn, func(format string, args ...any) {
		fmt.Fprintf(cfg.Log, "mkuimage: %s\n", strings.TrimSpace(fmt.Sprintf(format, args...)))
	})
	err := uimage.Create(log,
		uimage.WithReplaceEnv(golang.Default(golang.DisableCGO(), golang.WithGOARCH("amd64"), golang.WithGOOS("linux"), golang.WithWorkingDir(cfg.Source))),
		uimage.WithTempDir(tmp),
		uimage.WithCommands(&golang.BuildOpts{EnableInlining: true, ExtraArgs: flags}, builder.Binary, cfg.Program),
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
