// Package node puts services together: what console and sshd of any node work
// with, and a whole node as goroutines of one process, for cmd/parley. It
// decides nothing that a service could decide itself.
package node

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parley/init/initapi"
	"parley/mmp"
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
	"parley/services/webadmin/webadminapi"
	"parley/services/xmpp/xmppapi"
)

// Desk is what an operator works with, on the console or over SSH: the files
// of the state folder, and the services behind their control sockets.
type Desk struct {
	Paths    config.Paths
	Config   *config.Store
	Settings *settings.Store
	Accounts *account.Store
	Files    *files.Store
	Journal  *journal.Journal
	Console  *mmp.Console
}

// NewDesk returns the desk of a node; j takes audit lines.
func NewDesk(paths config.Paths, j *journal.Journal) *Desk {
	d := &Desk{
		Paths:    paths,
		Config:   config.NewStore(paths.Live()),
		Settings: directorySettings(paths),
		Accounts: account.NewStore(paths.Accounts(), time.Now),
		Journal:  j,
	}
	syslog, audit := filepath.Join(paths.Log(), journal.Syslog), filepath.Join(paths.Log(), journal.Audit)
	d.Files = files.NewStore(files.Config{
		Dir: paths.Files(), State: paths.State,
		Virtual: []files.Virtual{
			{Name: "live.json", Path: paths.Live(), Needs: account.Configure},
			{Name: "log", Path: syslog, Needs: account.Configure},
			{Name: "audit", Path: audit, Needs: account.ReadAudit},
		},
	}, files.Deps{Audit: j, InUse: d.inUse})
	d.Console = mmp.New(d.Config, mmp.Deps{
		Accounts: d.Accounts,
		Files:    d.Files,
		Init:     initapi.NewClient(paths.Socket("init")),
		Network:  networkapi.NewClient(paths.Socket("network")),
		XMPP:     xmppapi.NewClient(paths.Socket("xmpp")),
		Events:   eventlogapi.NewClient(paths.Socket("eventlog")),
		Bridge:   callbridgeapi.NewClient(paths.Socket("callbridge")),
		Diagnose: diagnosis.New(diagnosis.Machine(paths)).Run,
		Webadmin: webadminapi.NewClient(paths.Socket("webadmin")),
		Database: databaseapi.NewClient(paths.Socket("database")),
		Journal:  j,
		Syslog:   journal.NewReader(syslog),
		Audit:    journal.NewReader(audit),
		Now:      time.Now,
	})
	return d
}

// inUse names the command that a file was given to. Without a readable
// configuration nothing is in use: rm must work to make room.
func (d *Desk) inUse(name string) string {
	doc, err := d.Settings.Document(context.Background())
	switch x, w := doc.XMPP, doc.Webadmin; {
	case err != nil || name == "":
	case slices.Contains([]string{x.Key, x.Certificate, x.Bundle}, name):
		return "xmpp certs"
	case name == x.Cluster.Trust:
		return "xmpp cluster trust"
	case slices.Contains([]string{w.Key, w.Certificate, w.Bundle}, name):
		return "webadmin certs"
	}
	switch cb := doc.CallBridge; {
	case err != nil || name == "":
	case slices.Contains([]string{cb.Key, cb.Certificate, cb.Bundle}, name):
		return "callbridge certs"
	case name == cb.Trust:
		return "callbridge trust"
	case name == doc.Directory.Trust:
		return "callbridge directory trust"
	}
	if db := doc.Database; name != "" && slices.Contains([]string{db.ServerKey, db.ServerCertificate, db.ClientKey, db.ClientCertificate, db.CA}, name) {
		return "database cluster certs"
	}
	return ""
}

// directorySettings are the LDAP server's, of the node or of its database.
func directorySettings(paths config.Paths) *settings.Store {
	return settings.NewStore(config.NewStore(paths.Live()), databaseapi.NewClient(paths.Socket("database")), time.Now)
}

// hostname tells a node's name for audit lines; in a process the kernel's is
// the host's.
func hostname(store *config.Store) func() string {
	return func() string {
		doc, err := store.Load()
		if err != nil {
			doc = config.Default()
		}
		name, _, _ := strings.Cut(doc.Hostname, ".")
		return name
	}
}

// local is who commands of the same machine are run by.
var local = account.User{Name: "admin", Role: account.Admin}
