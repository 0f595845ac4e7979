// Package network gives a node its addresses, routes and DNS: it names the
// NICs a to d, keeps links, addresses and routes as live.json says, holds
// DHCP leases, answers look-ups, and pings. In an ordinary process Process
// stands in for it. It changes nothing of live.json but the MACs that pin the
// names, and knows no service that listens on the interfaces.
package network

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"parley/services/config"
	"parley/services/control"
	"parley/services/network/dhcp"
	"parley/services/network/networkapi"
	"parley/services/network/resolver"
)

// Config is where the service finds and offers things.
type Config struct {
	// Socket is the control socket, Group its group (-1: the process's own).
	Socket string
	Group  int
	// Sysfs is where sysfs is mounted: /sys.
	Sysfs string
	// Resolver is where DNS is served: 127.0.0.1:53.
	Resolver string
}

// ApplianceConfig is that of the image; group owns the control socket.
func ApplianceConfig(group int) Config {
	return Config{
		Socket:   config.AppliancePaths().Socket("network"),
		Group:    group,
		Sysfs:    "/sys",
		Resolver: "127.0.0.1:53",
	}
}

// Deps are the service's outer edges; Machine has the real ones.
type Deps struct {
	Store  *config.Store
	Kernel Kernel
	// SetHostname gives the kernel its host name.
	SetHostname func(string) error
	// DHCP returns the wire of a client on the interface that is called
	// name and has that MAC; hostname says what to tell the server.
	DHCP func(name, mac string, hostname func() string) (dhcp.Wire, error)
	// DNS carries the resolver's queries.
	DNS resolver.Wire
	// DNSDoor opens the port on which others ask the resolver, on an
	// interface, for UDP and TCP.
	DNSDoor Door
	Log     *slog.Logger
}

// Service is the network of an appliance.
type Service struct {
	cfg      Config
	deps     Deps
	log      *slog.Logger
	resolver *resolver.Resolver
	// servers are those of the leases, for the resolver.
	servers  atomic.Pointer[[]netip.AddrPort]
	hostname atomic.Pointer[string]
	// changed has an element if links changed since the loop looked.
	changed chan struct{}
	leases  chan leaseEvent
	running sync.WaitGroup

	// mu guards what follows and all changes of links. It is never held
	// while the store's lock is asked for: Reload is called by one who
	// holds that.
	mu sync.Mutex
	// ctx is Run's; it bounds the clients.
	ctx context.Context
	// doc is the configuration that is in force.
	doc     config.Document
	clients map[string]*client
	// doors are where others ask the resolver.
	doors *doors
	// ordinary is the MTU that each NIC came with, by MAC.
	ordinary map[string]int
	nics     []NIC
}

var _ networkapi.API = (*Service)(nil)

// New returns the service; it does nothing before Run.
func New(cfg Config, deps Deps) *Service {
	s := &Service{
		cfg:      cfg,
		deps:     deps,
		log:      deps.Log.With("component", "network"),
		changed:  make(chan struct{}, 1),
		leases:   make(chan leaseEvent),
		clients:  map[string]*client{},
		ordinary: map[string]int{},
	}
	s.servers.Store(&[]netip.AddrPort{})
	s.hostname.Store(new(string))
	s.resolver = resolver.New(deps.Log, deps.DNS, func() []netip.AddrPort { return *s.servers.Load() })
	s.doors = newDoors(s.resolver, deps.DNSDoor, s.log)
	return s
}

// Run names the NICs, brings them up and serves until ctx ends. What it has set
// stays then: connections outlive a restart of the service. Neither a bad
// document nor a card that fails ends it, for the console needs it to mend them.
func (s *Service) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() {
		cancel(nil)
		s.running.Wait()
		s.doors.wait()
	}()
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	if err := s.loopback(); err != nil {
		s.log.Error("loopback is not up", "err", err)
	}
	s.settle(ctx)
	if err := s.name(); err != nil {
		s.log.Error("interfaces are not named", "err", err)
	}
	s.start()
	dns, err := s.resolver.Listen(ctx, s.cfg.Resolver)
	if err != nil {
		return err
	}
	ctl := &control.Server{Path: s.cfg.Socket, Handler: networkapi.Handler(s), Group: s.cfg.Group, Log: s.log}
	for _, part := range []func(context.Context) error{dns.Run, ctl.Run, s.watch, s.loop} {
		s.running.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func (s *Service) loopback() error {
	links, err := s.deps.Kernel.Links()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Name == "lo" && !l.Up {
			return s.deps.Kernel.SetUp(l.Index, true)
		}
	}
	return nil
}
