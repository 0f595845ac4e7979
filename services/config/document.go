package config

import (
	"maps"
	"net/netip"
	"slices"
)

// Document is the whole configuration of a node, as live.json holds it. It is
// plain data: whoever gets one owns it.
type Document struct {
	// Hostname is the node's name, without a domain or fully qualified.
	Hostname string `json:"hostname"`
	// Interfaces by name, a to d.
	Interfaces map[string]Interface `json:"interfaces"`
	DNS        DNS                  `json:"dns"`
	XMPP       XMPP                 `json:"xmpp"`
}

// Interface is one NIC. A NIC keeps its name by its MAC.
type Interface struct {
	// MAC pins the name to a NIC, written like 52:54:00:12:34:56. Empty
	// until the NIC was first seen.
	MAC string `json:"mac,omitempty"`
	// MTU in bytes; 0 is the link's default.
	MTU  int  `json:"mtu,omitempty"`
	IPv4 IPv4 `json:"ipv4"`
}

// IPv4 is an interface's address configuration.
type IPv4 struct {
	Enabled bool `json:"enabled"`
	// DHCP takes address, gateway and name servers from a lease; Address
	// and Gateway are then not used but kept.
	DHCP bool `json:"dhcp"`
	// Default makes this interface's gateway the default route. Where no
	// interface has it, a has.
	Default bool         `json:"default"`
	Address netip.Prefix `json:"address,omitzero"`
	Gateway netip.Addr   `json:"gateway,omitzero"`
}

// DNS is the resolver's configuration.
type DNS struct {
	Zones []ForwardZone `json:"forwardzones,omitempty"`
	// Records in zone-file form; they win over any server's answer.
	Records []string `json:"records,omitempty"`
}

// ForwardZone sends the names below Domain ("." for all) to Server.
type ForwardZone struct {
	Domain string         `json:"domain"`
	Server netip.AddrPort `json:"server"`
}

// XMPP is what one node configures of its XMPP server. Call Bridges and chat
// accounts are not here: they are in the replicated store.
type XMPP struct {
	Enabled bool   `json:"enabled"`
	Domain  string `json:"domain,omitempty"`
	// Listen names interfaces.
	Listen []string `json:"listen,omitempty"`
	// Key, Certificate and Bundle name files of the SFTP root. Bundle may
	// be empty: intermediates first, the root last.
	Key         string  `json:"key,omitempty"`
	Certificate string  `json:"certificate,omitempty"`
	Bundle      string  `json:"bundle,omitempty"`
	Cluster     Cluster `json:"cluster,omitzero"`
}

// Cluster is how this node takes part in a cluster of XMPP servers. Whether it
// is a member, and of which, is in the replicated store.
type Cluster struct {
	Enabled bool `json:"enabled,omitempty"`
	// Trust names the file of certificates that the nodes trust each other by.
	Trust string `json:"trust,omitempty"`
}

// Default is the configuration of a node that nobody has set up.
func Default() Document {
	return Document{
		Hostname:   "parley",
		Interfaces: map[string]Interface{"a": {IPv4: IPv4{Enabled: true, DHCP: true, Default: true}}},
	}
}

// Clone returns a copy that shares nothing with d.
func (d Document) Clone() Document {
	d.Interfaces = maps.Clone(d.Interfaces)
	d.DNS.Zones = slices.Clone(d.DNS.Zones)
	d.DNS.Records = slices.Clone(d.DNS.Records)
	d.XMPP.Listen = slices.Clone(d.XMPP.Listen)
	return d
}
