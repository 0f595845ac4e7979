package network

import (
	"context"
	"net/netip"
	"slices"

	"parley/services/config"
	"parley/services/network/dhcp"
)

// client is the DHCP client of one interface with what it last reported.
type client struct {
	dhcp  *dhcp.Client
	mac   string
	lease *dhcp.Lease
	// inherited: the link still has the leased address of an earlier run of
	// the service; it stays until this client has one, or the kernel ends it.
	inherited bool
	stop      context.CancelCauseFunc
	ended     chan struct{}
}

// leaseEvent is a client's report: nil if the lease is lost.
type leaseEvent struct {
	name   string
	client *client
	lease  *dhcp.Lease
}

// syncClients starts and ends clients as d wants. mu is held; an ending client
// does not need it, for its reports go by way of the loop.
func (s *Service) syncClients(d config.Document, links map[string]Link) {
	for _, name := range Names {
		l, present := links[name]
		v4 := d.Interfaces[name].IPv4
		wanted := present && v4.Enabled && v4.DHCP
		c := s.clients[name]
		if c != nil && (!wanted || c.mac != l.MAC) {
			cause := dhcp.ErrRelease
			if !present || c.mac != l.MAC {
				cause = context.Canceled
			}
			c.stop(cause)
			<-c.ended
			delete(s.clients, name)
			c = nil
		}
		if c == nil && wanted {
			c = s.startClient(name, l)
		}
		if c != nil {
			c.dhcp.Carrier(l.Carrier)
		}
	}
}

// startClient returns nil if the interface cannot have a client; it is tried
// again with the next change of links.
func (s *Service) startClient(name string, l Link) *client {
	log := s.log.With("interface", name)
	wire, err := s.deps.DHCP(name, l.MAC, func() string { return *s.hostname.Load() })
	if err != nil {
		log.Error("no DHCP", "err", err)
		return nil
	}
	c := &client{mac: l.MAC, ended: make(chan struct{})}
	hint := s.leftover(l)
	c.inherited = hint.IsValid()
	ctx, stop := context.WithCancelCause(s.ctx)
	c.stop = stop
	c.dhcp = dhcp.New(wire, hint, func(lease *dhcp.Lease) {
		e := leaseEvent{name: name, client: c}
		if lease != nil {
			copied := *lease
			e.lease = &copied
		}
		select {
		case s.leases <- e:
		case <-ctx.Done():
		}
	}, log)
	s.clients[name] = c
	s.running.Go(func() {
		defer close(c.ended)
		c.dhcp.Run(ctx)
	})
	return c
}

// leftover is the address that an earlier run of the service got by DHCP: it
// alone ends by itself.
func (s *Service) leftover(l Link) netip.Addr {
	addrs, err := s.deps.Kernel.Addresses(l.Index)
	if err != nil || len(addrs) != 1 || addrs[0].Valid == 0 {
		return netip.Addr{}
	}
	return addrs[0].Prefix.Addr()
}

// take brings a report into force, unless its client was ended meanwhile.
func (s *Service) take(e leaseEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients[e.name] != e.client {
		return
	}
	e.client.lease, e.client.inherited = e.lease, false
	if err := s.checkLeases(s.doc); err != nil {
		s.log.Warn("lease overlaps a static address", "interface", e.name, "err", err)
	}
	if err := s.apply(s.doc); err != nil {
		s.log.Error("interfaces are not as configured", "err", err)
	}
}

// setServers gives the resolver the name servers of the leases, those of the
// default interface first. What another network's servers said is forgotten.
func (s *Service) setServers(d config.Document) {
	order := append([]string{defaultInterface(d)}, Names...)
	var servers []netip.AddrPort
	for _, name := range order {
		c := s.clients[name]
		if c == nil || c.lease == nil {
			continue
		}
		for _, a := range c.lease.DNS {
			if server := netip.AddrPortFrom(a, 53); !slices.Contains(servers, server) {
				servers = append(servers, server)
			}
		}
	}
	if !slices.Equal(servers, *s.servers.Load()) {
		s.servers.Store(&servers)
		s.resolver.Flush()
	}
}
