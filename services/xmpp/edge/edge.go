package edge

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"time"

	"parley/services/config"
	"parley/services/xmpp/link"
	"parley/services/xmpp/sasl"
	"parley/services/xmpp/stream"
)

// Secrets looks up the secret of a component by its name, the first part of
// <name>.<domain>. An unknown one is false and no error.
type Secrets interface {
	Secret(ctx context.Context, name string) (config.Secret, bool, error)
}

// Deps are what an edge works with.
type Deps struct {
	Leader      link.Leader
	Credentials sasl.Credentials
	Secrets     Secrets
	// Certificate is asked at each handshake, so a new one needs no restart.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Log         *slog.Logger
}

// Config says what an edge serves.
type Config struct {
	// Domain, prepared as jid.Domain does.
	Domain string
	// SaltKey hides which accounts exist; see sasl.NewServer.
	SaltKey []byte
	// Limits that are zero as a whole are DefaultLimits.
	Limits Limits
}

// Limits bound what a peer can cost. All must be set.
type Limits struct {
	// Auth is the time from the first byte to a bound session.
	Auth time.Duration
	// Write is the time that a peer may take nothing.
	Write time.Duration
	// Silence is the time without a stanza after which the peer is poked,
	// and Answer the time it has to react where it can (XEP-0198).
	Silence, Answer time.Duration
	// Ack is the most time that <r/> waits for stanzas to be confirmed.
	Ack time.Duration
	// Close is the time to part: for the peer to take the rest and to close
	// its side.
	Close time.Duration
	// Window is the number of a peer's stanzas that may be unconfirmed.
	Window int
	// Queue is the most bytes that wait to be written to a peer, Unacked
	// the most stanzas that it has not acknowledged.
	Queue, Unacked int
	// Attempts are the wrong passwords that one connection may try.
	Attempts int
	// Strangers are connections that have not authenticated: in all, and
	// from one address.
	Strangers, StrangersPerAddress int
}

// DefaultLimits are for an appliance.
func DefaultLimits() Limits {
	return Limits{
		Auth: 30 * time.Second, Write: 30 * time.Second, Silence: 90 * time.Second, Answer: 30 * time.Second,
		Ack: 5 * time.Second, Close: 2 * time.Second,
		Window: 64, Queue: 4 << 20, Unacked: 16 << 10,
		Attempts: 3, Strangers: 1024, StrangersPerAddress: 128,
	}
}

// Limits of the XML, before and after authentication.
var (
	strangerXML = &stream.Limits{Stanza: 16 << 10, Depth: 8, Attrs: 32, Name: 128}
	sessionXML  = &stream.Limits{Stanza: 256 << 10, Depth: 64, Attrs: 64, Name: 256}
)

// Edge implements link.Edge.
type Edge struct {
	domain       string
	limits       Limits
	deps         Deps
	log          *slog.Logger
	sasl         *sasl.Server
	clientTLS    *tls.Config
	componentTLS *tls.Config
	strangers    strangers
	mu           sync.RWMutex
	sessionsByID map[link.SessionID]*session
}

var _ link.Edge = (*Edge)(nil)

// New returns an edge that serves nothing yet.
func New(cfg Config, deps Deps) *Edge {
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits()
	}
	e := &Edge{
		domain: cfg.Domain, limits: cfg.Limits, deps: deps,
		log:          deps.Log.With("component", "edge"),
		sasl:         sasl.NewServer(cfg.Domain, deps.Credentials, cfg.SaltKey),
		strangers:    strangers{max: cfg.Limits.Strangers, maxPerAddress: cfg.Limits.StrangersPerAddress},
		sessionsByID: make(map[link.SessionID]*session),
	}
	e.componentTLS = tlsConfig(deps.Certificate)
	e.clientTLS = e.componentTLS.Clone()
	// XEP-0368 §3. Other protocols on this port would be told apart here.
	e.clientTLS.NextProtos = []string{"xmpp-client"}
	return e
}

func (e *Edge) session(id link.SessionID) *session {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.sessionsByID[id]
}

func (e *Edge) add(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sessionsByID[s.id] = s
}

func (e *Edge) remove(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sessionsByID, s.id)
}

// Deliver implements link.Edge.
func (e *Edge) Deliver(id link.SessionID, d link.Delivery) {
	if s := e.session(id); s != nil {
		s.deliver(d)
	}
}

// Confirm implements link.Edge.
func (e *Edge) Confirm(id link.SessionID, seq uint64) {
	if s := e.session(id); s != nil {
		s.confirm(seq)
	}
}

// End implements link.Edge.
func (e *Edge) End(id link.SessionID, condition string) {
	if s := e.session(id); s != nil {
		s.end(&stream.Error{Condition: stream.Condition(condition)}, true)
	}
}
