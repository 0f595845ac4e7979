package xmpp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/services/config"
	"parley/services/xmpp/edge"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/relay"
	"parley/services/xmpp/stream"
)

// doors are what clients, components and other nodes see: edge, relay, router
// and listeners of one configuration. They are opened and closed under
// Server.mu.
type doors struct {
	conf config.XMPP
	edge *edge.Edge
	// relay hands the edge's calls to whoever leads.
	relay *relay.Relay
	// leading is this node's part in the cluster.
	leading *leading
	// certificate is the one in use; it changes without a door closing.
	certificate atomic.Pointer[tls.Certificate]

	stopEdge, stopRelay, stopLeading context.CancelFunc
	edging, relaying, following      sync.WaitGroup
}

// reload makes store and doors be as live.json says, with the least
// disturbance: a new certificate is for the next handshake, anything else
// opens the doors anew. If it fails the doors are as before. Call it with mu
// held.
func (s *Server) reload(ctx context.Context) (err error) {
	d, err := s.deps.Config.Load()
	if err != nil {
		return err
	}
	if d.XMPP.Cluster.Enabled != (s.core.peers != nil) {
		// The console lets nobody switch cluster mode with open doors.
		s.closeDoors()
		err := s.core.close()
		if err = errors.Join(err, s.openCoreLocked()); err != nil {
			return err
		}
	}
	if !d.XMPP.Enabled && !s.isMemberLocked() {
		s.closeDoors()
		return nil
	}
	certificate, err := loadCertificate(s.cfg.Paths.Files(), d.XMPP)
	if err != nil {
		return err
	}
	if s.core.peers != nil {
		if _, err := loadTrust(s.cfg.Paths.Files(), d.XMPP); err != nil {
			return err
		}
	}
	before := s.core.conf.Swap(&d.XMPP)
	defer func() {
		if err != nil {
			s.core.conf.Store(before)
		}
	}()
	old := s.doors
	if old != nil && old.conf.Enabled == d.XMPP.Enabled && old.conf.Domain == d.XMPP.Domain && slices.Equal(old.conf.Listen, d.XMPP.Listen) {
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
	var components []net.Listener
	if conf.Enabled {
		if components, err = s.deps.Listen(ctx, conf.Listen, ComponentPort); err != nil {
			for _, l := range clients {
				l.Close()
			}
			return err
		}
	}
	c := s.core
	d := &doors{conf: conf}
	d.conf.Listen = slices.Clone(conf.Listen)
	d.certificate.Store(certificate)
	people := &directory{core: c}
	d.leading = newLeading(s, c, d)
	d.relay = relay.New(relay.Config{Settle: settle}, relay.Deps{Dial: d.leading.dial, LeaderLost: d.leading.lost, Refused: peer.Refused, Log: s.deps.Log})
	deps := edge.Deps{
		Leader: d.relay, Credentials: people, Secrets: people, Passwords: &passwords{s, c}, Log: s.deps.Log,
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return d.certificate.Load(), nil },
	}
	if c.peers != nil {
		deps.Peer = c.peers
	}
	d.edge = edge.New(edge.Config{Domain: conf.Domain, SaltKey: c.saltKey, Location: d.leading.location}, deps)
	d.relay.SetEdge(d.edge)
	if c.peers != nil {
		d.edge.Gate(false, d.leading.why())
	}

	edging, stopEdge := context.WithCancel(context.Background())
	relaying, stopRelay := context.WithCancel(context.Background())
	following, stopLeading := context.WithCancel(context.Background())
	d.stopEdge, d.stopRelay, d.stopLeading = stopEdge, stopRelay, stopLeading
	d.relaying.Go(func() { s.ended("relay", d.relay.Run(relaying)) })
	d.following.Go(func() { d.leading.run(following) })
	for _, l := range clients {
		d.edging.Go(func() { s.ended("client door", d.edge.ServeClients(edging, l)) })
	}
	for _, l := range components {
		d.edging.Go(func() { s.ended("component door", d.edge.ServeComponents(edging, l)) })
	}
	s.doors = d
	s.part.Store(d.leading)
	s.log.Info("doors open", "domain", conf.Domain, "listen", strings.Join(conf.Listen, " "))
	return nil
}

// ended logs what ended by itself; Restart mends it.
func (s *Server) ended(what string, err error) {
	if err != nil {
		s.log.Error(fmt.Sprintf("%s ended", what), "err", err)
	}
}

const (
	// settle is how long a new leader waits for nodes that can be reached to
	// announce their sessions. Living ones take a few milliseconds; one that
	// is being stopped may not come.
	settle = 60 * time.Millisecond
	// transferWait bounds the hand-over of leadership before a planned stop.
	transferWait = 2 * time.Second
)

// closeDoors ends all sessions: leadership goes to another node first, so that
// the others' clients do not notice; then the edge, so that the leader still
// takes what clients had sent. Call it with mu held.
func (s *Server) closeDoors() {
	d := s.doors
	if d == nil {
		return
	}
	s.doors = nil
	defer s.part.Store(nil)
	if s.core.peers != nil {
		s.handOver(d)
		d.edge.Gate(false, &stream.Error{Condition: stream.SystemShutdown})
	}
	d.stopEdge()
	d.edging.Wait()
	d.stopRelay()
	d.relaying.Wait()
	d.stopLeading()
	d.following.Wait()
	s.log.Info("doors shut", "domain", d.conf.Domain)
}

// handOver gives leadership away, if this node has it and others can take it.
// It returns when the new leader knows this node's sessions: it waits for them
// before it routes anything, and closing the doors first would have it wait in
// vain.
func (s *Server) handOver(d *doors) {
	st := s.core.State()
	if st.LeaderID != st.ID || len(st.Members) < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), transferWait)
	defer cancel()
	begun := time.Now()
	err := s.core.Transfer(ctx)
	if err == nil {
		err = d.relay.Moved(ctx, begun)
	}
	if err != nil {
		s.log.Warn("leadership not handed over", "err", err)
	}
}

// expires is when the certificate in use ends.
func (d *doors) expires() time.Time { return d.certificate.Load().Leaf.NotAfter }
