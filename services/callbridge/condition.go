package callbridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"parley/services/callbridge/directory"
	"parley/services/eventlog/eventlogapi"
	"parley/services/problem"
)

// directoryFault names the condition that the LDAP server cannot be asked, or
// does not list its users.
const directoryFault = "callbridge.directory"

// askAgain is how soon a server that could not be asked is asked again, without
// anybody logging in. One that refused the service account is not asked until the
// next list: more often would lock that account.
const askAgain = 3 * time.Second

// trouble notes why the server cannot be asked, nil where it can. It is called
// with mu held.
func (p *people) trouble(err error, at time.Time) {
	s := &p.status
	s.Trouble, s.Problem, s.TroubleAt, s.ListOnly = "", nil, at, false
	if err != nil {
		s.Trouble = problem.Text(err)
		s.Problem, _ = errors.AsType[*problem.Problem](err)
	}
}

// cannot notes why d could not be asked, and raises the condition. What only
// concerns the list is mended by a list, and not by a check that goes well.
func (p *people) cannot(d *held, err error, list bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d != p.server {
		return
	}
	p.trouble(err, time.Now())
	p.status.ListOnly = list
	message := fmt.Sprintf("LDAP server %s cannot be asked", p.status.Server)
	if list {
		message = fmt.Sprintf("LDAP server %s does not list its users", p.status.Server)
	}
	p.raise(message, p.status.Trouble)
	select {
	case p.lost <- struct{}{}:
	default:
	}
}

// raise has message be the condition, and tells the event log where it was not.
// It is called with mu held.
func (p *people) raise(message, hint string) {
	said := p.fault.Message
	p.fault = eventlogapi.Fault{Key: directoryFault, Message: message, Hint: hint}
	if p.idle {
		return
	}
	var events []eventlogapi.Event
	if said != message {
		why, _, _ := strings.Cut(hint, "; ")
		events = append(events, eventlogapi.Event{Level: eventlogapi.Error, Message: message + ": " + why})
	}
	f := p.fault
	p.reporter.failed(&f, events...)
}

// lower ends the condition, for the given reason. It is called with mu held.
func (p *people) lower(why string) {
	var events []eventlogapi.Event
	if p.fault.Message != "" && !p.idle {
		events = append(events, eventlogapi.Event{Level: eventlogapi.Info, Message: why})
	}
	p.fault = eventlogapi.Fault{}
	p.reporter.mended(events...)
}

// rest says whether the Call Bridge is disabled: nobody logs in by way of it, so
// the condition is nobody's work, and is told only when it is enabled again.
func (p *people) rest(idle bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if idle == p.idle {
		return
	}
	f := p.fault
	if f.Message == "" {
		p.idle = idle
		return
	}
	if idle {
		server, _ := directory.Server(p.conf)
		p.lower(fmt.Sprintf("LDAP server %s is not needed any more: the Call Bridge is disabled", server))
		p.fault, p.idle = f, true
		return
	}
	p.fault, p.idle = eventlogapi.Fault{}, false
	p.raise(f.Message, f.Hint)
}

// can notes that d has answered. Where it could not be asked before, the users
// are listed.
func (p *people) can(d *held) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d != p.server {
		return
	}
	p.answered = time.Now()
	if p.status.Trouble == "" || p.status.ListOnly {
		return
	}
	p.trouble(nil, time.Time{})
	p.lower(fmt.Sprintf("LDAP server %s can be asked again", p.status.Server))
	p.wake()
}

// noted takes what came of a check. What may be of the user alone has the server
// be asked by a probe.
func (p *people) noted(d *held, err error) {
	switch code := problem.CodeOf(err); {
	case err == nil:
		p.can(d)
	case wayTo(code), code == problem.DirectorySilent:
		p.cannot(d, err, false)
	case code != problem.DirectoryAmbiguous:
		select {
		case p.suspected <- struct{}{}:
		default:
		}
	}
}

// wayTo says whether code is of the way to the server and through its door, so
// that whatever it is asked fails alike.
func wayTo(code problem.Code) bool {
	switch code {
	case problem.DirectoryUnreachable, problem.DirectoryUnknown, problem.DirectoryTrust, problem.DirectoryTrustFile, problem.DirectoryCertificate,
		problem.DirectoryNoStartTLS, problem.DirectoryNoTLS, problem.DirectoryInsecure, problem.DirectoryBind:
		return true
	}
	return false
}

// listAlone says whether the failure of a list says nothing of checks. It is
// called with mu held.
func (p *people) listAlone(err error) bool {
	switch code := problem.CodeOf(err); code {
	case problem.DirectoryLimit, problem.DirectoryNobody, problem.DirectoryNames:
		return true
	default:
		return !wayTo(code) && time.Since(p.answered) < listAgain
	}
}

// leftOut notes who is in no list, and tells the event log once for each change
// of that. It is called with mu held.
func (p *people) leftOut(list directory.List) {
	s := &p.status
	if s.Unfit == list.Unfit && s.Like == list.Like {
		return
	}
	s.Unfit, s.Like = list.Unfit, list.Like
	if text := directory.LeftOut(s.Unfit, s.Like); text != "" {
		p.reporter.failed(nil, eventlogapi.Event{
			Level: eventlogapi.Warning, Message: fmt.Sprintf("LDAP server %s has users whom chat cannot have: %s", s.Server, text),
			Hint: "give them other names there, or name another attribute with 'callbridge directory user'",
		})
	}
}

// unanswered says whether the server could not be asked, and is to be asked
// again soon.
func (p *people) unanswered() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.status
	return p.server != nil && s.Trouble != "" && !s.ListOnly && (s.Problem == nil || s.Problem.Code != problem.DirectoryBind)
}

// ailing is the server that cannot be asked, "" for none.
func (p *people) ailing() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status.Trouble == "" || p.status.ListOnly {
		return ""
	}
	return p.status.Server
}

// probe asks for one user.
func (p *people) probe(ctx context.Context) error {
	d, done, err := p.use()
	if err != nil {
		return err
	}
	defer done()
	err = d.Probe(ctx)
	p.refused(d, err)
	if err == nil {
		p.can(d)
	} else if _, ok := errors.AsType[*problem.Problem](err); ok {
		p.cannot(d, err, false)
	}
	return err
}
