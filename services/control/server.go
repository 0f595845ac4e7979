// Package control carries a service's state and actions as JSON over HTTP on
// a Unix socket. It knows no service: each has a package of its own that puts
// types and paths to its calls. A problem.Problem crosses it unharmed.
package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// maxBody bounds a request: an import of ten thousand accounts is below 1 MiB.
const maxBody = 16 << 20

// Server offers Handler on the socket at Path.
type Server struct {
	Path    string
	Handler http.Handler
	// Group owns the socket beside the process's user; -1 keeps the
	// process's own group, 0660 in either case.
	Group int
	// Allow, if set, says whether a process of that uid may connect. One that
	// may not, but that ReadOnly has, may ask by GET and change nothing.
	Allow    func(uid uint32) bool
	ReadOnly func(uid uint32) bool
	Log      *slog.Logger
}

// Run serves until ctx ends, then removes the socket. A socket that a killed
// process left is replaced.
func (s *Server) Run(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(s.Path), 0o755); err != nil {
		return fmt.Errorf("create folder of %s: %w", s.Path, err)
	}
	if err := os.Remove(s.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove old socket: %w", err)
	}
	l, err := net.Listen("unix", s.Path)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.Path, err)
	}
	if err := os.Chown(s.Path, -1, s.Group); err != nil {
		l.Close()
		return fmt.Errorf("chown %s: %w", s.Path, err)
	}
	if err := os.Chmod(s.Path, 0o660); err != nil {
		l.Close()
		return fmt.Errorf("chmod %s: %w", s.Path, err)
	}
	srv := &http.Server{
		Handler:           http.MaxBytesHandler(s.Handler, maxBody),
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	if s.Allow != nil {
		l = &gate{Listener: l, allow: s.Allow, readOnly: s.ReadOnly, log: s.Log}
		srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, reader{}, c.(*guest).readOnly)
		}
		srv.Handler = onlyReading(srv.Handler)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
	}()
	err = srv.Serve(l)
	if ctx.Err() == nil {
		return fmt.Errorf("serve %s: %w", s.Path, err)
	}
	<-stopped
	return nil
}

// gate closes connections of processes that may not connect.
type gate struct {
	net.Listener
	allow, readOnly func(uid uint32) bool
	log             *slog.Logger
}

// guest is a connection that the gate let in.
type guest struct {
	net.Conn
	readOnly bool
}

func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(c.(*net.UnixConn))
		if err == nil && g.allow(uid) {
			return &guest{c, false}, nil
		}
		if err == nil && g.readOnly != nil && g.readOnly(uid) {
			return &guest{c, true}, nil
		}
		g.log.Warn("control connection refused", "uid", uid, "err", err)
		c.Close()
	}
}

// reader is the key of a context's word whether its connection may only read.
type reader struct{}

// onlyReading refuses what is no GET on connections that may only read.
func onlyReading(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if may, _ := r.Context().Value(reader{}).(bool); may && r.Method != http.MethodGet {
			http.Error(w, "this process may only read", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func peerUID(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return cred.Uid, nil
}
