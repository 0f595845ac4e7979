// Package database is the Call Bridges' shared data: tables of records in a
// replicated store of its own, a second instance of the package that XMPP's
// cluster is made of, so that neither disturbs the other. A node has its data to
// itself, is a member of a cluster, or uses a cluster without a copy. What the
// records mean is their writers' matter.
package database

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"parley/services/config"
	"parley/services/control"
	"parley/services/database/databaseapi"
	"parley/services/problem"
)

// Port is where nodes reach each other's database.
const Port = 5432

// maxNodes is how many may have a copy; more bridges connect.
const maxNodes = 3

// Config of a Server.
type Config struct {
	Paths config.Paths
	// Group owns the control socket; -1 leaves it to the process's own.
	Group int
	// Version is what other nodes are told.
	Version string
}

// Deps of a Server.
type Deps struct {
	Config *config.Store
	// Listen opens a port on interfaces. It returns a problem where one of
	// them is unknown or the port is taken.
	Listen func(ctx context.Context, ifaces []string, port int) ([]net.Listener, error)
	// Address is the IPv4 address of an interface.
	Address func(iface string) (netip.Addr, error)
	// Names finds other nodes by their names; nil is the system's way, which on
	// the appliance is the node's own resolver.
	Names *net.Resolver
	Log   *slog.Logger
}

// Server is the database. Run it once; the methods of databaseapi.API may then
// be called from any goroutine.
type Server struct {
	cfg  Config
	deps Deps
	log  *slog.Logger

	// mu is held while the store is opened and closed, so that each caller
	// finds either the old or the new.
	mu   sync.RWMutex
	core *core
	// place is what this node is, as its file has it.
	place place
	// activity is what a join is waiting for.
	activity string

	// changing has room for one change of what this node is.
	changing chan struct{}
	// evicted takes a core that was found to be no member any more.
	evicted chan *core
}

var _ databaseapi.API = (*Server)(nil)

// New returns a server that has not started.
func New(cfg Config, deps Deps) *Server {
	return &Server{
		cfg: cfg, deps: deps, log: deps.Log.With("component", "database"),
		changing: make(chan struct{}, 1), evicted: make(chan *core, 1),
	}
}

// retryListen is how soon a port that could not be listened on is tried again:
// an interface may appear.
const retryListen = 2 * time.Second

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	p, err := loadPlace(s.cfg.Paths.Database())
	if err != nil {
		return err
	}
	c, err := s.openCore(p)
	if err != nil {
		return err
	}
	s.core, s.place = c, p
	run, stop := context.WithCancel(ctx)
	defer stop()
	socket := &control.Server{Path: s.cfg.Paths.Socket("database"), Handler: databaseapi.Handler(s), Group: s.cfg.Group, Log: s.log}
	served := make(chan error, 1)
	go func() { served <- socket.Run(run) }()
	err = s.keep(run, served)
	stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handOver()
	return errors.Join(err, s.core.close())
}

// transferWait bounds the hand-over before a planned stop: the others may be
// stopping too.
const transferWait = 2 * time.Second

// handOver gives leadership away, if this node has it and there are others, so
// that they have a primary at once. Call it with mu held.
func (s *Server) handOver() {
	st := s.core.State()
	if s.place.Mode != databaseapi.Member || st.LeaderID != st.ID || len(st.Members) < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), transferWait)
	defer cancel()
	if err := s.core.Transfer(ctx); err != nil {
		s.log.Warn("database's leadership not handed over", "err", err)
	}
}

// keep listens where it should and does not yet, and makes a node that was
// removed stand alone.
func (s *Server) keep(ctx context.Context, served <-chan error) error {
	tick := time.NewTicker(retryListen)
	defer tick.Stop()
	said := ""
	for {
		s.mu.Lock()
		c := s.core
		if err := s.listen(ctx, c); err != nil && err.Error() != said && ctx.Err() == nil {
			said = err.Error()
			s.log.Warn("other nodes cannot reach this one", "err", err)
		}
		s.mu.Unlock()
		select {
		case err := <-served:
			return err
		case <-c.ended:
			if err := s.coreEnded(c); err != nil {
				return err
			}
		case gone := <-s.evicted:
			s.removed(gone)
		case <-tick.C:
		}
	}
}

// coreEnded tells a store that failed from one that was closed for another.
func (s *Server) coreEnded(c *core) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.core != c {
		return nil
	}
	return errors.Join(errors.New("replicated store ended"), c.err)
}

// Reload implements databaseapi.API.
func (s *Server) Reload(context.Context) error {
	d, err := s.deps.Config.Load()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := *s.core.conf.Load(); old != d.Database && s.place.Mode != databaseapi.Alone {
		command := "database cluster certs"
		if old.Interface != d.Database.Interface {
			command = "database cluster localnode"
		}
		return problem.New(problem.DatabaseFiles, "command", command)
	}
	s.core.conf.Store(&d.Database)
	return nil
}

// current is the core, and what this node is.
func (s *Server) current() (*core, place) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.core, s.place
}

// begin refuses a second change of what this node is; end is called when it is
// over.
func (s *Server) begin(what string) (end func(), err error) {
	select {
	case s.changing <- struct{}{}:
	default:
		return nil, problem.New(problem.DatabaseBusy, "doing", what)
	}
	return func() {
		s.now("")
		<-s.changing
	}, nil
}

// now says what a join is waiting for.
func (s *Server) now(activity string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.activity = activity
}
