package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"parley/services/config"
	"parley/services/network/dhcp"
)

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
