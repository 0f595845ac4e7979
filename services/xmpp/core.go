package xmpp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"parley/services/config"
	"parley/services/durable"
	"parley/services/problem"
	"parley/services/xmpp/membership"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// core is the store while it runs and, in cluster mode, the connections to the
// other nodes. It outlives the doors.
type core struct {
	*store.Store
	// saltKey makes up the salts of accounts that do not exist. It is kept
	// with the store: salts that changed would tell them apart. The cluster
	// has one of its own.
	saltKey []byte
	// peers is nil outside cluster mode.
	peers *peer.Net
	// address tells the node's own "ip:port", "" where it has none.
	address func() string
	// conf is live.json as it was taken last. What other nodes are shown goes
	// by it: a reset clears live.json first, and has to leave the cluster yet.
	conf   atomic.Pointer[config.XMPP]
	record membership.Record

	stop    context.CancelFunc
	running sync.WaitGroup
	failed  chan struct{}
	err     error
}

func (s *Server) openCore() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.openCoreLocked()
}

// openCoreLocked opens the store of the folder, to be alone or one of several
// as live.json says. Call it with mu held.
func (s *Server) openCoreLocked() error {
	d, err := s.deps.Config.Load()
	if err != nil {
		return err
	}
	dir := s.cfg.Paths.XMPP()
	key, err := loadSaltKey(filepath.Join(dir, "salt.key"))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &core{saltKey: key, stop: stop, failed: make(chan struct{})}
	c.conf.Store(&d.XMPP)
	c.address = func() string {
		a, _ := s.addressOf(*c.conf.Load())
		return a
	}
	deps := store.Deps{Log: s.deps.Log}
	if d.XMPP.Cluster.Enabled {
		ids := &identities{dir: s.cfg.Paths.Files()}
		c.peers = peer.New(peer.Config{}, peer.Deps{
			Identity: func() (peer.Identity, error) { return ids.of(*c.conf.Load()) }, Self: func() peer.Hello { return s.hello(c) }, Log: s.deps.Log,
			DialContext: (&net.Dialer{Resolver: s.deps.Names}).DialContext,
		})
		deps.Transport = store.NewTransport(c.peers.StreamLayer(c.address), s.deps.Log)
	}
	c.Store = store.New(store.Config{Dir: dir, Reserve: store.DefaultReserve}, deps)
	if err := c.Store.Open(); err != nil {
		stop()
		return fmt.Errorf("open replicated store: %w", err)
	}
	if record := c.record.Look(c.Store); len(record.SaltKey) > 0 {
		c.saltKey = record.SaltKey
	}
	if c.peers != nil {
		s.handleCalls(c)
		s.handleExamine(c)
		c.running.Go(func() { c.keepRecord(ctx) })
		c.running.Go(func() { s.ended("connections to other nodes", c.peers.Run(ctx)) })
	}
	go func() {
		c.err = c.Store.Run(ctx)
		stop()
		c.running.Wait()
		close(c.failed)
	}()
	s.core = c
	return nil
}

// keepRecord keeps the copy.
func (c *core) keepRecord(ctx context.Context) {
	tick := time.NewTicker(recordEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.record.Look(c.Store)
		}
	}
}

const recordEvery = 100 * time.Millisecond

func (c *core) close() error {
	c.stop()
	<-c.failed
	return c.err
}

func loadSaltKey(path string) ([]byte, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("salt key: %w", err)
	}
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

// ownAddress is where other nodes reach this one, by live.json.
func (s *Server) ownAddress() (string, error) {
	d, err := s.deps.Config.Load()
	if err != nil {
		return "", err
	}
	return s.addressOf(d.XMPP)
}

// addressOf is the address on the first interface that clients are served on.
func (s *Server) addressOf(x config.XMPP) (string, error) {
	if len(x.Listen) == 0 {
		return "", problem.New(problem.ClusterUnready, "missing", "interface to listen on", "command", "xmpp listen <interface>")
	}
	a, err := s.deps.Address(x.Listen[0])
	if err != nil || !a.IsValid() {
		return "", problem.New(problem.ClusterAddress, "interface", x.Listen[0])
	}
	return netip.AddrPortFrom(a, ClientPort).String(), nil
}

// protocol is the version of what nodes say to one another. Nodes of different
// ones do not work together.
const protocol = 1

// hello is what c's node tells the others of itself.
func (s *Server) hello(c *core) peer.Hello {
	st := c.State()
	h := peer.Hello{
		ID: st.ID, Address: c.address(), Version: s.cfg.Version, Protocol: protocol, Time: time.Now(),
		LastIndex: st.LastIndex, Applied: st.AppliedIndex, Term: st.Term, LeaderID: st.LeaderID,
	}
	h.Domain = c.conf.Load().Domain
	h.Cluster = c.record.Load().ID
	if l := s.part.Load(); l != nil && l.core == c {
		n := l.census.Load()
		h.Sessions, h.Components = n.clients, n.components[:min(len(n.components), peer.MaxComponents)]
	}
	switch {
	case st.LeaderID == st.ID:
	case st.LeaderID != "":
		h.LeaderAge = time.Since(c.peers.Hears(st.LeaderID))
	}
	return h
}
