package webadmin

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"
)

const (
	// sessionIdle ends a session that nobody uses, sessionLong any.
	sessionIdle = 30 * time.Minute
	sessionLong = 12 * time.Hour
	// maxSessions: a further login ends the one that was used longest ago.
	maxSessions = 100
)

// session is one browser that is logged in.
type session struct {
	user string
	// changed is when the user's password was last set: a new one ends the
	// sessions that were opened with the old.
	changed time.Time
	// form is the token that this session's forms carry, against requests
	// that another site makes in its name.
	form         string
	opened, used time.Time
}

// sessions are kept in memory by the digest of their token, so that what is
// read out of it opens nothing.
type sessions struct {
	now func() time.Time
	mu  sync.Mutex
	all map[[sha256.Size]byte]*session
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, all: map[[sha256.Size]byte]*session{}}
}

// random is a token of 256 bits.
func random() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// open starts a session and returns its token.
func (s *sessions) open(user string, changed time.Time) string {
	token := random()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	if len(s.all) >= maxSessions {
		var oldest [sha256.Size]byte
		for k, v := range s.all {
			if o := s.all[oldest]; o == nil || v.used.Before(o.used) {
				oldest = k
			}
		}
		delete(s.all, oldest)
	}
	now := s.now()
	s.all[sha256.Sum256([]byte(token))] = &session{user: user, changed: changed, form: random(), opened: now, used: now}
	return token
}

// find returns a copy of the session of a token. A look that nobody asked for,
// such as a page that refreshes itself, does not keep it alive.
func (s *sessions) find(token string, asked bool) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	v := s.all[sha256.Sum256([]byte(token))]
	if v == nil {
		return session{}, false
	}
	if asked {
		v.used = s.now()
	}
	return *v, true
}

func (s *sessions) close(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, sha256.Sum256([]byte(token)))
}

func (s *sessions) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.all)
}

func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	return len(s.all)
}

// expire drops what has ended. A clock that was set back ends sessions rather
// than prolong them.
func (s *sessions) expire() {
	now := s.now()
	for k, v := range s.all {
		if idle, age := now.Sub(v.used), now.Sub(v.opened); idle > sessionIdle || age > sessionLong || age < 0 || idle < 0 {
			delete(s.all, k)
		}
	}
}
