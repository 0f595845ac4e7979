package database

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/problem"
	"parley/services/xmpp/membership"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// Nobody who chats waits for the database, so it takes its time to call a node
// lost: on a busy machine elections of its own would take from XMPP's.
var (
	pings  = peer.Config{Ping: 400 * time.Millisecond, Silence: 1500 * time.Millisecond}
	timing = store.Timing{Heartbeat: 1500 * time.Millisecond}
)

// core is the store while it runs and, where it is not alone, the connections to
// other nodes.
type core struct {
	*store.Store
	mode databaseapi.Mode
	// peers is nil where this node is alone.
	peers *peer.Net
	// conf is live.json's part as it was taken last.
	conf   atomic.Pointer[config.Database]
	record membership.Record
	// joining: the join is not final, so this node must not get a vote.
	joining atomic.Bool
	version string
	address func() string
	// answered is the server of a connected node that answered last.
	answered atomic.Pointer[string]

	// listeners are open once listen has done it; Server.mu guards them.
	listeners []net.Listener

	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
	// ended is closed when the store does not run any more, err being why.
	ended chan struct{}
	err   error
}

// openCore opens the store of a place and starts it.
func (s *Server) openCore(p place) (*core, error) {
	d, err := s.deps.Config.Load()
	if err != nil {
		return nil, err
	}
	c := &core{mode: p.Mode, version: s.cfg.Version, ended: make(chan struct{})}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.conf.Store(&d.Database)
	c.address = func() string {
		a, _ := s.addressOf(*c.conf.Load())
		return a
	}
	// In one process with XMPP's, lines of the store and of the connections
	// would not tell whose they are.
	log := s.deps.Log.With("of", "database")
	deps := store.Deps{Log: log}
	if p.Mode != databaseapi.Alone {
		var kept peer.Kept
		c.peers = peer.New(pings, peer.Deps{
			Identity: func() (peer.Identity, error) { return keptIdentity(&kept, s.cfg.Paths.Files(), *c.conf.Load()) },
			Self:     c.hello, DialContext: s.dial(), Log: log,
		})
	}
	if p.Mode == databaseapi.Member {
		deps.Transport = store.NewTransport(c.peers.StreamLayer(c.address), log)
	}
	c.Store = store.New(store.Config{Dir: filepath.Join(s.cfg.Paths.Database(), p.Folder), Reserve: store.DefaultReserve, Timing: timing}, deps)
	if err := c.Store.Open(); err != nil {
		c.stop()
		return nil, explain(err)
	}
	c.record.Look(c.Store)
	if p.Mode == databaseapi.Member {
		s.handle(c)
		c.running.Go(func() { s.follow(c) })
	}
	if c.peers != nil {
		c.running.Go(func() {
			if err := c.peers.Run(c.ctx); err != nil {
				s.log.Error("connections to other nodes ended", "err", err)
			}
		})
	}
	go func() {
		c.err = c.Store.Run(c.ctx)
		c.stop()
		c.running.Wait()
		close(c.ended)
	}()
	return c, nil
}

// dial makes connections to other nodes.
func (s *Server) dial() func(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{Resolver: s.deps.Names}).DialContext
}

func (c *core) close() error {
	for _, l := range c.listeners {
		l.Close()
	}
	c.stop()
	<-c.ended
	return c.err
}

// protocol is the version of what nodes say to one another.
const protocol = 1

// hello is what this node tells the others of itself.
func (c *core) hello() peer.Hello {
	st := c.State()
	h := peer.Hello{
		ID: st.ID, Version: c.version, Protocol: protocol, Time: time.Now(),
		LastIndex: st.LastIndex, Applied: st.AppliedIndex, Term: st.Term, LeaderID: st.LeaderID, Cluster: c.record.Load().ID,
	}
	if c.mode == databaseapi.Connected {
		return peer.Hello{ID: st.ID, Version: c.version, Protocol: protocol, Time: time.Now()}
	}
	h.Address = c.address()
	return h
}

// addressOf is where other nodes reach this one.
func (s *Server) addressOf(d config.Database) (string, error) {
	if d.Interface == "" {
		return "", problem.New(problem.DatabaseUnready, "missing", "interface", "command", "database cluster localnode <interface>")
	}
	a, err := s.deps.Address(d.Interface)
	if err != nil || !a.IsValid() {
		return "", problem.New(problem.DatabaseAddress, "interface", d.Interface)
	}
	return netip.AddrPortFrom(a, Port).String(), nil
}

// maxHandshakes bounds the connections that have not shown who they are.
const maxHandshakes = 64

// listen opens the port of a member, unless it is open. Call it with mu held.
func (s *Server) listen(ctx context.Context, c *core) error {
	if c.mode != databaseapi.Member || c.listeners != nil {
		return nil
	}
	ls, err := s.deps.Listen(ctx, []string{c.conf.Load().Interface}, Port)
	if err != nil {
		return err
	}
	c.listeners = ls
	room := make(chan struct{}, maxHandshakes)
	for _, l := range ls {
		c.running.Go(func() { c.accept(l, room) })
		context.AfterFunc(c.ctx, func() { l.Close() })
	}
	s.log.Info("database can be reached", "interface", c.conf.Load().Interface)
	return nil
}

// accept takes connections of other nodes until l is closed.
func (c *core) accept(l net.Listener, room chan struct{}) {
	for {
		conn, err := l.Accept()
		if err != nil {
			if c.ctx.Err() != nil {
				return
			}
			select {
			case <-c.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		select {
		case room <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		c.running.Go(func() {
			defer func() { <-room }()
			// Closed in between, it would wait for its time-out.
			stop := context.AfterFunc(c.ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
			defer stop()
			c.peers.Serve(tls.Server(conn, c.peers.ServerTLS()))
		})
	}
}
