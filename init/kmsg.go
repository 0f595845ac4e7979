package pid1

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// kernelLog files the kernel's warnings and errors, those of before as well,
// until ctx ends: they are off the consoles, and a failing disk must leave a
// trace. Each read of /dev/kmsg is one record
// (Documentation/ABI/testing/dev-kmsg).
func (i *Init) kernelLog(ctx context.Context) {
	f, err := os.OpenFile(i.path("dev/kmsg"), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		i.log.Error("kernel log", "err", err)
		return
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	log := i.journal.Logger(slog.LevelInfo).With("component", "kernel")
	record := make([]byte, 8<<10)
	for {
		n, err := f.Read(record)
		if errors.Is(err, unix.EPIPE) {
			// Records were overwritten before they were read.
			continue
		}
		if err != nil {
			return
		}
		if level, text, ok := parseKmsg(string(record[:n])); ok && level >= slog.LevelWarn {
			log.Log(ctx, level, text)
		}
	}
}

// parseKmsg reads "6,339,5140900,-;text\n KEY=value\n".
func parseKmsg(record string) (level slog.Level, text string, ok bool) {
	head, text, ok := strings.Cut(record, ";")
	first, _, _ := strings.Cut(head, ",")
	n, err := strconv.Atoi(first)
	if !ok || err != nil {
		return 0, "", false
	}
	text, _, _ = strings.Cut(text, "\n")
	// The facility is above three bits of level (syslog(2)); only the
	// kernel's own, 0, is taken: the rest was written there by programs.
	switch {
	case n>>3 != 0:
		return 0, "", false
	case n <= 3:
		return slog.LevelError, text, true
	case n == 4:
		return slog.LevelWarn, text, true
	}
	return slog.LevelInfo, text, true
}
