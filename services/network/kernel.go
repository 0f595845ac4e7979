package network

import (
	"context"
	"net/netip"
	"time"
)

// Kernel is the part of the kernel that the service drives: links, and the
// IPv4 addresses and routes of the main table. Netlink is the real one.
type Kernel interface {
	Links() ([]Link, error)
	// Rename also takes the link down, which the kernel asks for.
	Rename(index int, name string) error
	SetUp(index int, up bool) error
	SetMTU(index, mtu int) error
	Addresses(index int) ([]Address, error)
	// SetAddress adds an address or changes the lifetime of one.
	SetAddress(index int, a Address) error
	DelAddress(index int, p netip.Prefix) error
	Routes(index int) ([]Route, error)
	AddRoute(index int, r Route) error
	DelRoute(index int, r Route) error
	// Watch calls changed whenever links come, go or change, until ctx ends
	// or it fails; changed must not block.
	Watch(ctx context.Context, changed func()) error
}

// Link is a network device of any kind.
type Link struct {
	Index int
	Name  string
	MAC   string
	// Up is what was asked for; Carrier says that packets can pass.
	Up, Carrier bool
	MTU         int
	// Autoneg is on or off, or empty where the driver does not say.
	Autoneg string
}

// Address is one of a link.
type Address struct {
	Prefix netip.Prefix
	// Valid is how long the kernel keeps it; 0 is without end. An address
	// leased ends with its lease even if nobody is left to remove it.
	Valid time.Duration
}

// Route is one of a link.
type Route struct {
	Destination netip.Prefix
	// Gateway is invalid for what is on the link.
	Gateway netip.Addr
	// Source is the address that packets leave with, if the route says.
	Source netip.Addr
	Metric int
	// OnLink allows a gateway outside the link's subnets.
	OnLink bool
	// Connected marks a route that the kernel made for an address. It comes
	// and goes with that.
	Connected bool
}
