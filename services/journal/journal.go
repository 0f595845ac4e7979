// Package journal is a node's log files, syslog and audit: their line form,
// the slog handler that writes it, rotation, and reading while others write.
// It sends nothing over the network and does not decide what is worth a line.
//
// A line reads
//
//	2026-11-22T20:01:02.123Z info xmpp: listening address=10.0.0.1:5222
//	2026-11-22T20:01:02.123Z local0.info cb1 cli: User admin from 10.0.0.9:63290 issued command < pki list>: permission granted
//
// On the appliance only init writes the files: services write lines to
// stderr (NewStream), and init files them (Journal.Take). So a service cannot
// take back what it has logged, nor log in another's name. In an ordinary
// process all goroutines write the files (New).
package journal

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Names of the files in the log folder.
const (
	Syslog = "syslog"
	Audit  = "audit"
)

// Verdicts of an audit line.
const (
	Granted = "permission granted"
	Denied  = "permission denied"
)

// auditLevel is the facility and level of audit lines, as RFC 5424 §6.2.1
// names them.
const auditLevel = "local0.info"

// Sink takes whole lines, without the newline. It may be used by any number of
// goroutines.
type Sink interface {
	Line(line string) error
}

// Journal is where a process's lines go.
type Journal struct {
	syslog, audit Sink
	host          func() string
	now           func() time.Time
}

// New returns a journal that writes the files in dir; audit lines are durable. host names the node in
// audit lines; nil takes the kernel's host name.
func New(dir string, host func() string) *Journal {
	return NewOn(NewFile(filepath.Join(dir, Syslog)), NewDurableFile(filepath.Join(dir, Audit)), host)
}

// NewStream returns a journal that writes both kinds of line to w, the stderr
// of a service whose lines init collects.
func NewStream(w io.Writer) *Journal {
	s := &stream{w: w}
	return NewOn(s, s, nil)
}

// NewOn returns a journal on two sinks.
func NewOn(syslog, audit Sink, host func() string) *Journal {
	if host == nil {
		host = kernelHost
	}
	return &Journal{syslog: syslog, audit: audit, host: host, now: time.Now}
}

func kernelHost() string {
	h, err := os.Hostname()
	if err != nil || h == "" {
		return "parley"
	}
	return h
}

// Logger returns a logger of lines from level up. The attribute "component"
// becomes the line's tag.
func (j *Journal) Logger(level slog.Leveler) *slog.Logger {
	return slog.New(NewHandler(j.syslog, level))
}

// Audit records a command that somebody issued, and whether it was permitted.
// The caller leaves secrets out of command. The error is that of the sink: a
// caller that must not act unrecorded can refuse.
func (j *Journal) Audit(user, source, command, verdict string) error {
	return j.audit.Line(fmt.Sprintf("%s %s %s cli: User %s from %s issued command < %s>: %s",
		stamp(j.now()), auditLevel, j.host(), user, source, command, verdict))
}

// Take files a line that service wrote to its stdout or stderr. The time and
// the tag are ours, so that neither can be forged. audit says that the service
// may write audit lines; any other's are ordinary text.
func (j *Journal) Take(service, line string, audit bool) error {
	now := stamp(j.now())
	_, rest, ok := cutStamp(line)
	if ok && audit {
		if text, isAudit := strings.CutPrefix(rest, auditLevel+" "); isAudit {
			return j.audit.Line(now + " " + auditLevel + " " + text)
		}
	}
	if ok {
		level, text, _ := strings.Cut(rest, " ")
		tag, msg, tagged := strings.Cut(text, ": ")
		if isLevel(level) && tagged && !strings.Contains(tag, " ") {
			if tag != service && !strings.HasPrefix(tag, service+"/") {
				tag = service + "/" + tag
			}
			return j.syslog.Line(now + " " + level + " " + tag + ": " + msg)
		}
	}
	// Not one of our lines: what a crash prints, mostly.
	return j.syslog.Line(now + " error " + service + ": " + line)
}

// stream writes each line in one call, so that lines of several goroutines do
// not mix.
type stream struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *stream) Line(line string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := io.WriteString(s.w, Clean(line)+"\n")
	return err
}
