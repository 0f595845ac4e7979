package webadmin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"parley/services/account"
	"parley/services/files"
	"parley/services/problem"
)

// rememberFor is how long a program's password need not be checked again: a
// monitor asks every few seconds, and a check is meant to be slow.
const rememberFor = 5 * time.Minute

// maxPrograms bounds what is remembered.
const maxPrograms = 1000

// programs remembers who has logged in to the API, by a digest of name,
// password and address that is worth nothing after a restart.
type programs struct {
	now func() time.Time
	key []byte
	mu  sync.Mutex
	all map[[sha256.Size]byte]program
}

type program struct {
	// changed is when the account's password was last set.
	changed time.Time
	since   time.Time
}

func newPrograms(now func() time.Time) *programs {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	return &programs{now: now, key: key, all: map[[sha256.Size]byte]program{}}
}

func (p *programs) digest(name, password, remote string) (d [sha256.Size]byte) {
	h := hmac.New(sha256.New, p.key)
	for _, s := range []string{source(remote).String(), name, password} {
		n := sha256.Sum256([]byte(s))
		h.Write(n[:])
	}
	h.Sum(d[:0])
	return d
}

func (p *programs) known(d [sha256.Size]byte, changed time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.all[d]
	age := p.now().Sub(k.since)
	return ok && k.changed.Equal(changed) && age >= 0 && age < rememberFor
}

func (p *programs) remember(d [sha256.Size]byte, changed time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) >= maxPrograms {
		clear(p.all)
	}
	p.all[d] = program{changed, p.now()}
}

func (p *programs) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.all)
}

// hasAPI says whether a role may use the API.
func hasAPI(r account.Role) bool { return r == account.Admin || r == account.API }

// programOf checks a request's HTTP Basic credentials.
func (s *Server) programOf(r *http.Request) (files.Who, error) {
	name, password, ok := r.BasicAuth()
	if !ok {
		return files.Who{}, problem.New(problem.CredentialsMissing)
	}
	user, err := s.checkProgram(name, password, r.RemoteAddr)
	return files.Who{Name: user.Name, Role: user.Role, Source: r.RemoteAddr}, err
}

func (s *Server) checkProgram(name, password, remote string) (account.User, error) {
	d := s.programs.digest(name, password, remote)
	if info, err := s.deps.Accounts.Info(name); err == nil && s.programs.known(d, info.Changed) && hasAPI(info.Role) && !info.MustChange {
		return info.User, nil
	}
	user, err := s.authenticate(name, password, remote)
	switch {
	case err != nil:
	case !hasAPI(user.Role):
		err = errRole(user.Role)
	case user.MustChange:
		err = problem.New(problem.AccountMustChange)
	}
	if err != nil {
		s.denied(doorAPI, name, remote, err)
		return user, err
	}
	info, err := s.deps.Accounts.Info(name)
	if err != nil {
		return user, err
	}
	if err := s.audit(files.Who{Name: name, Source: remote}, doorAPI); err != nil {
		return user, err
	}
	s.programs.remember(d, info.Changed)
	return user, nil
}
