package network

import (
	"context"
	"slices"
	"time"
)

// rewatch is the pause before link events are asked for again.
const rewatch = time.Second

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
