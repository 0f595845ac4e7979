package diagnosis

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parley/services/problem"
)

// whatDirectory is the LDAP server of this node's Call Bridge in findings, and
// whatDirectoryUsers whether those who are in it can log in.
const (
	whatDirectory      = "directory"
	whatDirectoryUsers = "directory users"
)

// ldap checks the LDAP server that this node's Call Bridge asks, if it is on and
// has one.
func (f *facts) ldap() []Finding {
	const what = whatDirectory
	d := f.directory
	switch {
	case f.directoryErr != nil || !f.doc.CallBridge.Enabled || !d.Configured:
		// That a service does not answer is told of the bridge.
		return nil
	case d.Server == "":
		// It may be that there is none; after a start that is known in a moment.
		why, _, _ := strings.Cut(d.Trouble, "; ")
		return []Finding{warn(what, "its settings are not known: %s", why).by("database cluster status")}
	case d.Problem != nil:
		return []Finding{mendLDAP(d.Problem)}
	case d.Trouble != "":
		return []Finding{fail(what, "%s: %s", d.Server, d.Trouble).by("callbridge directory test")}
	case f.probeErr != nil:
		if p, ok := errors.AsType[*problem.Problem](f.probeErr); ok {
			return []Finding{mendLDAP(p)}
		}
		return []Finding{fail(what, "%s does not answer", d.Server).by("callbridge directory test")}
	case d.Synced.IsZero():
		return []Finding{warn(what, "%s answers, and the users are not listed yet", d.Server).by("callbridge directory sync")}
	}
	return []Finding{ok(what, "%s answers, %s, listed %s ago", d.Server, count(d.Users, "user"), ago(f.now.Sub(d.Synced)))}
}

// mendLDAP is the finding that the LDAP server cannot be asked. What is mended
// elsewhere is noticed by a new list of the users.
func mendLDAP(p *problem.Problem) Finding {
	const again = "callbridge directory sync"
	finding := of(Fail, whatDirectory, p)
	switch p.Code {
	case problem.DirectoryIncomplete:
		return finding.first("").by(p.Values["command"])
	case problem.DirectorySetting:
		return finding.first("").by(p.Values["command"] + " <value>")
	case problem.DirectoryUnknown:
		return finding.first("mend its DNS records, or correct 'callbridge directory address'").by("dns flush", again)
	case problem.DirectoryUnreachable, problem.DirectorySilent:
		return finding.first("start it, mend the way to it, or correct 'callbridge directory address' and 'port'").by(again)
	case problem.DirectoryTrustFile:
		return finding.first("put " + p.Values["file"] + " here by SFTP, or name another with 'callbridge directory trust'").by(again)
	case problem.DirectoryTrust:
		return finding.first("put the authority's certificate in its place").by(again)
	case problem.DirectoryBind:
		return finding.first("correct 'callbridge directory username', or, where it is right,").by("callbridge directory password")
	case problem.DirectoryBase:
		return finding.first("").by("callbridge directory basedn <dn>")
	case problem.DirectoryInsecure:
		return finding.first("").by("callbridge directory tls starttls")
	case problem.DirectoryNobody:
		return finding.first("correct 'callbridge directory basedn' and 'callbridge directory user', or, where they are right,").by("callbridge directory filter <filter>")
	case problem.DirectoryNames:
		return finding.first("").by("callbridge directory user <mapping>")
	case problem.DirectoryLimit:
		return finding.first("raise the limit of the service account there, or, to list fewer,").by("callbridge directory filter <filter>")
	}
	return finding.by(again)
}

// directoryUsers says whether somebody checks the passwords of those accounts
// that have none here.
func (f *facts) directoryUsers(own report, reports map[string]report) []Finding {
	const what = whatDirectoryUsers
	there := f.status.Directory - f.status.Left
	if f.statusErr != nil || f.bridgesErr != nil || f.status.Directory == 0 || !f.status.Running {
		// Without a leader, say, nobody is known to be connected.
		return nil
	}
	checks := 0
	for _, b := range f.bridges {
		if b.Authenticates {
			checks++
		}
	}
	if checks > 0 {
		detail := fmt.Sprintf("%s, whose passwords %s", count(there, "account"), checked(checks))
		if f.status.Left > 0 {
			detail += fmt.Sprintf(", and %d no longer in the directory", f.status.Left)
		}
		return []Finding{ok(what, "%s", detail)}
	}
	if there == 0 {
		return nil
	}
	finding := fail(what, "no Call Bridge checks the passwords of %s", count(there, "account"))
	// The node whose bridge could, one that is on before one that is off.
	all := maps.Clone(reports)
	all[f.own()] = own
	for _, enabled := range []bool{true, false} {
		for _, addr := range slices.Sorted(maps.Keys(all)) {
			if r := all[addr]; !r.LDAP || (r.Bridge != "") != enabled {
				continue
			}
			if addr != f.own() {
				finding.Node = addr
			}
			if enabled {
				return []Finding{finding.by("callbridge test", "callbridge directory test")}
			}
			return []Finding{finding.by("callbridge enable")}
		}
	}
	return []Finding{finding.by("callbridge directory address <address>", "callbridge directory test")}
}

func checked(bridges int) string {
	if bridges == 1 {
		return "1 Call Bridge checks"
	}
	return fmt.Sprintf("%d Call Bridges check", bridges)
}

// ago is a time that has passed, in whole minutes or seconds.
func ago(d time.Duration) string {
	if d >= time.Minute {
		return count(int(d/time.Minute), "minute")
	}
	return count(max(0, int(d/time.Second)), "second")
}
