// Package xmpp is the XMPP service: it holds the replicated store open, opens
// and closes the doors (router, edge, listeners) as live.json says, and answers
// the control socket. Streams, routing and storage are its sub-packages'.
package xmpp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"parley/services/config"
	"parley/services/control"
	"parley/services/durable"
	"parley/services/xmpp/store"
	"parley/services/xmpp/xmppapi"
)

// Ports of the doors.
const (
	ClientPort    = 5222
	ComponentPort = 5223
)

// Config of a Server.
type Config struct {
	Paths config.Paths
	// Group owns the control socket; -1 leaves it to the process's own.
	Group int
	// Version is what XEP-0092 tells.
	Version string
}

// Deps of a Server.
type Deps struct {
	Config *config.Store
	// Listen opens a port on interfaces. It returns a problem where one of
	// them is unknown or the port is taken.
	Listen func(ctx context.Context, ifaces []string, port int) ([]net.Listener, error)
	Log    *slog.Logger
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
	// trouble is why the doors are shut although they should be open.
	trouble error
}

var _ xmppapi.API = (*Server)(nil)

// New returns a server that has not started.
func New(cfg Config, deps Deps) *Server {
	return &Server{cfg: cfg, deps: deps, log: deps.Log.With("component", "xmpp")}
}

// retryDoors is how soon doors that could not be opened are tried again: an
// interface may appear, a file be put back.
const retryDoors = 2 * time.Second

// Run serves until ctx ends. The control socket answers first, then the doors
// open.
func (s *Server) Run(ctx context.Context) error {
	c, err := openCore(s.cfg.Paths.XMPP(), s.deps.Log)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.core = c
	s.mu.Unlock()

	socket := &control.Server{Path: s.cfg.Paths.Socket("xmpp"), Handler: xmppapi.Handler(s), Group: s.cfg.Group, Log: s.log}
	served := make(chan error, 1)
	run, stop := context.WithCancel(ctx)
	defer stop()
	go func() { served <- socket.Run(run) }()

	err = s.keepDoors(run, served)
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
		case <-tick.C:
			s.retry(ctx, false)
		}
	}
}

// coreFailed tells a store that failed from one that was closed for a reset.
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
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeDoors()
	dir := s.cfg.Paths.XMPP()
	err = errors.Join(s.core.close(), store.Reset(dir))
	c, openErr := openCore(dir, s.deps.Log)
	if openErr != nil {
		// Without a store the service is nothing: it ends and is started
		// again, which tries once more.
		return "", errors.Join(err, openErr)
	}
	s.core = c
	s.trouble = s.reload(context.WithoutCancel(ctx))
	return "", errors.Join(err, s.trouble)
}

// core is the store while it runs.
type core struct {
	*store.Store
	// saltKey makes up the salts of accounts that do not exist. It is kept
	// with the store: salts that changed would tell them apart.
	saltKey []byte

	stop   context.CancelFunc
	failed chan struct{}
	err    error
}

func openCore(dir string, log *slog.Logger) (*core, error) {
	st := store.New(store.Config{Dir: dir, Reserve: store.DefaultReserve}, store.Deps{Log: log})
	if err := st.Open(); err != nil {
		return nil, fmt.Errorf("open replicated store: %w", err)
	}
	key, err := loadSaltKey(filepath.Join(dir, "salt.key"))
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &core{Store: st, saltKey: key, stop: stop, failed: make(chan struct{})}
	go func() {
		c.err = st.Run(ctx)
		close(c.failed)
	}()
	return c, nil
}

func (c *core) close() error {
	c.stop()
	<-c.failed
	return c.err
}

func loadSaltKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		rand.Read(key)
		err = durable.WriteFile(path, key, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("salt key: %w", err)
	}
	return key, nil
}
