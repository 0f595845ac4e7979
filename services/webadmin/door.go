package webadmin

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"parley/services/config"
	"parley/services/pki"
	"parley/services/problem"
)

// door is the open listener and what serves it.
type door struct {
	conf        config.Webadmin
	certificate atomic.Pointer[tls.Certificate]
	server      *http.Server
	// redirect is nil where HTTP is not served.
	redirect *http.Server
	serving  sync.WaitGroup
}

const (
	// maxConns bounds the connections at a time, so that whoever opens many
	// cannot take all memory.
	maxConns = 256
	// closeWait is how long requests under way may take to end.
	closeWait = 2 * time.Second
	// maxRequest bounds the time of one request: a test of the connection
	// tries several servers.
	maxRequest = 90 * time.Second
)

func portOf(w config.Webadmin) int { return cmp.Or(w.Port, DefaultPort) }

// loadCertificate reads key, certificate and bundle.
func (s *Server) loadCertificate(w config.Webadmin) (*tls.Certificate, error) {
	switch {
	case w.Listen == "":
		return nil, problem.New(problem.WebadminUnready, "missing", "interface to listen on", "command", "webadmin listen <interface>")
	case w.Key == "":
		return nil, problem.New(problem.WebadminUnready, "missing", "certificate", "command", "webadmin certs <key> <certificate>")
	}
	c, err := pki.LoadChain(s.deps.Files, w.Key, w.Certificate, w.Bundle)
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// openDoor opens it; there must be none. Call it with mu held.
func (s *Server) openDoor(ctx context.Context, conf config.Webadmin, certificate *tls.Certificate) error {
	port := portOf(conf)
	listeners, err := s.deps.Listen(ctx, []string{conf.Listen}, port)
	if errors.Is(err, fs.ErrPermission) {
		return problem.New(problem.WebadminPortDenied, "port", strconv.Itoa(port))
	}
	if err != nil {
		return err
	}
	d := &door{conf: conf}
	d.certificate.Store(certificate)
	d.server = &http.Server{
		Handler:           s.site,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return d.certificate.Load(), nil }},
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      maxRequest,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		// Each scanner and each browser that does not know the issuer would
		// write a line.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	var plain []net.Listener
	if conf.Redirect {
		if plain, err = s.deps.Listen(ctx, []string{conf.Listen}, RedirectPort); err != nil {
			closeAll(listeners)
			if errors.Is(err, fs.ErrPermission) {
				return problem.New(problem.PortDenied, "interface", conf.Listen, "port", strconv.Itoa(RedirectPort))
			}
			return err
		}
		d.redirect = newRedirect(port, s.log)
	}
	serve := func(l net.Listener, by func(net.Listener) error) {
		d.serving.Go(func() {
			if err := by(netutil.LimitListener(l, maxConns)); !errors.Is(err, http.ErrServerClosed) {
				s.log.Error("listener ended", "err", err)
			}
		})
	}
	for _, l := range listeners {
		serve(l, func(l net.Listener) error { return d.server.ServeTLS(l, "", "") })
	}
	for _, l := range plain {
		serve(l, d.redirect.Serve)
	}
	s.door = d
	s.log.Info("listening", "interface", conf.Listen, "port", strconv.Itoa(port), "addresses", addresses(listeners))
	return nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

func addresses(listeners []net.Listener) string {
	text := ""
	for _, l := range listeners {
		if text != "" {
			text += " "
		}
		text += l.Addr().String()
	}
	return text
}

// closeDoor ends all connections. Call it with mu held.
func (s *Server) closeDoor() {
	d := s.door
	if d == nil {
		return
	}
	s.door = nil
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	if d.redirect != nil {
		// Nothing of it is worth waiting for.
		d.redirect.Close()
	}
	if d.server.Shutdown(ctx) != nil {
		d.server.Close()
	}
	d.serving.Wait()
	s.log.Info("closed")
}
