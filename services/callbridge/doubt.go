package callbridge

import (
	"errors"
	"fmt"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/problem"
)

// trust notes whether it is sure that the settings hold, as they are. It is
// called with mu held.
func (p *people) trust(sure bool) {
	if sure && !p.sure {
		p.proven, p.confirmed = true, true
		p.wake()
		p.tell()
	}
	p.sure = sure
}

// known says whether the settings were known once, and may be tried.
func (p *people) known() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why == nil
}

// doubt notes why it is not known what holds. What was known is used on.
func (p *people) doubt(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sure = false
	if p.why == nil || p.outdated {
		return
	}
	p.why = err
	p.status = callbridgeapi.Directory{Configured: true}
	p.trouble(err, time.Now())
}

// refused looks whether err is the LDAP server's no to the service account. Tried
// again and again an old password locks it: so where it is not sure that the
// settings hold they are given up, until the database says what does.
func (p *people) refused(d *held, err error) {
	bad, ok := errors.AsType[*problem.Problem](err)
	if !ok || bad.Code != problem.DirectoryBind {
		return
	}
	p.mu.Lock()
	if d != p.server || p.sure {
		p.mu.Unlock()
		return
	}
	given := problem.New(problem.DirectoryOutdated)
	given.Values = bad.Values
	p.why, p.outdated = given, true
	p.log.Warn("settings of the directory given up", "err", given)
	p.raise(fmt.Sprintf("LDAP server %s cannot be asked", p.status.Server), problem.Text(given))
	p.status = callbridgeapi.Directory{Configured: true}
	p.trouble(given, time.Now())
	p.drop()
	p.tell()
	p.mu.Unlock()
	p.givenUp()
}
