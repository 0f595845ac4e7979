package watch

import (
	"fmt"
	"strings"
	"time"

	"parley/services/config"
	"parley/services/eventlog/eventlogapi"
	"parley/services/pki"
)

// soon is when the end of a certificate is worth a warning.
const soon = 30 * 24 * time.Hour

// use is a file of certificates and what it is for.
type use struct {
	key, file, of string
	// command has the file read again.
	command string
}

// uses are the files of certificates that enabled services use.
func uses(d config.Document) []use {
	x, b, a := d.XMPP, d.CallBridge, d.Webadmin
	var all []use
	add := func(key, file, of string, command ...string) {
		if file != "" {
			all = append(all, use{key, file, of, strings.TrimSpace(strings.Join(command, " "))})
		}
	}
	if x.Enabled {
		add("xmpp.certificate", x.Certificate, "XMPP", "xmpp certs", x.Key, x.Certificate, x.Bundle)
		add("xmpp.bundle", x.Bundle, "XMPP", "xmpp certs", x.Key, x.Certificate, x.Bundle)
	}
	if x.Enabled && x.Cluster.Enabled {
		add("xmpp.trust", x.Cluster.Trust, "the XMPP cluster's trust", "xmpp cluster trust", x.Cluster.Trust)
	}
	if b.Enabled {
		add("callbridge.certificate", b.Certificate, "the Call Bridge", "callbridge certs", b.Key, b.Certificate, b.Bundle)
		add("callbridge.bundle", b.Bundle, "the Call Bridge", "callbridge certs", b.Key, b.Certificate, b.Bundle)
		add("callbridge.trust", b.Trust, "the Call Bridge's trust", "callbridge trust", b.Trust)
	}
	if b.Enabled && d.Directory.Address != "" {
		add("directory.trust", d.Directory.Trust, "the directory's trust", "callbridge restart")
	}
	if db := d.Database; db.ClientKey != "" {
		add("database.server", db.ServerCertificate, "the database", "database cluster status")
		add("database.client", db.ClientCertificate, "the database", "database cluster status")
		add("database.ca", db.CA, "the database", "database cluster status")
	}
	if a.Enabled {
		add("webadmin.certificate", a.Certificate, "Webadmin", "webadmin certs", a.Key, a.Certificate, a.Bundle)
		add("webadmin.bundle", a.Bundle, "Webadmin", "webadmin certs", a.Key, a.Certificate, a.Bundle)
	}
	return all
}

// certificates warns of what expires soon. inUse is when the certificate that
// XMPP has loaded does, zero where that is not known: its file may hold a newer
// one by now.
func (w *Watcher) certificates(d config.Document, inUse time.Time) []finding {
	var found []finding
	now := w.deps.Now()
	for _, u := range uses(d) {
		// A file that cannot be read is told of by who uses it.
		subject, until, err := pki.Expiry(w.deps.Files, u.file)
		if err != nil {
			continue
		}
		fix := fmt.Sprintf("have it renewed, put it under the same name with SFTP, then type '%s'", u.command)
		if u.key == "xmpp.certificate" && !inUse.IsZero() && inUse.Before(until) {
			until, fix = inUse, "the file holds a newer one, which is not in use yet; type 'xmpp restart'"
		}
		if until.Sub(now) > soon {
			continue
		}
		level, verb := eventlogapi.Warning, "expires"
		if until.Before(now) {
			level, verb = eventlogapi.Error, "expired"
		}
		found = append(found, raise(u.key, level,
			fmt.Sprintf("Certificate of %s in %s, used for %s, %s on %s UTC", subject, u.file, u.of, verb, until.UTC().Format("2006-Jan-02 15:04:05")), fix))
	}
	return found
}
