package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"parley/services/network/dhcp"
)

// memoryKernel is the Kernel's twin in memory. It keeps the rules of the real
// one that the service depends on: names are unique, a route needs its link
// up and its gateway on it, and goes when link or address goes. Log has the
// changes asked for.
type memoryKernel struct {
	mu     sync.Mutex
	links  []Link
	addrs  map[int][]Address
	routes map[int][]Route
	maxMTU int
	log    []string
	notify func()
}

func newMemoryKernel(links ...Link) *memoryKernel {
	links = append([]Link{{Index: 1, Name: "lo", MTU: 65536}}, links...)
	return &memoryKernel{links: links, addrs: map[int][]Address{}, routes: map[int][]Route{}, maxMTU: 9000}
}

var _ Kernel = (*memoryKernel)(nil)

func (k *memoryKernel) Links() ([]Link, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.links), nil
}

func (k *memoryKernel) change(index int, what string, f func(*Link) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.links {
		if l := &k.links[i]; l.Index == index {
			if err := f(l); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			k.log = append(k.log, l.Name+": "+what)
			if k.notify != nil {
				k.notify()
			}
			return nil
		}
	}
	return unix.ENODEV
}

func (k *memoryKernel) Rename(index int, name string) error {
	return k.change(index, "rename", func(l *Link) error {
		for _, o := range k.links {
			if o.Name == name {
				return unix.EEXIST
			}
		}
		l.Up, l.Name = false, name
		k.routes[index] = nil
		return nil
	})
}

func (k *memoryKernel) SetUp(index int, up bool) error {
	return k.change(index, fmt.Sprintf("up=%v", up), func(l *Link) error {
		l.Up = up
		if !up {
			k.routes[index] = nil
		}
		return nil
	})
}

func (k *memoryKernel) SetMTU(index, mtu int) error {
	return k.change(index, fmt.Sprintf("mtu=%d", mtu), func(l *Link) error {
		if mtu > k.maxMTU {
			return unix.EINVAL
		}
		l.MTU = mtu
		return nil
	})
}

func (k *memoryKernel) Addresses(index int) ([]Address, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.addrs[index]), nil
}

func (k *memoryKernel) SetAddress(index int, a Address) error {
	return k.change(index, "address "+a.Prefix.String(), func(*Link) error {
		k.addrs[index] = append(slices.DeleteFunc(k.addrs[index], func(o Address) bool { return o.Prefix == a.Prefix }), a)
		return nil
	})
}

func (k *memoryKernel) DelAddress(index int, p netip.Prefix) error {
	return k.change(index, "no address "+p.String(), func(*Link) error {
		k.addrs[index] = slices.DeleteFunc(k.addrs[index], func(o Address) bool { return o.Prefix == p })
		k.routes[index] = slices.DeleteFunc(k.routes[index], func(r Route) bool { return p.Contains(r.Gateway) })
		return nil
	})
}

func (k *memoryKernel) Routes(index int) ([]Route, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.routes[index]), nil
}

func (k *memoryKernel) AddRoute(index int, r Route) error {
	return k.change(index, fmt.Sprintf("route %v by %v metric %d", r.Destination, r.Gateway, r.Metric), func(l *Link) error {
		switch {
		case !l.Up:
			return unix.ENETDOWN
		case r.Gateway.IsValid() && !r.OnLink && !slices.ContainsFunc(k.addrs[index], func(a Address) bool { return a.Prefix.Contains(r.Gateway) }):
			return unix.ENETUNREACH
		}
		for i, routes := range k.routes {
			if slices.ContainsFunc(routes, func(o Route) bool { return o.Destination == r.Destination && o.Metric == r.Metric }) {
				return fmt.Errorf("link %d: %w", i, unix.EEXIST)
			}
		}
		k.routes[index] = append(k.routes[index], r)
		return nil
	})
}

func (k *memoryKernel) DelRoute(index int, r Route) error {
	return k.change(index, "no route "+r.Destination.String(), func(*Link) error {
		k.routes[index] = slices.DeleteFunc(k.routes[index], r.same)
		return nil
	})
}

func (k *memoryKernel) Watch(ctx context.Context, changed func()) error {
	k.mu.Lock()
	k.notify = changed
	k.mu.Unlock()
	changed()
	<-ctx.Done()
	return ctx.Err()
}

// carrier changes what no one asks the kernel for.
func (k *memoryKernel) carrier(index int, on bool) {
	// The link cannot be missing: the test made it.
	_ = k.change(index, fmt.Sprintf("carrier=%v", on), func(l *Link) error { l.Carrier = on; return nil })
}

// takeLog returns the changes since the last call.
func (k *memoryKernel) takeLog() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	log := k.log
	k.log = nil
	return log
}

// memoryDHCP is the wire of all clients of a test: it grants what grant is.
type memoryDHCP struct {
	mu       sync.Mutex
	grant    dhcp.Lease
	hints    []netip.Addr
	released []netip.Prefix
	refuse   bool
}

var _ dhcp.Wire = (*memoryDHCP)(nil)

func (m *memoryDHCP) Acquire(_ context.Context, hint netip.Addr) (dhcp.Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hints = append(m.hints, hint)
	if !m.grant.Address.IsValid() {
		return dhcp.Lease{}, errors.New("nobody answers")
	}
	return m.grant, nil
}

func (m *memoryDHCP) Verify(context.Context, dhcp.Lease) (dhcp.Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse {
		return dhcp.Lease{}, dhcp.ErrNak
	}
	return m.grant, nil
}

func (m *memoryDHCP) Renew(ctx context.Context, l dhcp.Lease) (dhcp.Lease, error) {
	return m.Verify(ctx, l)
}

func (m *memoryDHCP) Rebind(ctx context.Context, l dhcp.Lease) (dhcp.Lease, error) {
	return m.Verify(ctx, l)
}

func (m *memoryDHCP) Release(l dhcp.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.released = append(m.released, l.Address)
	return nil
}
