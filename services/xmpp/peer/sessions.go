package peer

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"sync"
	"time"
)

const (
	// sessionsKept bounds the sessions to resume, one for each address.
	sessionsKept = 64
	// sessionLife is after how long nodes prove again that they have the keys
	// of their certificates.
	sessionLife = time.Hour
)

// sessions are TLS sessions to resume, so that connecting again costs no
// signature and no certificates. A session carries the certificates that were
// shown at its first handshake. crypto/tls does not verify them again: who dials
// and who is dialed check them at each handshake. What they must not do is
// hide a certificate that this node has changed, so sessions are of one
// Identity: with another, the ones it has are forgotten, and the tickets that
// it gave out cannot be read any more.
type sessions struct {
	mu    sync.Mutex
	of    [sha256.Size]byte
	since time.Time
	cache tls.ClientSessionCache
	key   [32]byte
}

// with returns the sessions to resume as id, and the key of tickets for it.
func (s *sessions) with(id Identity) (cache tls.ClientSessionCache, key [32]byte) {
	sum := id.sum()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cache == nil || s.of != sum || time.Since(s.since) >= sessionLife {
		s.of, s.since, s.cache = sum, time.Now(), tls.NewLRUClientSessionCache(sessionsKept)
		rand.Read(s.key[:])
	}
	return s.cache, s.key
}

// sum tells identities apart by what they show and whom they trust.
func (id Identity) sum() (sum [sha256.Size]byte) {
	h := sha256.New()
	part := func(data []byte) {
		one := sha256.Sum256(data)
		h.Write(one[:])
	}
	for _, c := range []*tls.Certificate{id.Certificate, id.Client} {
		if c != nil {
			for _, der := range c.Certificate {
				part(der)
			}
		}
		part(nil)
	}
	part(id.Trust.sum[:])
	part([]byte(id.Domain))
	part([]byte(id.ClientName))
	h.Sum(sum[:0])
	return sum
}
