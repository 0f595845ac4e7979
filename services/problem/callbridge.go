package problem

// Codes of the Call Bridge's connection to the XMPP servers.
const (
	// LinkUnready: {missing} is set by {command}, which comes first.
	LinkUnready Code = "link-unready"
	// LinkDomain: {domain} is no XMPP domain; LinkServer: {server} is no
	// address of a server.
	LinkDomain Code = "link-domain"
	LinkServer Code = "link-server"
	// LinkTrust: XMPP servers cannot be trusted by {file}: {detail}.
	LinkTrust Code = "link-trust"
	// LinkEnabled: {command} needs the Call Bridge disabled.
	LinkEnabled Code = "link-enabled"
	// LinkTest: {failed} of {all} steps of the test {command} have failed.
	LinkTest Code = "link-test"
)

var callbridge = map[Code]string{
	LinkUnready: "the Call Bridge has no {missing} yet; type '{command}' first",
	LinkDomain:  "'{domain}' cannot be an XMPP domain; give the one that 'xmpp domain' has on the servers, as in 'callbridge xmpp domain tptac9.com'",
	LinkServer:  "'{server}' is not the address of a server; give a name or an address, with :<port> where it is not 5223, as in 'callbridge xmpp server cb1.tptac9.com'",
	LinkTrust:   "{file} cannot be what XMPP servers are trusted by: {detail}; give their certificates, or their authority's, in one file with 'callbridge trust <bundle>'",
	LinkEnabled: "the Call Bridge is enabled; type 'callbridge disable' before '{command}'",
	LinkTest:    "{failed} of {all} steps failed; do what stands beside the first of them, then '{command}' again",
}
