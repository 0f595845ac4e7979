package network

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"parley/services/config"
	"parley/services/control"
	"parley/services/network/networkapi"
	"parley/services/network/resolver"
	"parley/services/problem"
)

// ProcessConfig is that of a node that is an ordinary process.
type ProcessConfig struct {
	// Address is what the process was given (-a); it is interface a.
	Address netip.Addr
	// Socket is the control socket.
	Socket string
	// ResolvConf names the host's servers: /etc/resolv.conf.
	ResolvConf string
	// Resolver is where DNS is served; empty for not at all.
	Resolver string
	// DNSPort is where others ask for names; 0 is the usual one.
	DNSPort uint16
}

// Process is the network of a node that is an ordinary process. Its address is
// fixed; look-ups and ping are as on an appliance, but for names in no forward
// zone the host's name servers are asked.
type Process struct {
	cfg      ProcessConfig
	store    *config.Store
	log      *slog.Logger
	resolver *resolver.Resolver
	// ready is closed once the resolver has what live.json says: what was asked
	// before would not know of local records.
	ready chan struct{}

	mu sync.Mutex
	// ctx is Run's; nil before.
	ctx   context.Context
	doc   config.Document
	doors *doors
}

var _ networkapi.API = (*Process)(nil)

// NewProcess returns the network of a process; it does nothing before Run.
func NewProcess(cfg ProcessConfig, store *config.Store, log *slog.Logger) *Process {
	p := &Process{cfg: cfg, store: store, log: log.With("component", "network"), ready: make(chan struct{})}
	p.resolver = resolver.New(log, resolver.Sockets{}, p.hostServers)
	p.doors = newDoors(p.resolver, p.openDoor, p.log)
	return p
}

// Run serves until ctx ends. First it writes the address to live.json, so that
// the console shows what is so.
func (p *Process) Run(ctx context.Context) error {
	err := p.store.Update(func(d *config.Document) error {
		before := d.Clone()
		if d.Interfaces == nil {
			d.Interfaces = map[string]config.Interface{}
		}
		clear(d.Interfaces)
		d.Interfaces[Names[0]] = config.Interface{IPv4: config.IPv4{Enabled: true, Default: true, Address: p.prefix()}}
		p.doc = d.Clone()
		if reflect.DeepEqual(before, *d) {
			return errSame
		}
		return nil
	})
	if err != nil && !errors.Is(err, errSame) {
		return err
	}
	if err := p.resolver.Configure(p.doc.DNS); err != nil {
		p.log.Error("DNS is not configured", "err", err)
	}
	close(p.ready)
	ctl := &control.Server{Path: p.cfg.Socket, Handler: networkapi.Handler(p), Group: -1, Log: p.log}
	parts := []func(context.Context) error{ctl.Run}
	if p.cfg.Resolver != "" {
		server, err := p.resolver.Listen(ctx, p.cfg.Resolver)
		if err != nil {
			return err
		}
		parts = append(parts, server.Run)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() {
		cancel(nil)
		p.doors.wait()
	}()
	p.mu.Lock()
	p.ctx = ctx
	if err := p.openDoors(p.doc); err != nil {
		p.log.Error("others cannot ask for names", "err", err)
	}
	p.mu.Unlock()
	var running sync.WaitGroup
	for _, part := range parts {
		running.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	<-ctx.Done()
	running.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// Listen is the process's Listener: interface a is its address.
func (p *Process) Listen(ctx context.Context, ifaces []string, port int) ([]net.Listener, error) {
	if len(ifaces) == 0 {
		return nil, nil
	}
	for _, name := range ifaces {
		if !slices.Contains(Names, name) {
			return nil, problem.New(problem.InterfaceUnknown, "interface", name)
		}
		if name != Names[0] {
			return nil, absent(name, Names[:1])
		}
	}
	l, err := listenAddress(ctx, p.cfg.Address, port)
	if err != nil {
		return nil, err
	}
	return []net.Listener{l}, nil
}

// Resolver is the node's.
func (p *Process) Resolver() *resolver.Resolver { return p.resolver }

// Names finds names for what dials in this process, as Lookup does.
func (p *Process) Names() *net.Resolver { return p.resolver.Names(p.ready) }

// Reload implements networkapi.API. A changed interface is
// problem.AddressFixed.
func (p *Process) Reload(context.Context) error {
	d, err := p.store.Load()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range d.Interfaces {
		if !slices.Contains(Names, name) {
			return problem.New(problem.InterfaceUnknown, "interface", name)
		}
	}
	if !maps.Equal(d.Interfaces, p.doc.Interfaces) {
		return problem.New(problem.AddressFixed, "address", p.cfg.Address.String())
	}
	if !isHostname(d.Hostname) {
		return problem.New(problem.HostnameBad, "hostname", d.Hostname)
	}
	if err := checkDNS(d.DNS, Names[:1]); err != nil {
		return err
	}
	if err := p.openDoors(d); err != nil {
		return errors.Join(err, p.openDoors(p.doc))
	}
	if !reflect.DeepEqual(d.DNS, p.doc.DNS) {
		if err := p.resolver.Configure(d.DNS); err != nil {
			return err
		}
	}
	p.doc = d
	return nil
}

// openDoors lets others ask the resolver where d says; before Run nobody. mu
// is held.
func (p *Process) openDoors(d config.Document) error {
	if p.ctx == nil {
		return nil
	}
	places := map[string]place{}
	for _, name := range d.DNS.Listen {
		places[name] = place{networks: func() []netip.Prefix { return []netip.Prefix{p.prefix().Masked()} }}
	}
	return p.doors.set(p.ctx, places)
}

// openDoor is the process's Door: interface a is its address.
func (p *Process) openDoor(ctx context.Context, iface string) (net.PacketConn, net.Listener, error) {
	if iface != Names[0] {
		return nil, nil, absent(iface, Names[:1])
	}
	return openDoor(ctx, net.ListenConfig{}, iface, netip.AddrPortFrom(p.cfg.Address, cmp.Or(p.cfg.DNSPort, dnsPort)))
}

// Interfaces implements networkapi.API.
func (p *Process) Interfaces(context.Context) ([]networkapi.Interface, error) {
	i := networkapi.Interface{Name: Names[0], Up: true, Addresses: []netip.Prefix{p.prefix()}}
	if host, _ := p.host(); host != nil {
		i.MAC, i.MTU = host.HardwareAddr.String(), host.MTU
		i.Up = host.Flags&net.FlagRunning != 0
	}
	if i.MAC == "" {
		i.MAC = "00:00:00:00:00:00"
	}
	return []networkapi.Interface{i}, nil
}

// host is the host's interface that has the address, and the address as it is
// there; nil if there is none.
func (p *Process) host() (*net.Interface, netip.Prefix) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, netip.Prefix{}
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			prefix := prefixOf(n)
			// All of a loopback prefix is the host's.
			if prefix.Addr() == p.cfg.Address || i.Flags&net.FlagLoopback != 0 && prefix.Contains(p.cfg.Address) {
				return &i, netip.PrefixFrom(p.cfg.Address, prefix.Bits())
			}
		}
	}
	return nil, netip.Prefix{}
}

func (p *Process) prefix() netip.Prefix {
	if host, prefix := p.host(); host != nil {
		return prefix
	}
	return netip.PrefixFrom(p.cfg.Address, p.cfg.Address.BitLen())
}

// NameServers implements networkapi.API: those of the host.
func (p *Process) NameServers(context.Context) ([]netip.AddrPort, error) { return p.hostServers(), nil }

// Lookup implements networkapi.API. Before Run it waits for that.
func (p *Process) Lookup(ctx context.Context, kind, name string) (networkapi.Answer, error) {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return networkapi.Answer{}, ctx.Err()
	}
	return lookup(ctx, p.resolver, kind, name)
}

// FlushDNS implements networkapi.API.
func (p *Process) FlushDNS(context.Context) error {
	p.resolver.Flush()
	return nil
}

// ForgetDenials implements networkapi.API.
func (p *Process) ForgetDenials(context.Context) error {
	p.resolver.ForgetDenials()
	return nil
}

// Ping implements networkapi.API.
func (p *Process) Ping(ctx context.Context, host string, seq int) (networkapi.Echo, error) {
	return ping(ctx, p.resolver, host, seq)
}

// hostServers reads the host's servers anew each time: a laptop changes them
// with the network that it is in.
func (p *Process) hostServers() []netip.AddrPort {
	f, err := os.Open(p.cfg.ResolvConf)
	if err != nil {
		return nil
	}
	defer f.Close()
	conf, err := dns.ClientConfigFromReader(f)
	if err != nil {
		return nil
	}
	var servers []netip.AddrPort
	for _, s := range conf.Servers {
		if a, err := netip.ParseAddr(strings.TrimSpace(s)); err == nil {
			servers = append(servers, netip.AddrPortFrom(a, 53))
		}
	}
	return servers
}

// InterfaceAddress is the address of interface a.
func (p *Process) InterfaceAddress(iface string) (netip.Addr, error) {
	if iface != Names[0] {
		return netip.Addr{}, absent(iface, Names[:1])
	}
	return p.cfg.Address, nil
}
