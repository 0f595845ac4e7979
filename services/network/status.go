package network

import (
	"context"
	"net/netip"
	"path/filepath"
	"strconv"

	"parley/services/network/networkapi"
	"parley/services/network/resolver"
)

// Interfaces implements networkapi.API: those that have a NIC, in order.
func (s *Service) Interfaces(context.Context) ([]networkapi.Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	links, err := s.links()
	if err != nil {
		return nil, err
	}
	var out []networkapi.Interface
	for _, name := range Names {
		l, ok := links[name]
		if !ok {
			continue
		}
		i := networkapi.Interface{Name: name, MAC: l.MAC, Up: l.Carrier, MTU: l.MTU, Autoneg: l.Autoneg}
		dir := filepath.Join(s.cfg.Sysfs, "class/net", name)
		if speed, err := strconv.Atoi(attribute(dir, "speed")); err == nil && speed > 0 {
			i.Speed = speed
		}
		if duplex := attribute(dir, "duplex"); duplex == "full" || duplex == "half" {
			i.Duplex = duplex
		}
		addrs, err := s.deps.Kernel.Addresses(l.Index)
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			i.Addresses = append(i.Addresses, a.Prefix)
		}
		routes, err := s.deps.Kernel.Routes(l.Index)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			i.Routes = append(i.Routes, networkapi.Route{
				Source: r.Source, Destination: r.Destination, Gateway: r.Gateway, Global: r.Gateway.IsValid(),
			})
		}
		if c := s.clients[name]; c != nil && c.lease != nil {
			i.Lease = &networkapi.Lease{
				Server: c.lease.Server, Address: c.lease.Address, Gateway: c.lease.Gateway, DNS: c.lease.DNS,
				Renew: c.lease.Renew, Expires: c.lease.Expires,
			}
		}
		out = append(out, i)
	}
	return out, nil
}

// NameServers implements networkapi.API: those of the leases.
func (s *Service) NameServers(context.Context) ([]netip.AddrPort, error) {
	return *s.servers.Load(), nil
}

// Lookup implements networkapi.API.
func (s *Service) Lookup(ctx context.Context, kind, name string) (networkapi.Answer, error) {
	return lookup(ctx, s.resolver, kind, name)
}

// FlushDNS implements networkapi.API.
func (s *Service) FlushDNS(context.Context) error {
	s.resolver.Flush()
	return nil
}

// ForgetDenials implements networkapi.API.
func (s *Service) ForgetDenials(context.Context) error {
	s.resolver.ForgetDenials()
	return nil
}

// Ping implements networkapi.API.
func (s *Service) Ping(ctx context.Context, host string, seq int) (networkapi.Echo, error) {
	return ping(ctx, s.resolver, host, seq)
}

// Resolver is the node's; the services in the same process may use it.
func (s *Service) Resolver() *resolver.Resolver { return s.resolver }
