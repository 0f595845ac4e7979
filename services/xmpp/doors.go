package xmpp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/services/config"
	"parley/services/xmpp/edge"
	"parley/services/xmpp/router"
)

// doors are what clients and components see: router, edge and listeners of one
// configuration. They are opened and closed under Server.mu.
type doors struct {
	conf   config.XMPP
	router *router.Router
	// certificate is the one in use; it changes without a door closing.
	certificate atomic.Pointer[tls.Certificate]

	stopEdge, stopRouter context.CancelFunc
	edging, routing      sync.WaitGroup
}

// reload makes the doors be as live.json says, with the least disturbance: a
// new certificate is for the next handshake, anything else opens the doors
// anew. If it fails the doors are as before. Call it with mu held.
func (s *Server) reload(ctx context.Context) error {
	d, err := s.deps.Config.Load()
	if err != nil {
		return err
	}
	if !d.XMPP.Enabled {
		s.closeDoors()
		return nil
	}
	certificate, err := loadCertificate(s.cfg.Paths.Files(), d.XMPP)
	if err != nil {
		return err
	}
	old := s.doors
	if old != nil && old.conf.Domain == d.XMPP.Domain && slices.Equal(old.conf.Listen, d.XMPP.Listen) {
		old.certificate.Store(certificate)
		return nil
	}
	// A port cannot be listened on twice, so the old doors close first.
	s.closeDoors()
	if err = s.openDoors(ctx, d.XMPP, certificate); err != nil && old != nil {
		err = errors.Join(err, s.openDoors(ctx, old.conf, old.certificate.Load()))
	}
	return err
}

// openDoors opens them; there must be none. Call it with mu held.
func (s *Server) openDoors(ctx context.Context, conf config.XMPP, certificate *tls.Certificate) error {
	clients, err := s.deps.Listen(ctx, conf.Listen, ClientPort)
	if err != nil {
		return err
	}
	components, err := s.deps.Listen(ctx, conf.Listen, ComponentPort)
	if err != nil {
		for _, l := range clients {
			l.Close()
		}
		return err
	}
	d := &doors{conf: conf}
	d.conf.Listen = slices.Clone(conf.Listen)
	d.certificate.Store(certificate)
	d.router = router.New(router.Config{Domain: conf.Domain, Version: s.cfg.Version}, router.Deps{Store: s.core.Store, Log: s.deps.Log})
	people := directory{s.core.Store}
	e := edge.New(edge.Config{Domain: conf.Domain, SaltKey: s.core.saltKey}, edge.Deps{
		Leader: d.router, Credentials: people, Secrets: people, Log: s.deps.Log,
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return d.certificate.Load(), nil },
	})
	edging, stopEdge := context.WithCancel(context.Background())
	routing, stopRouter := context.WithCancel(context.Background())
	d.stopEdge, d.stopRouter = stopEdge, stopRouter
	d.routing.Go(func() { s.ended("router", d.router.Run(routing)) })
	for _, l := range clients {
		d.edging.Go(func() { s.ended("client door", e.ServeClients(edging, l)) })
	}
	for _, l := range components {
		d.edging.Go(func() { s.ended("component door", e.ServeComponents(edging, l)) })
	}
	s.doors = d
	s.log.Info("doors open", "domain", conf.Domain, "listen", strings.Join(conf.Listen, " "))
	return nil
}

// ended logs what ended by itself; Restart mends it.
func (s *Server) ended(what string, err error) {
	if err != nil {
		s.log.Error(fmt.Sprintf("%s ended", what), "err", err)
	}
}

// closeDoors ends all sessions: the edge first, so that the router still takes
// what clients had sent. Call it with mu held.
func (s *Server) closeDoors() {
	d := s.doors
	if d == nil {
		return
	}
	s.doors = nil
	d.stopEdge()
	d.edging.Wait()
	d.stopRouter()
	d.routing.Wait()
	s.log.Info("doors shut", "domain", d.conf.Domain)
}

// expires is when the certificate in use ends.
func (d *doors) expires() time.Time { return d.certificate.Load().Leaf.NotAfter }
