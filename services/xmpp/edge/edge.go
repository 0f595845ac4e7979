package edge

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"sync/atomic"
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
	// Passwords are those kept elsewhere; nil: there are none.
	Passwords sasl.Passwords
	Secrets   Secrets
	// Certificate is asked at each handshake, so a new one needs no restart.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Peer takes the other nodes that come to the clients' port; nil: none do.
	Peer PeerDoor
	Log  *slog.Logger
}

// PeerDoor is what is behind the ALPN of nodes.
type PeerDoor interface {
	ServerTLS() *tls.Config
	// Serve owns a connection after its handshake. It may return while
	// others still use the connection.
	Serve(*tls.Conn)
}

// Config says what an edge serves.
type Config struct {
	// Domain, prepared as jid.Domain does.
	Domain string
	// SaltKey hides which accounts exist; see sasl.NewServer.
	SaltKey []byte
	// Location is where a session is best resumed, XEP-0198's hint, "" for
	// none. It may be nil.
	Location func() string
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
	location     func() string
	log          *slog.Logger
	sasl         *sasl.Server
	clientTLS    *tls.Config
	componentTLS *tls.Config
	strangers    strangers
	sessions     sessions
	// shut is why no streams are taken, nil where they are.
	shut  atomic.Pointer[stream.Error]
	mu    sync.Mutex
	doors map[*door]struct{}
}

var _ link.Edge = (*Edge)(nil)

// New returns an edge that serves nothing yet.
func New(cfg Config, deps Deps) *Edge {
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits()
	}
	e := &Edge{
		domain: cfg.Domain, limits: cfg.Limits, deps: deps,
		location:  cfg.Location,
		log:       deps.Log.With("component", "edge"),
		sasl:      sasl.NewServer(cfg.Domain, deps.Credentials, deps.Passwords, cfg.SaltKey),
		strangers: strangers{max: cfg.Limits.Strangers, maxPerAddress: cfg.Limits.StrangersPerAddress},
		sessions:  newSessions(),
		doors:     make(map[*door]struct{}),
	}
	e.componentTLS = tlsConfig(deps.Certificate)
	e.clientTLS = e.componentTLS.Clone()
	// XEP-0368 §3. For the other protocol on this port see handshakeDirect.
	e.clientTLS.NextProtos = []string{"xmpp-client"}
	return e
}

// Gate opens the doors, or shuts them: sessions that are there are ended with
// err, those that can be resumed kept, and new streams are refused with it at
// their header. The text of a see-other-host is the address. Nodes still pass.
// It may be called at any time, from any goroutine.
func (e *Edge) Gate(open bool, err *stream.Error) {
	if open {
		e.shut.Store(nil)
		return
	}
	e.shut.Store(err)
	e.mu.Lock()
	defer e.mu.Unlock()
	for d := range e.doors {
		d.each(func(p *peer) { p.turnAway(err) })
	}
}

// Deliver implements link.Edge.
func (e *Edge) Deliver(ref link.Ref, d link.Delivery) {
	if s := e.sessions.get(ref); s != nil {
		s.deliver(d)
		return
	}
	e.sessions.early(ref, func(s *session) { s.deliver(d) })
}

// Confirm implements link.Edge.
func (e *Edge) Confirm(ref link.Ref, seq uint64) {
	if s := e.sessions.get(ref); s != nil {
		s.confirm(seq)
		return
	}
	e.sessions.early(ref, func(s *session) { s.confirm(seq) })
}

// Memo implements link.Edge. The relay keeps it, an edge has no use for it.
func (e *Edge) Memo(link.Ref, []byte) {}

// End implements link.Edge.
func (e *Edge) End(ref link.Ref, condition string) {
	why := &stream.Error{Condition: stream.Condition(condition)}
	if s := e.sessions.get(ref); s != nil {
		s.end(why, true)
		return
	}
	e.sessions.early(ref, func(s *session) { s.end(why, true) })
}
