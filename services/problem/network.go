package problem

// Codes of the network family.
const (
	// InterfaceUnknown: {interface} is no name of an interface.
	InterfaceUnknown Code = "interface-unknown"
	// InterfaceAbsent: no NIC has the name {interface}; those with one are {present}.
	InterfaceAbsent Code = "interface-absent"
	// AddressBad: {address} cannot be that of {interface}, for {reason}.
	AddressBad Code = "address-bad"
	// GatewayBad: {gateway} cannot serve {interface}, for {reason}.
	GatewayBad Code = "gateway-bad"
	// SubnetTwice: {interface} and {other} would both be in {subnet}.
	SubnetTwice Code = "subnet-twice"
	// MTUBad: {mtu} is out of bounds for {interface}.
	MTUBad Code = "mtu-bad"
	// MTURefused: the NIC of {interface} does not take {mtu}.
	MTURefused Code = "mtu-refused"
	// HostnameBad: {hostname} is no host name.
	HostnameBad Code = "hostname-bad"
	// RecordBad: {record} is no local record, for {reason}.
	RecordBad Code = "record-bad"
	// RecordClash: {name} would be an alias and have other records too.
	RecordClash Code = "record-clash"
	// RecordLoop: the aliases of {name} lead back to it.
	RecordLoop Code = "record-loop"
	// ZoneBad: {domain} is no domain.
	ZoneBad Code = "zone-bad"
	// NameServerBad: {server} is no address of a name server.
	NameServerBad Code = "name-server-bad"
	// NoNameServer: there is none to ask for {name}.
	NoNameServer Code = "no-name-server"
	// NameServersSilent: {servers} gave no answer for {name}.
	NameServersSilent Code = "name-servers-silent"
	// LookupKindBad: {kind} cannot be looked up.
	LookupKindBad Code = "lookup-kind-bad"
	// LookupNameBad: {name} is no domain name.
	LookupNameBad Code = "lookup-name-bad"
	// HostNotFound: {host} has no address.
	HostNotFound Code = "host-not-found"
	// PingSilent: {host} at {address} did not reply.
	PingSilent Code = "ping-silent"
	// PingUnsent: the echo request to {host} was not sent, for {reason}.
	PingUnsent Code = "ping-unsent"
	// PingDenied: the kernel gives this process no ICMP socket.
	PingDenied Code = "ping-denied"
	// AddressFixed: the node is a process and {address} came with its start.
	AddressFixed Code = "address-fixed"
	// PortTaken: another program listens on {port} of {interface}.
	PortTaken Code = "port-taken"
	// PortDenied: this process may not listen on {port} of {interface}.
	PortDenied Code = "port-denied"
)

var network = map[Code]string{
	InterfaceUnknown:  "there is no interface '{interface}'; interfaces are a, b, c and d",
	InterfaceAbsent:   "interface {interface} has no network card; this machine has {present}: use that, or add a card to the machine",
	AddressBad:        "{address} cannot be the address of interface {interface}: {reason}; give 'ipv4 {interface} add <address>/<prefix> <gateway>', as in 10.0.0.5/24 10.0.0.1",
	GatewayBad:        "{gateway} cannot be the gateway of interface {interface}: {reason}; give a router of the same subnet, as in 'ipv4 {interface} add 10.0.0.5/24 10.0.0.1'",
	SubnetTwice:       "interfaces {interface} and {other} would both be in {subnet}; give one an address of another subnet, or type 'ipv4 {other} disable'",
	MTUBad:            "an MTU of {mtu} is out of bounds for interface {interface}; give 576 to 9216, as in 'iface {interface} mtu 1500'",
	MTURefused:        "the network card of interface {interface} does not take an MTU of {mtu}; give a smaller one, as in 'iface {interface} mtu 1500'",
	HostnameBad:       "'{hostname}' is not a host name; use letters, digits and hyphens, at most 63 to a label, as in 'hostname cb1'",
	RecordBad:         "'{record}' is not a record: {reason}; give A, AAAA, SRV or CNAME in zone-file form, as in 'dns add rr \"cb1.example.com. 86400 IN A 10.0.0.5\"'",
	RecordClash:       "{name} would be an alias (CNAME) and have other records too; delete one of them with 'dns del rr {name} <type>'",
	RecordLoop:        "the aliases (CNAME) of {name} lead back to it; point one of them to a name with an address",
	ZoneBad:           "'{domain}' is not a domain; give one like example.com, or . for all names",
	NameServerBad:     "'{server}' cannot be a name server; give the address of one, as in 'dns add forwardzone . 10.0.0.53'",
	NoNameServer:      "no name server is known for {name}; add one with 'dns add forwardzone . <address>', or the record itself with 'dns add rr <record>'",
	NameServersSilent: "no usable answer for {name} from {servers}; check that the address is right ('dns') and reachable ('ping')",
	LookupKindBad:     "'{kind}' cannot be looked up; use a, aaaa or srv",
	LookupNameBad:     "'{name}' is not a domain name; give one like cb1.example.com",
	HostNotFound:      "{host} has no address; check the name with 'dns lookup a {host}'",
	PingSilent:        "no reply from {host} ({address}); check the address, its link, and a firewall on the way",
	PingUnsent:        "cannot send to {host} ({reason}); check address and gateway with 'ipv4 a'",
	PingDenied:        "the kernel allows this process no ping; set net.ipv4.ping_group_range so that it holds the process's group",
	AddressFixed:      "this node is a process and its address {address} comes from '-a'; stop it and start it with another -a",
	PortDenied:        "this process may not listen on port {port} of interface {interface}; start it as root, or let it by 'sysctl net.ipv4.ip_unprivileged_port_start={port}'",
	PortTaken:         "another program listens on port {port} of interface {interface}; stop it, or use another port",
}
