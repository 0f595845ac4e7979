// Package xmpp is the XMPP service: it holds the replicated store open, takes
// part in the cluster, opens and closes the doors (edge, relay, listeners) as
// live.json says, and answers the control socket. Streams, routing, storage
// and the connections between nodes are its sub-packages'.
package xmpp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"parley/services/config"
	"parley/services/control"
	"parley/services/problem"
	"parley/services/xmpp/store"
	"parley/services/xmpp/xmppapi"
)

// Ports of the doors. Nodes talk to one another on the client port.
const (
	ClientPort    = 5222
	ComponentPort = 5223
)

// Config of a Server.
type Config struct {
	Paths config.Paths
	// Group owns the control socket; -1 leaves it to the process's own.
	Group int
	// Version is what XEP-0092 tells, and what other nodes are told.
	Version string
}

// Deps of a Server.
type Deps struct {
	Config *config.Store
	// Listen opens a port on interfaces. It returns a problem where one of
	// them is unknown or the port is taken.
	Listen func(ctx context.Context, ifaces []string, port int) ([]net.Listener, error)
	// Address is the IPv4 address of an interface, by which other nodes
	// reach this one; it may change.
	Address func(iface string) (netip.Addr, error)
	// Names finds other nodes by their names; nil is the system's way, which on
	// the appliance is the node's own resolver.
	Names *net.Resolver
	// Examine is this node's examiner, for the other members; nil for none.
	Examine func(ctx context.Context, in json.RawMessage) (json.RawMessage, error)
	Log     *slog.Logger
}

// Server is the XMPP service. Run it once; the methods of xmppapi.API may then
// be called from any goroutine.
type Server struct {
	cfg  Config
	deps Deps
	log  *slog.Logger

	// mu is held while the doors or the store are opened and closed, so
	// that each caller finds either the old or the new.
	mu    sync.RWMutex
	core  *core
	doors *doors
	// left is the cluster that this node was in last.
	left left
	// trouble is why the doors are shut although they should be open.
	trouble error

	// part is what other nodes' calls find of the doors.
	part     atomic.Pointer[leading]
	activity activity
	// asking is for the leader.
	asking asking
	// evicted takes a core that was found to be no member any more.
	evicted chan *core
}

var (
	_ xmppapi.API      = (*Server)(nil)
	_ xmppapi.Examiner = (*Server)(nil)
)

// New returns a server that has not started.
func New(cfg Config, deps Deps) *Server {
	return &Server{cfg: cfg, deps: deps, log: deps.Log.With("component", "xmpp"), evicted: make(chan *core, 1)}
}

// retryDoors is how soon doors that could not be opened are tried again: an
// interface may appear, a file be put back.
const retryDoors = 2 * time.Second

// Run serves until ctx ends. The control socket answers first, then the doors
// open.
func (s *Server) Run(ctx context.Context) error {
	if err := s.abandonJoin(); err != nil {
		return err
	}
	if err := s.openCore(); err != nil {
		return err
	}
	socket := &control.Server{Path: s.cfg.Paths.Socket("xmpp"), Handler: xmppapi.Handler(s), Group: s.cfg.Group, Log: s.log}
	served := make(chan error, 1)
	run, stop := context.WithCancel(ctx)
	defer stop()
	go func() { served <- socket.Run(run) }()

	err := s.keepDoors(run, served)
	stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeDoors()
	return errors.Join(err, s.core.close())
}

// keepDoors opens the doors and, while they are in trouble, tries again.
func (s *Server) keepDoors(ctx context.Context, served <-chan error) error {
	tick := time.NewTicker(retryDoors)
	defer tick.Stop()
	s.retry(ctx, true)
	for {
		s.mu.RLock()
		failed := s.core.failed
		s.mu.RUnlock()
		select {
		case err := <-served:
			return err
		case <-failed:
			if err := s.coreFailed(failed); err != nil {
				return err
			}
		case c := <-s.evicted:
			s.removed(ctx, c)
		case <-tick.C:
			s.retry(ctx, false)
		}
	}
}

// coreFailed tells a store that failed from one that was closed for another.
func (s *Server) coreFailed(failed <-chan struct{}) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.core.failed != failed {
		return nil
	}
	return fmt.Errorf("replicated store ended: %w", s.core.err)
}

func (s *Server) retry(ctx context.Context, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !first && s.trouble == nil {
		return
	}
	before := s.trouble
	if s.trouble = s.reload(ctx); s.trouble != nil && (before == nil || before.Error() != s.trouble.Error()) {
		s.log.Warn("doors stay shut", "err", s.trouble)
	}
}

// Reload implements xmppapi.API.
func (s *Server) Reload(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The doors outlive the call.
	err := s.reload(context.WithoutCancel(ctx))
	if err == nil {
		s.trouble = nil
	}
	return err
}

// Restart implements xmppapi.API.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeDoors()
	s.trouble = s.reload(context.WithoutCancel(ctx))
	return s.trouble
}

// Reset implements xmppapi.API.
func (s *Server) Reset(ctx context.Context) (stillMember string, err error) {
	end, err := s.activity.begin(ctx, "a reset")
	if err != nil {
		return "", err
	}
	defer end()
	if s.isMember() {
		leave, cancel := context.WithTimeout(ctx, leaveWait)
		defer cancel()
		err := s.leave(leave)
		if problem.CodeOf(err) == problem.ClusterNeeded {
			// The others would serve nobody, and can be spared that.
			return "", err
		}
		if err != nil {
			s.log.Warn("reset while still a member of the cluster", "err", err)
			stillMember = s.core.address()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeDoors()
	err = errors.Join(s.core.close(), store.Reset(s.cfg.Paths.XMPP()))
	if openErr := s.openCoreLocked(); openErr != nil {
		// Without a store the service is nothing: it ends and is started
		// again, which tries once more.
		return stillMember, errors.Join(err, openErr)
	}
	s.trouble = s.reload(context.WithoutCancel(ctx))
	return stillMember, errors.Join(err, s.trouble)
}
