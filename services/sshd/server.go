// Package sshd lets operators in over SSH: to the console, with or without a
// terminal, and to the files by SFTP. It knows accounts and files through
// their packages and the console through an interface; what a command means
// is not its business. There is no shell and no forwarding.
package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"

	"parley/mmp"
	"parley/services/account"
	"parley/services/files"
)

// Console is what a session talks to; *mmp.Console is one.
type Console interface {
	// Banner is shown before Interactive. Its lines end in \n.
	Banner(ctx context.Context) string
	// Interactive is a session on a terminal. It has a user who must change
	// the password do so before anything else, and returns soon after ctx
	// ended.
	Interactive(ctx context.Context, user account.User, source string, t mmp.Terminal) error
	// Exec runs one line and returns its exit status.
	Exec(ctx context.Context, user account.User, source, line string, in io.Reader, out, errOut io.Writer) int
}

var _ Console = (*mmp.Console)(nil)

// Config says how to serve. What is zero has the default of the constant of
// that name.
type Config struct {
	// Keys is the folder of the host keys, which Run makes where there are
	// none.
	Keys string
	// LoginGrace is the time to authenticate in.
	LoginGrace time.Duration
	// IdleTimeout ends connections over which nothing is sent.
	IdleTimeout time.Duration
	// MaxPerSource and MaxConnections are how many connections one address,
	// and all together, may have at a time.
	MaxPerSource   int
	MaxConnections int
}

// Defaults of Config.
const (
	LoginGrace     = time.Minute
	IdleTimeout    = 30 * time.Minute
	MaxPerSource   = 16
	MaxConnections = 64
)

// maxSessions is how many sessions one connection may have at a time.
const maxSessions = 10

// Deps are what the server works with. All are needed.
type Deps struct {
	// Listen opens the listeners; Run closes them.
	Listen   func(context.Context) ([]net.Listener, error)
	Console  Console
	Accounts *account.Store
	Files    *files.Store
	// Journal takes an audit line for each login.
	Journal files.Auditor
	Log     *slog.Logger
}

// Server is the SSH service.
type Server struct {
	cfg  Config
	deps Deps
	log  *slog.Logger

	mu      sync.Mutex
	conns   map[net.Conn]netip.Addr
	closing bool
	// running counts connections and sessions; begin adds to it.
	running sync.WaitGroup
}

// New returns a server; Run starts it.
func New(cfg Config, deps Deps) *Server {
	def := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	def(&cfg.LoginGrace, LoginGrace)
	def(&cfg.IdleTimeout, IdleTimeout)
	if cfg.MaxPerSource == 0 {
		cfg.MaxPerSource = MaxPerSource
	}
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = MaxConnections
	}
	return &Server{cfg: cfg, deps: deps, log: deps.Log.With("component", "sshd"), conns: map[net.Conn]netip.Addr{}}
}

// endTime is how long sessions have at the end to say goodbye.
const endTime = 500 * time.Millisecond

// Run serves until ctx ends, then ends all sessions and waits for them. It is
// called once.
func (s *Server) Run(ctx context.Context) error {
	keys, err := hostKeys(s.cfg.Keys)
	if err != nil {
		return err
	}
	if err := s.deps.Files.Prepare(); err != nil {
		return err
	}
	listeners, err := s.deps.Listen(ctx)
	if err != nil {
		return err
	}
	run, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	srv := s.protocol(run, keys)
	var accepting sync.WaitGroup
	for _, l := range listeners {
		s.log.Info("listening", "address", l.Addr().String())
		accepting.Go(func() { stop(s.accept(run, l, srv)) })
	}
	<-run.Done()
	for _, l := range listeners {
		l.Close()
	}
	accepting.Wait()

	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(endTime):
		s.mu.Lock()
		for c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		<-ended
	}
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(run)
}

// accept takes connections until ctx ends or l fails for good.
func (s *Server) accept(ctx context.Context, l net.Listener, srv *ssh.Server) error {
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		}
		if err != nil {
			// Out of file descriptors, or the peer was faster: try again soon.
			s.log.Warn("accept", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		if why := s.admit(conn); why != "" {
			s.log.Warn("connection refused", "source", conn.RemoteAddr().String(), "reason", why)
			conn.Close()
			continue
		}
		go func() {
			defer s.running.Done()
			defer s.leave(conn)
			srv.HandleConn(conn)
		}()
	}
}

// admit takes a connection in or says why not. If it does, s.running counts it.
func (s *Server) admit(conn net.Conn) (why string) {
	source := addressOf(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.cfg.MaxConnections {
		return "too many connections"
	}
	same := 0
	for _, a := range s.conns {
		if a == source {
			same++
		}
	}
	if same >= s.cfg.MaxPerSource {
		return "too many connections of this source"
	}
	s.conns[conn] = source
	s.running.Add(1)
	return ""
}

func (s *Server) leave(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// begin counts a session, unless the server is ending.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.running.Add(1)
	return true
}

func addressOf(conn net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// protocol sets the library up: sessions only, nothing else may be asked for.
func (s *Server) protocol(ctx context.Context, keys []gossh.Signer) *ssh.Server {
	srv := &ssh.Server{
		Version:     "Parley",
		IdleTimeout: s.cfg.IdleTimeout,
		Handler:     func(sess ssh.Session) { s.serve(ctx, sess, s.console) },
		SubsystemHandlers: map[string]ssh.SubsystemHandler{
			"sftp": func(sess ssh.Session) { s.serve(ctx, sess, s.sftp) },
		},
		ChannelHandlers:      map[string]ssh.ChannelHandler{"session": limitSessions},
		RequestHandlers:      map[string]ssh.RequestHandler{},
		ConnCallback:         s.grace,
		ServerConfigCallback: s.authentication,
		// The library insists on one handler of its own, else it lets
		// everybody in.
		PublicKeyHandler: s.offeredKey,
		ConnectionFailedCallback: func(conn net.Conn, err error) {
			s.log.Debug("connection failed", "source", conn.RemoteAddr().String(), "error", err)
		},
	}
	for _, k := range keys {
		srv.AddHostKey(k)
	}
	return srv
}

type contextKey int

const (
	keyGrace contextKey = iota
	keySessions
)

// grace closes a connection that has not authenticated in time; authenticated
// stops the timer.
func (s *Server) grace(ctx ssh.Context, conn net.Conn) net.Conn {
	ctx.SetValue(keyGrace, time.AfterFunc(s.cfg.LoginGrace, func() { conn.Close() }))
	ctx.SetValue(keySessions, make(chan struct{}, maxSessions))
	return conn
}

func authenticated(ctx ssh.Context) { ctx.Value(keyGrace).(*time.Timer).Stop() }

func limitSessions(srv *ssh.Server, conn *gossh.ServerConn, ch gossh.NewChannel, ctx ssh.Context) {
	slots := ctx.Value(keySessions).(chan struct{})
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
		ssh.DefaultSessionHandler(srv, conn, ch, ctx)
	default:
		// Nothing can be done about a peer that does not take the refusal.
		_ = ch.Reject(gossh.ResourceShortage, "too many sessions on this connection")
	}
}
