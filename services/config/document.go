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
	CallBridge CallBridge           `json:"callbridge,omitzero"`
	Directory  Directory            `json:"directory,omitzero"`
	Webadmin   Webadmin             `json:"webadmin,omitzero"`
	Database   Database             `json:"database,omitzero"`
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
	// Listen names the interfaces on which others may ask this node.
	Listen []string `json:"listen,omitempty"`
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

// CallBridge is the component of this node. It is on where Enabled.
type CallBridge struct {
	Enabled bool `json:"enabled,omitempty"`
	// Listen, Key, Certificate and Bundle are as XMPP's; the bridge itself
	// needs none of them to connect.
	Listen      []string `json:"listen,omitempty"`
	Key         string   `json:"key,omitempty"`
	Certificate string   `json:"certificate,omitempty"`
	Bundle      string   `json:"bundle,omitempty"`
	// Trust names the file of certificates that XMPP servers are trusted by;
	// empty: those of the system.
	Trust string     `json:"trust,omitempty"`
	XMPP  BridgeLink `json:"xmpp,omitzero"`
}

// BridgeLink is the article's form: "XMPP server settings".
type BridgeLink struct {
	// Name is the unique Call Bridge name, without a domain part.
	Name   string `json:"name,omitempty"`
	Domain string `json:"domain,omitempty"`
	// Server is host[:port]; empty: found by SRV.
	Server string `json:"server,omitempty"`
	Secret Secret `json:"secret,omitempty"`
}

// Directory is the LDAP or Active Directory server that users are checked
// against whose account is not in the store.
type Directory struct {
	// Address is a host name or address; empty: there is none. Port is 389 or
	// 636, TLS is "starttls", "ldaps" or "none".
	Address string `json:"address,omitempty"`
	Port    int    `json:"port,omitempty"`
	TLS     string `json:"tls,omitempty"`
	// Trust names the file of certificates that it is trusted by; empty:
	// those of the system.
	Trust    string `json:"trust,omitempty"`
	Username string `json:"username,omitempty"`
	Password Secret `json:"password,omitempty"`
	BaseDN   string `json:"base_dn,omitempty"`
	Filter   string `json:"filter,omitempty"`
	// User is the mapping of the field "Username mapping", such as
	// $sAMAccountName$, and DisplayName of that one.
	User        string `json:"user,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
}

// Webadmin is the web interface.
type Webadmin struct {
	Enabled bool `json:"enabled,omitempty"`
	// Listen names one interface; Port is 443 where it is 0.
	Listen      string `json:"listen,omitempty"`
	Port        int    `json:"port,omitempty"`
	Key         string `json:"key,omitempty"`
	Certificate string `json:"certificate,omitempty"`
	Bundle      string `json:"bundle,omitempty"`
	// Redirect has port 80 of the interface lead to HTTPS.
	Redirect bool `json:"redirect,omitempty"`
}

// Database is how this node reaches the Call Bridges' database on others, and
// they it here. Whether it is clustered, and with whom, the database knows.
type Database struct {
	// Interface is the one that the other nodes reach it by.
	Interface string `json:"interface,omitempty"`
	// A node that only connects to a cluster has no server's key and
	// certificate.
	ServerKey         string `json:"server_key,omitempty"`
	ServerCertificate string `json:"server_certificate,omitempty"`
	ClientKey         string `json:"client_key,omitempty"`
	ClientCertificate string `json:"client_certificate,omitempty"`
	// CA names the file of the authority that all of them are of.
	CA string `json:"ca,omitempty"`
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
	d.DNS.Listen = slices.Clone(d.DNS.Listen)
	d.XMPP.Listen = slices.Clone(d.XMPP.Listen)
	d.CallBridge.Listen = slices.Clone(d.CallBridge.Listen)
	return d
}
