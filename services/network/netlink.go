package network

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Netlink is the Kernel of this machine, or of the network namespace that the
// process is in.
type Netlink struct{}

var _ Kernel = Netlink{}

var errWatchEnded = errors.New("link events ended")

// Links implements Kernel.
func (Netlink) Links() ([]Link, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	links := make([]Link, 0, len(all))
	for _, l := range all {
		a := l.Attrs()
		links = append(links, Link{
			Index:   a.Index,
			Name:    a.Name,
			MAC:     strings.ToLower(a.HardwareAddr.String()),
			Up:      a.Flags&net.FlagUp != 0,
			Carrier: a.Flags&net.FlagRunning != 0,
			MTU:     a.MTU,
			Autoneg: autoneg(a.Name),
		})
	}
	return links, nil
}

func at(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// Rename implements Kernel.
func (k Netlink) Rename(index int, name string) error {
	if err := k.SetUp(index, false); err != nil {
		return err
	}
	if err := netlink.LinkSetName(at(index), name); err != nil {
		return fmt.Errorf("rename link %d to %s: %w", index, name, err)
	}
	return nil
}

// SetUp implements Kernel.
func (Netlink) SetUp(index int, up bool) error {
	set := netlink.LinkSetDown
	if up {
		set = netlink.LinkSetUp
	}
	if err := set(at(index)); err != nil {
		return fmt.Errorf("set link %d up=%v: %w", index, up, err)
	}
	return nil
}

// SetMTU implements Kernel.
func (Netlink) SetMTU(index, mtu int) error {
	if err := netlink.LinkSetMTU(at(index), mtu); err != nil {
		return fmt.Errorf("set MTU %d of link %d: %w", mtu, index, err)
	}
	return nil
}

// Addresses implements Kernel.
func (Netlink) Addresses(index int) ([]Address, error) {
	all, err := netlink.AddrList(at(index), netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list addresses of link %d: %w", index, err)
	}
	var addrs []Address
	for _, a := range all {
		addr := Address{Prefix: prefixOf(a.IPNet)}
		if a.ValidLft != math.MaxUint32 {
			addr.Valid = time.Duration(a.ValidLft) * time.Second
		}
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

// SetAddress implements Kernel.
func (Netlink) SetAddress(index int, a Address) error {
	n := &netlink.Addr{IPNet: netOf(a.Prefix)}
	if a.Valid > 0 {
		n.ValidLft = int(math.Ceil(a.Valid.Seconds()))
		n.PreferedLft = n.ValidLft
	}
	if err := netlink.AddrReplace(at(index), n); err != nil {
		return fmt.Errorf("set address %v of link %d: %w", a.Prefix, index, err)
	}
	return nil
}

// DelAddress implements Kernel.
func (Netlink) DelAddress(index int, p netip.Prefix) error {
	if err := netlink.AddrDel(at(index), &netlink.Addr{IPNet: netOf(p)}); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove address %v of link %d: %w", p, index, err)
	}
	return nil
}

// Routes implements Kernel.
func (Netlink) Routes(index int) ([]Route, error) {
	all, err := netlink.RouteListFiltered(netlink.FAMILY_V4,
		&netlink.Route{LinkIndex: index, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes of link %d: %w", index, err)
	}
	var routes []Route
	for _, r := range all {
		dst := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if r.Dst != nil {
			dst = prefixOf(r.Dst)
		}
		routes = append(routes, Route{
			Destination: dst,
			Gateway:     addrOf(r.Gw),
			Source:      addrOf(r.Src),
			Metric:      r.Priority,
			OnLink:      r.Flags&int(netlink.FLAG_ONLINK) != 0,
			Connected:   r.Protocol == unix.RTPROT_KERNEL,
		})
	}
	return routes, nil
}

// AddRoute implements Kernel.
func (Netlink) AddRoute(index int, r Route) error {
	if err := netlink.RouteAdd(routeOf(index, r)); err != nil {
		return fmt.Errorf("add route to %v by %v: %w", r.Destination, r.Gateway, err)
	}
	return nil
}

// DelRoute implements Kernel.
func (Netlink) DelRoute(index int, r Route) error {
	if err := netlink.RouteDel(routeOf(index, r)); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("remove route to %v by %v: %w", r.Destination, r.Gateway, err)
	}
	return nil
}

func routeOf(index int, r Route) *netlink.Route {
	n := &netlink.Route{
		LinkIndex: index,
		Table:     unix.RT_TABLE_MAIN,
		Dst:       netOf(r.Destination),
		Priority:  r.Metric,
		Protocol:  unix.RTPROT_STATIC,
		Scope:     netlink.SCOPE_LINK,
	}
	if r.Gateway.IsValid() {
		n.Gw, n.Scope = r.Gateway.AsSlice(), netlink.SCOPE_UNIVERSE
	}
	if r.OnLink {
		n.Flags = int(netlink.FLAG_ONLINK)
	}
	return n
}

// Watch implements Kernel.
func (Netlink) Watch(ctx context.Context, changed func()) error {
	updates := make(chan netlink.LinkUpdate, 16)
	done := make(chan struct{})
	var failed error
	err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{
		// It is called before updates is closed, by the same goroutine.
		ErrorCallback: func(err error) { failed = err },
	})
	if err != nil {
		return fmt.Errorf("watch links: %w", err)
	}
	changed()
	for {
		select {
		case _, ok := <-updates:
			if !ok {
				close(done)
				return fmt.Errorf("%w: %w", errWatchEnded, failed)
			}
			changed()
		case <-ctx.Done():
			close(done)
			// The library's goroutine ends once it has closed updates.
			for range updates {
			}
			return ctx.Err()
		}
	}
}

func prefixOf(n *net.IPNet) netip.Prefix {
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addrOf(n.IP), ones)
}

func netOf(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
