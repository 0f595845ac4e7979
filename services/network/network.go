// Package network gives a node its addresses, routes and DNS: it names the
// NICs a to d, keeps links, addresses and routes as live.json says, holds
// DHCP leases, answers look-ups, and pings. In an ordinary process Process
// stands in for it. It changes nothing of live.json but the MACs that pin the
// names, and knows no service that listens on the interfaces.
package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/services/config"
	"parley/services/control"
	"parley/services/network/dhcp"
	"parley/services/network/networkapi"
	"parley/services/network/resolver"
)

const (
	// settle is how long the service waits at start for NICs that were here
	// before, if it sees only new ones: giving their names away cannot be
	// undone. Drivers have been loaded by then, but may still be probing.
	settle      = 2 * time.Second
	settleCheck = 50 * time.Millisecond
	// rewatch is the pause before link events are asked for again.
	rewatch = time.Second
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

// settle waits while NICs are here but none that was before.
func (s *Service) settle(ctx context.Context) {
	d, err := s.deps.Store.Load()
	if err != nil {
		return
	}
	pins := pinsOf(d)
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	for {
		nics, err := scanNICs(s.cfg.Sysfs)
		if err != nil || len(nics) == 0 || len(pins) == 0 {
			return
		}
		for _, mac := range pins {
			if slices.ContainsFunc(nics, func(n NIC) bool { return n.MAC == mac }) {
				return
			}
		}
		select {
		case <-time.After(settleCheck):
		case <-ctx.Done():
			return
		}
	}
}

// errSame ends an update that has nothing to change.
var errSame = errors.New("unchanged")

// name gives the NICs that are here now their names, in live.json and in the
// kernel, and takes the document as it then is. It asks for the store's lock:
// mu must not be held.
func (s *Service) name() error {
	nics, err := scanNICs(s.cfg.Sysfs)
	if err != nil {
		return err
	}
	var doc config.Document
	err = s.deps.Store.Update(func(d *config.Document) error {
		pins := assign(nics, pinsOf(*d))
		same := maps.Equal(pins, pinsOf(*d))
		setPins(d, pins)
		doc = d.Clone()
		if same {
			return errSame
		}
		s.log.Info("interfaces named", "mac", pins)
		return nil
	})
	if err != nil && !errors.Is(err, errSame) {
		// Without its document the node still shall be reachable.
		s.log.Error("names of interfaces are not saved", "err", err)
		if doc.Interfaces == nil {
			doc = config.Default()
			setPins(&doc, assign(nics, nil))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doc, s.nics = doc, nics
	links, err := s.deps.Kernel.Links()
	if err != nil {
		return err
	}
	var errs []error
	for _, step := range renameSteps(s.physical(links), pinsOf(doc)) {
		s.log.Info("renaming link", "index", step.index, "name", step.name)
		errs = append(errs, s.deps.Kernel.Rename(step.index, step.name))
	}
	return errors.Join(errs...)
}

// physical are the links that are NICs.
func (s *Service) physical(links []Link) []Link {
	return slices.DeleteFunc(slices.Clone(links), func(l Link) bool {
		return !slices.ContainsFunc(s.nics, func(n NIC) bool { return n.MAC == l.MAC })
	})
}

// start brings into force what the document holds. A part that is wrong is
// logged and left out; the rest is done.
func (s *Service) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	links, err := s.links()
	if err != nil {
		s.log.Error("links are not listed", "err", err)
		return
	}
	if err := Check(s.doc, slices.Collect(maps.Keys(links))); err != nil {
		s.log.Warn("configuration has a fault", "err", err)
	}
	if err := s.resolver.Configure(s.doc.DNS); err != nil {
		s.log.Error("DNS is not configured", "err", err)
	}
	if err := s.setHostname(s.doc.Hostname); err != nil {
		s.log.Error("host name is not set", "err", err)
	}
	if err := s.apply(s.doc); err != nil {
		s.log.Error("interfaces are not as configured", "err", err)
	}
	s.reopen()
}

// openDoors lets others ask the resolver where d says. mu is held.
func (s *Service) openDoors(d config.Document) error {
	links, err := s.links()
	if err != nil {
		return err
	}
	places := map[string]place{}
	for _, name := range d.DNS.Listen {
		l, ok := links[name]
		if !ok {
			// It is asked for again when the card is back.
			continue
		}
		places[name] = place{index: l.Index, networks: func() []netip.Prefix {
			addrs, err := s.deps.Kernel.Addresses(l.Index)
			if err != nil {
				s.log.Warn("addresses are not listed", "interface", name, "err", err)
			}
			var nets []netip.Prefix
			for _, a := range addrs {
				nets = append(nets, a.Prefix.Masked())
			}
			return nets
		}}
	}
	return s.doors.set(s.ctx, places)
}

// reopen is openDoors for what is in force already. mu is held.
func (s *Service) reopen() {
	if err := s.openDoors(s.doc); err != nil {
		s.log.Error("others cannot ask for names", "err", err)
	}
}

func (s *Service) setHostname(name string) error {
	if name == *s.hostname.Load() {
		return nil
	}
	if err := s.deps.SetHostname(name); err != nil {
		return fmt.Errorf("set host name %s: %w", name, err)
	}
	s.hostname.Store(&name)
	return nil
}

// links are those of the NICs that have a name, by name.
func (s *Service) links() (map[string]Link, error) {
	all, err := s.deps.Kernel.Links()
	if err != nil {
		return nil, err
	}
	pins := pinsOf(s.doc)
	named := map[string]Link{}
	for _, l := range s.physical(all) {
		if pins[l.Name] == l.MAC {
			named[l.Name] = l
			if s.ordinary[l.MAC] == 0 {
				s.ordinary[l.MAC] = l.MTU
			}
		}
	}
	return named, nil
}

// apply makes links and clients what d wants. Clients that are to end give
// their lease back first, while the address is still there. mu is held.
func (s *Service) apply(d config.Document) error {
	links, err := s.links()
	if err != nil {
		return err
	}
	s.syncClients(d, links)
	s.setServers(d)
	return reconcile(s.deps.Kernel, links, s.wants(d, links))
}

func (s *Service) wants(d config.Document, links map[string]Link) map[string]want {
	wants := map[string]want{}
	now := time.Now()
	for name, l := range links {
		var lease *dhcp.Lease
		c := s.clients[name]
		if c != nil {
			lease = c.lease
		}
		w := wanted(d, name, lease, s.ordinary[l.MAC], now)
		w.keep = c != nil && c.inherited
		wants[name] = w
	}
	return wants
}

// Reload implements networkapi.API.
func (s *Service) Reload(context.Context) error {
	d, err := s.deps.Store.Load()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	links, err := s.links()
	if err != nil {
		return err
	}
	// The names follow the NICs, not the document.
	setPins(&d, pinsOf(s.doc))
	present := slices.Collect(maps.Keys(links))
	for name, i := range d.Interfaces {
		// A card that went away does not stand in the way of other changes.
		if was, ok := s.doc.Interfaces[name]; ok && was == i && !slices.Contains(present, name) {
			present = append(present, name)
		}
	}
	slices.Sort(present)
	if err := Check(d, present); err != nil {
		return err
	}
	if err := s.checkLeases(d); err != nil {
		return err
	}
	old := s.doc
	if err := s.setHostname(d.Hostname); err != nil {
		return err
	}
	err = s.apply(d)
	if err == nil {
		err = s.openDoors(d)
	}
	if err != nil {
		back := errors.Join(s.setHostname(old.Hostname), s.apply(old), s.openDoors(old))
		if back != nil {
			s.log.Error("the old configuration is not wholly back", "err", back)
		}
		return err
	}
	if !reflect.DeepEqual(d.DNS, old.DNS) {
		if err := s.resolver.Configure(d.DNS); err != nil {
			return err
		}
	}
	s.doc = d
	s.log.Info("configuration taken")
	return nil
}

// checkLeases refuses a static address in the subnet of a lease.
func (s *Service) checkLeases(d config.Document) error {
	for _, name := range Names {
		p := static(d.Interfaces[name])
		if !p.IsValid() {
			continue
		}
		for other, c := range s.clients {
			v4 := d.Interfaces[other].IPv4
			if other != name && v4.Enabled && v4.DHCP && c.lease != nil && c.lease.Address.Overlaps(p) {
				return sameSubnet(name, other, p)
			}
		}
	}
	return nil
}

// watch turns the kernel's link events into changed.
func (s *Service) watch(ctx context.Context) error {
	for {
		err := s.deps.Kernel.Watch(ctx, func() {
			select {
			case s.changed <- struct{}{}:
			default:
			}
		})
		if ctx.Err() != nil {
			return nil
		}
		s.log.Warn("link events are missed", "err", err)
		select {
		case <-time.After(rewatch):
		case <-ctx.Done():
			return nil
		}
	}
}

// loop takes what happens to links and leases.
func (s *Service) loop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
			s.relink()
		case e := <-s.leases:
			s.take(e)
		}
	}
}

// relink takes a change of links: a NIC that came or went, or its carrier.
func (s *Service) relink() {
	nics, err := scanNICs(s.cfg.Sysfs)
	if err != nil {
		s.log.Error("network cards are not listed", "err", err)
		return
	}
	s.mu.Lock()
	same := slices.EqualFunc(nics, s.nics, func(a, b NIC) bool { return a.MAC == b.MAC })
	s.mu.Unlock()
	if !same {
		s.log.Info("network cards changed", "count", len(nics))
		if err := s.name(); err != nil {
			s.log.Error("interfaces are not named", "err", err)
		}
		s.start()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.apply(s.doc); err != nil {
		s.log.Error("interfaces are not as configured", "err", err)
	}
	s.reopen()
}
