// Package mmp is the console language of the appliance: what an operator types
// on a terminal, over SSH, or as the argument of a program, and what is
// answered. It has the line editor, the grammar with help and completion, the
// login on a tty, and the commands by family. It keeps no state of its own:
// each command checks what was typed and asks the package or service that
// owns the matter. It is the one place where problems become text.
package mmp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"parley/init/initapi"
	"parley/services/account"
	"parley/services/callbridge/callbridgeapi"
	"parley/services/callbridge/settings"
	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/diagnosis"
	"parley/services/eventlog/eventlogapi"
	"parley/services/files"
	"parley/services/journal"
	"parley/services/network/networkapi"
	"parley/services/problem"
	"parley/services/webadmin/webadminapi"
	"parley/services/xmpp/xmppapi"
)

// Deps are what commands act on. All are needed.
type Deps struct {
	Accounts *account.Store
	Files    *files.Store
	Init     initapi.API
	Network  networkapi.API
	XMPP     xmppapi.API
	Webadmin webadminapi.API
	Events   eventlogapi.API
	Bridge   callbridgeapi.API
	Database databaseapi.API
	// Diagnose does all checks of XMPP.
	Diagnose func(ctx context.Context) []diagnosis.Finding
	// Journal takes an audit line for each command.
	Journal *journal.Journal
	// Syslog and Audit read what was logged.
	Syslog, Audit *journal.Reader
	// Now is time.Now outside tests.
	Now func() time.Time
}

// Console runs commands. Any number of goroutines may use one.
type Console struct {
	Deps
	config *config.Store
	// settings are the LDAP server's.
	settings *settings.Store
	grammar  *grammar
}

// New returns a console over the configuration in cfg.
func New(cfg *config.Store, deps Deps) *Console {
	return &Console{Deps: deps, config: cfg, settings: settings.NewStore(cfg, deps.Database, deps.Now), grammar: newGrammar(families())}
}

// families in the order in which help lists them.
func families() []family {
	return []family{
		xmppFamily(), bridgeFamily(), databaseFamily(), webadminFamily(), pkiFamily(), ipv4Family(), ifaceFamily(), dnsFamily(), hostnameFamily(), pingFamily(),
		userFamily(), passwdFamily(), alarmsFamily(), eventlogFamily(), syslogFamily(), lsFamily(), rmFamily(), versionFamily(), uptimeFamily(),
		dateFamily(), rebootFamily(), shutdownFamily(), helpFamily(), exitFamily(), logoutFamily(),
	}
}

// run parses one line, records it, and runs it. watch is how an endless
// command is run. A blank line is nothing.
func (c *Console) run(ctx context.Context, k *call, line string, watch func(func(context.Context))) error {
	words, err := split(line)
	if err == nil && len(words) == 0 {
		return nil
	}
	if err != nil {
		return errors.Join(err, c.audit(k, "…", journal.Granted))
	}
	cmd, values, known, err := c.grammar.match(words)
	if err != nil {
		return errors.Join(err, c.audit(k, strings.Join(append(words[:known:known], "…"), " "), journal.Granted))
	}
	shown := make([]string, len(words))
	for i, w := range words {
		shown[i] = quote(w)
	}
	if !k.user.Role.Can(cmd.need) {
		err := problem.New(problem.PermissionDenied, "command", strings.Join(words[:known], " "), "role", string(k.user.Role))
		return errors.Join(err, c.audit(k, strings.Join(shown, " "), journal.Denied))
	}
	if err := c.audit(k, strings.Join(shown, " "), journal.Granted); err != nil {
		return err
	}
	k.Console, k.ctx, k.values, k.watch = c, ctx, values, watch
	if cmd.endless {
		watch(func(ctx context.Context) {
			k.ctx = ctx
			err = cmd.run(k)
		})
		return err
	}
	return cmd.run(k)
}

// audit records a line before it has any effect. What does not parse is
// recorded by the words that are known to be of a command only: anything may
// have been typed or pasted there, a password too. A command that cannot be
// recorded is not run.
func (c *Console) audit(k *call, command, verdict string) error {
	if err := c.Journal.Audit(k.user.Name, k.source, command, verdict); err != nil {
		return problem.New(problem.AuditFailed, "detail", err.Error())
	}
	return nil
}

// answer writes what a command says.
type answer struct {
	w        io.Writer
	warnings []error
}

func (a *answer) Write(p []byte) (int, error) { return a.w.Write(p) }

// row is a line "Label : value".
type row struct{ label, value string }

// rows writes rows with their colons below each other.
func (a *answer) rows(rows ...row) {
	wide := 0
	for _, r := range rows {
		wide = max(wide, len(r.label))
	}
	for _, r := range rows {
		fmt.Fprintf(a.w, "%-*s : %s\n", wide, r.label, orNone(r.value))
	}
}

// success is the last line of a command that changed something.
func (a *answer) success(detail string, args ...any) error {
	for _, w := range a.warnings {
		fmt.Fprintf(a.w, "WARNING: %s\n", text(w))
	}
	a.warnings = nil
	if detail == "" {
		fmt.Fprintln(a.w, "SUCCESS")
	} else {
		fmt.Fprintf(a.w, "SUCCESS: "+detail+"\n", args...)
	}
	return nil
}

// warn is a line before success; a command that is refused after all has none.
func (a *answer) warn(err error) { a.warnings = append(a.warnings, err) }

// failure is the one line of a command that was refused.
func (a *answer) failure(err error) {
	a.warnings = nil
	fmt.Fprintf(a.w, "FAILURE: %s\n", text(err))
}

// text is problem.Text for a terminal: an error that nobody foresaw has a fix
// too, and nothing that came from outside can drive the terminal.
func text(err error) string {
	t := problem.Text(err)
	if !strings.Contains(t, "; ") {
		t = problem.Text(problem.New(problem.Internal, "service", "console", "detail", t))
	}
	return journal.Clean(t)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
