// Package webadmin is the appliance's web interface: pages for people who log
// in with the console's accounts, the REST API and metrics for programs, all
// over HTTPS. It shows and changes what other packages own, the configuration
// by config and the rest through the services' clients, and keeps nothing but
// who is logged in.
package webadmin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/text/language"

	"parley/init/initapi"
	"parley/services/account"
	"parley/services/callbridge/callbridgeapi"
	"parley/services/callbridge/settings"
	"parley/services/config"
	"parley/services/control"
	"parley/services/database/databaseapi"
	"parley/services/diagnosis"
	"parley/services/eventlog/eventlogapi"
	"parley/services/files"
	"parley/services/network/networkapi"
	"parley/services/pki"
	"parley/services/problem"
	"parley/services/webadmin/webadminapi"
	"parley/services/xmpp/xmppapi"
)

// DefaultPort is listened on where the configuration names none.
const DefaultPort = 443

// Config of a Server.
type Config struct {
	// Socket is the path of the control socket.
	Socket string
	// Group owns the control socket; -1 leaves it to the process's own.
	Group int
}

// Deps of a Server. All are needed.
type Deps struct {
	Config   *config.Store
	Accounts *account.Store
	Files    *files.Store
	// Listen opens a port on interfaces; it returns a problem where one of
	// them is unknown or the port is taken.
	Listen func(ctx context.Context, ifaces []string, port int) ([]net.Listener, error)

	Init       initapi.API
	XMPP       xmppapi.API
	CallBridge callbridgeapi.API
	Events     eventlogapi.API
	Database   databaseapi.API
	Network    Network
	// Diagnose checks everything, on all nodes; see package diagnosis.
	Diagnose func(ctx context.Context) []diagnosis.Finding

	// Audit takes a line for each login and change; what cannot be recorded
	// is not done.
	Audit files.Auditor
	Log   *slog.Logger
	// Now is time.Now outside tests.
	Now func() time.Time
}

// Network is asked for /metrics whether it answers.
type Network interface {
	Interfaces(ctx context.Context) ([]networkapi.Interface, error)
}

// Server is Webadmin. Run it once; the methods of webadminapi.API may then be
// called from any goroutine.
type Server struct {
	cfg  Config
	deps Deps
	log  *slog.Logger

	// settings are the LDAP server's.
	settings *settings.Store
	sessions *sessions
	throttle *throttle
	programs *programs
	// pages are those of each language, English first.
	pages   []*pages
	matcher language.Matcher
	site    http.Handler

	// mu is held while the door is opened and closed.
	mu   sync.Mutex
	door *door
	// trouble is why the door is shut although it should be open.
	trouble error
}

var _ webadminapi.API = (*Server)(nil)

// New returns a server that has not started.
func New(cfg Config, deps Deps) *Server {
	s := &Server{
		cfg: cfg, deps: deps, log: deps.Log.With("component", "webadmin"),
		settings: settings.NewStore(deps.Config, deps.Database, deps.Now),
		sessions: newSessions(deps.Now), throttle: newThrottle(deps.Now), programs: newPrograms(deps.Now),
	}
	var tags []language.Tag
	for _, w := range languages() {
		s.pages = append(s.pages, newPages(w, deps.Now))
		tags = append(tags, w.tag)
	}
	s.matcher = language.NewMatcher(tags)
	s.site = s.routes()
	return s
}

// retryDoor is how soon a door that could not be opened is tried again: an
// interface may appear, a file be put back.
const retryDoor = 2 * time.Second

// Run serves until ctx ends. The control socket answers before the door opens.
func (s *Server) Run(ctx context.Context) error {
	socket := &control.Server{Path: s.cfg.Socket, Handler: webadminapi.Handler(s), Group: s.cfg.Group, Log: s.log}
	run, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- socket.Run(run) }()

	err := s.keepDoor(run, served)
	stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeDoor()
	return err
}

// keepDoor opens the door and, while it is in trouble, tries again. It returns
// when the control socket has ended.
func (s *Server) keepDoor(ctx context.Context, served <-chan error) error {
	tick := time.NewTicker(retryDoor)
	defer tick.Stop()
	s.retry(ctx, true)
	for {
		select {
		case err := <-served:
			return err
		case <-tick.C:
			s.retry(ctx, false)
		}
	}
}

func (s *Server) retry(ctx context.Context, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !first && s.trouble == nil {
		return
	}
	before := s.trouble
	if s.trouble = s.reload(ctx); s.trouble != nil && (before == nil || before.Error() != s.trouble.Error()) {
		s.log.Warn("not listening", "err", s.trouble)
	}
}

// Status implements webadminapi.API.
func (s *Server) Status(context.Context) (webadminapi.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := webadminapi.Status{Running: s.door != nil, Sessions: s.sessions.count()}
	if s.door != nil {
		st.Expires = s.door.certificate.Load().Leaf.NotAfter
	} else {
		st.Expires = s.configuredExpiry()
	}
	if s.trouble != nil {
		st.Trouble = problem.Text(s.trouble)
	}
	return st, nil
}

// configuredExpiry is when the certificate that would be used ends; zero where
// there is none or it cannot be, of which Trouble tells.
func (s *Server) configuredExpiry() time.Time {
	d, err := s.deps.Config.Load()
	if err != nil || d.Webadmin.Key == "" {
		return time.Time{}
	}
	c, err := pki.LoadChain(s.deps.Files, d.Webadmin.Key, d.Webadmin.Certificate, d.Webadmin.Bundle)
	if err != nil {
		return time.Time{}
	}
	return c.Leaf.NotAfter
}

// Reload implements webadminapi.API.
func (s *Server) Reload(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The door outlives the call.
	err := s.reload(context.WithoutCancel(ctx))
	if err == nil {
		s.trouble = nil
	}
	return err
}

// Restart implements webadminapi.API.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeDoor()
	s.sessions.closeAll()
	s.programs.forget()
	s.trouble = s.reload(context.WithoutCancel(ctx))
	return s.trouble
}

// reload makes the door be as live.json says, with the least disturbance: a
// new certificate is for the next handshake, anything else opens it anew. If
// it fails the door is as before. Call it with mu held.
func (s *Server) reload(ctx context.Context) error {
	d, err := s.deps.Config.Load()
	if err != nil {
		return err
	}
	if !d.Webadmin.Enabled {
		s.closeDoor()
		return nil
	}
	certificate, err := s.loadCertificate(d.Webadmin)
	if err != nil {
		return err
	}
	old := s.door
	if old != nil && old.conf.Listen == d.Webadmin.Listen && portOf(old.conf) == portOf(d.Webadmin) && old.conf.Redirect == d.Webadmin.Redirect {
		old.certificate.Store(certificate)
		return nil
	}
	// A port cannot be listened on twice, so the old door closes first.
	s.closeDoor()
	if err = s.openDoor(ctx, d.Webadmin, certificate); err != nil && old != nil {
		err = errors.Join(err, s.openDoor(ctx, old.conf, old.certificate.Load()))
	}
	return err
}
