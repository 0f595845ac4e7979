// Package networkapi is what the network service offers console, Webadmin and
// tests over its control socket: the types, the client, and the handler that
// puts a service behind it. It holds no state and decides nothing.
package networkapi

import (
	"context"
	"net/netip"
	"time"
)

// API is the network service as others see it. *Client, the service on the
// appliance and its twin in an ordinary process implement it. Errors that a
// person can mend are problems.
type API interface {
	Interfaces(ctx context.Context) ([]Interface, error)
	// Reload takes live.json as it now is. A problem means that nothing
	// has changed.
	Reload(ctx context.Context) error
	// NameServers are those that are asked where no forward zone fits.
	NameServers(ctx context.Context) ([]netip.AddrPort, error)
	// Lookup asks as the node's own services would: local records, then
	// the forward zones' servers, then those of the leases.
	Lookup(ctx context.Context, kind, name string) (Answer, error)
	FlushDNS(ctx context.Context) error
	// ForgetDenials has the cache ask anew for what was not there: who looks
	// whether a mistake is mended does not want to hear of it again.
	ForgetDenials(ctx context.Context) error
	// Ping sends one echo request and waits for the reply, at most a second.
	Ping(ctx context.Context, host string, seq int) (Echo, error)
}

// Interface is a NIC as it is now.
type Interface struct {
	Name string `json:"name"`
	MAC  string `json:"mac"`
	// Up says that the link has carrier.
	Up bool `json:"up"`
	// Autoneg, Speed (Mbit/s) and Duplex are empty where the NIC does not say.
	Autoneg   string         `json:"autoneg,omitempty"`
	Speed     int            `json:"speed,omitempty"`
	Duplex    string         `json:"duplex,omitempty"`
	MTU       int            `json:"mtu"`
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	Routes    []Route        `json:"routes,omitempty"`
	Lease     *Lease         `json:"lease,omitempty"`
}

// Route is one of an interface.
type Route struct {
	Source      netip.Addr   `json:"source,omitzero"`
	Destination netip.Prefix `json:"destination"`
	Gateway     netip.Addr   `json:"gateway,omitzero"`
	Global      bool         `json:"global"`
}

// Lease is what a DHCP server granted.
type Lease struct {
	Server  netip.Addr   `json:"server"`
	Address netip.Prefix `json:"address"`
	Gateway netip.Addr   `json:"gateway,omitzero"`
	DNS     []netip.Addr `json:"dns,omitempty"`
	Renew   time.Time    `json:"renew"`
	Expires time.Time    `json:"expires"`
}

// Answer is what a look-up gave.
type Answer struct {
	// Server that has said so, now or when the cache took it; zero for a local
	// record.
	Server netip.AddrPort `json:"server,omitzero"`
	// Source is "local record", "cache" or "server".
	Source string `json:"source"`
	// Records in zone-file form, with the TTL left.
	Records []string `json:"records"`
	// Code is the RCODE: NOERROR, NXDOMAIN …
	Code string        `json:"code"`
	Took time.Duration `json:"took"`
}

// Origin is who has said so, for people: the server, without the usual port, or
// "local record".
func (a Answer) Origin() string {
	if !a.Server.IsValid() {
		return a.Source
	}
	origin := a.Server.String()
	if a.Server.Port() == 53 {
		origin = a.Server.Addr().String()
	}
	if a.Source == "cache" {
		origin += " (cached)"
	}
	return origin
}

// Echo is a reply to a ping.
type Echo struct {
	From netip.Addr    `json:"from"`
	Seq  int           `json:"seq"`
	Took time.Duration `json:"took"`
}
