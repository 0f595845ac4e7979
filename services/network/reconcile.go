package network

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"parley/services/config"
	"parley/services/network/dhcp"
	"parley/services/problem"
)

// want is what a link should be like.
type want struct {
	up bool
	// mtu is 0 where it may stay what it is.
	mtu int
	// keep leaves addresses and routes alone: a lease that an earlier run
	// of the service got is still in use, and soon asked for again.
	keep      bool
	addresses []Address
	routes    []Route
}

// The metric of routes: the default interface's gateway is taken for new
// connections. Those of other interfaces stand behind it, so that a socket
// bound to such an interface finds its way back, and come to use when the
// default interface loses its own.
const (
	defaultMetric = 100
	otherMetric   = 200
)

// wanted is what the interface should be like by the document and, with DHCP,
// by its lease, which may be nil. ordinary is the MTU that the NIC came with.
func wanted(d config.Document, name string, lease *dhcp.Lease, ordinary int, now time.Time) want {
	i := d.Interfaces[name]
	if !i.IPv4.Enabled {
		return want{mtu: cmp.Or(i.MTU, ordinary)}
	}
	w := want{up: true, mtu: cmp.Or(i.MTU, ordinary)}
	metric := defaultMetric
	if name != defaultInterface(d) {
		metric = otherMetric + slices.Index(Names, name)
	}
	route := func(dst netip.Prefix, gw netip.Addr, in netip.Prefix) {
		r := Route{Destination: dst, Gateway: gw, Metric: metric}
		if gw.IsUnspecified() {
			r.Gateway = netip.Addr{}
		}
		r.OnLink = r.Gateway.IsValid() && !in.Contains(gw)
		w.routes = append(w.routes, r)
	}
	all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	switch {
	case !i.IPv4.DHCP:
		if p := i.IPv4.Address; p.IsValid() {
			w.addresses = []Address{{Prefix: p}}
			if i.IPv4.Gateway.IsValid() {
				route(all, i.IPv4.Gateway, p)
			}
		}
	case lease != nil && (lease.Expires.IsZero() || now.Before(lease.Expires)):
		a := Address{Prefix: lease.Address}
		if !lease.Expires.IsZero() {
			a.Valid = lease.Expires.Sub(now)
		}
		w.addresses = []Address{a}
		w.mtu = cmp.Or(i.MTU, lease.MTU, ordinary)
		if lease.Gateway.IsValid() {
			route(all, lease.Gateway, lease.Address)
		}
		for _, r := range lease.Routes {
			route(r.Destination, r.Gateway, lease.Address)
		}
	}
	return w
}

// defaultInterface is the one whose gateway is the default route.
func defaultInterface(d config.Document) string {
	for _, name := range Names {
		if v4 := d.Interfaces[name].IPv4; v4.Enabled && v4.Default {
			return name
		}
	}
	return Names[0]
}

// reconcile changes what of the links is not as wanted, and nothing else: a
// connection over an interface that stays as it is does not notice. What must
// go goes first on all links, for an address may move from one to another. It
// goes on after an error and returns them all.
func reconcile(k Kernel, links map[string]Link, wants map[string]want) error {
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	names := slices.Sorted(maps.Keys(wants))
	for _, name := range names {
		// A server may lease an MTU that the card does not take; the
		// address is good all the same.
		add(setMTU(k, name, links[name], wants[name].mtu))
		add(takeAway(k, links[name], wants[name]))
	}
	for _, name := range names {
		add(bringUp(k, links[name], wants[name]))
	}
	return errors.Join(errs...)
}

func setMTU(k Kernel, name string, l Link, mtu int) error {
	if mtu == 0 || mtu == l.MTU {
		return nil
	}
	err := k.SetMTU(l.Index, mtu)
	if errors.Is(err, unix.EINVAL) {
		return problem.New(problem.MTURefused, "interface", name, "mtu", fmt.Sprint(mtu))
	}
	return err
}

func takeAway(k Kernel, l Link, w want) error {
	if !w.keep {
		routes, err := k.Routes(l.Index)
		if err != nil {
			return err
		}
		for _, r := range routes {
			if !r.Connected && !slices.ContainsFunc(w.routes, r.same) {
				if err := k.DelRoute(l.Index, r); err != nil {
					return err
				}
			}
		}
		addrs, err := k.Addresses(l.Index)
		if err != nil {
			return err
		}
		for _, a := range addrs {
			if !slices.ContainsFunc(w.addresses, func(w Address) bool { return w.Prefix == a.Prefix }) {
				if err := k.DelAddress(l.Index, a.Prefix); err != nil {
					return err
				}
			}
		}
	}
	if !w.up && l.Up {
		return k.SetUp(l.Index, false)
	}
	return nil
}

// bringUp reads again what takeAway may have changed: the kernel removes
// routes by itself when an address goes.
func bringUp(k Kernel, l Link, w want) error {
	if w.up && !l.Up {
		if err := k.SetUp(l.Index, true); err != nil {
			return err
		}
	}
	if w.keep {
		return nil
	}
	have, err := k.Addresses(l.Index)
	if err != nil {
		return err
	}
	for _, a := range w.addresses {
		i := slices.IndexFunc(have, func(h Address) bool { return h.Prefix == a.Prefix })
		if i >= 0 && have[i].Valid == 0 && a.Valid == 0 {
			continue
		}
		if err := k.SetAddress(l.Index, a); err != nil {
			return err
		}
	}
	routes, err := k.Routes(l.Index)
	if err != nil {
		return err
	}
	for _, r := range w.routes {
		if slices.ContainsFunc(routes, r.same) {
			continue
		}
		if err := k.AddRoute(l.Index, r); err != nil {
			return err
		}
	}
	return nil
}

// same compares what decides where packets go.
func (r Route) same(o Route) bool {
	return r.Destination == o.Destination && r.Gateway == o.Gateway && r.Metric == o.Metric
}
