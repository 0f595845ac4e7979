package problem

// Codes of the directory family: the LDAP server that the Call Bridge asks.
const (
	// DirectoryUnset: there is none.
	DirectoryUnset Code = "directory-unset"
	// DirectoryIncomplete: {missing} is set by {command}, which comes first.
	DirectoryIncomplete Code = "directory-incomplete"
	// DirectorySetting: {value} cannot be what {field} holds, for {reason};
	// {command} sets it.
	DirectorySetting Code = "directory-setting"
	// DirectoryUnknown: {host} has no address; what was said is {answers}.
	DirectoryUnknown Code = "directory-unknown"
	// DirectoryUnreachable: no connection to {address}, on {host}, for {reason}.
	DirectoryUnreachable Code = "directory-unreachable"
	// DirectoryTrust: {file} holds no certificate that can be read.
	DirectoryTrust Code = "directory-trust"
	// DirectoryTrustFile: this node has no {file}, which the settings name.
	DirectoryTrustFile Code = "directory-trust-file"
	// DirectoryUnknownYet: the settings are not known, since nobody was asked yet.
	DirectoryUnknownYet Code = "directory-unknown-yet"
	// DirectoryOutdated: {address} refused the service account {username} for
	// {reason}, by settings that may not hold any more.
	DirectoryOutdated Code = "directory-outdated"
	// DirectoryCertificate: {certificate} of {address} is refused for {reason}; {fix}.
	DirectoryCertificate Code = "directory-certificate"
	// DirectoryNoStartTLS: {address} does not do StartTLS, for {reason}.
	DirectoryNoStartTLS Code = "directory-no-starttls"
	// DirectoryNoTLS: no TLS with {address} for {reason}; {other} may do.
	DirectoryNoTLS Code = "directory-no-tls"
	// DirectoryInsecure: {address} wants TLS, as {reason} says.
	DirectoryInsecure Code = "directory-insecure"
	// DirectoryBind: {address} refused the service account {username} for {reason}.
	DirectoryBind Code = "directory-bind"
	// DirectoryBase: {base} is not on {address}: {reason}.
	DirectoryBase Code = "directory-base"
	// DirectoryLimit: {address} did not list all, for {reason}.
	DirectoryLimit Code = "directory-limit"
	// DirectoryNobody: {address} has nobody below {base} whom {filter} selects and
	// who has the attribute of {mapping}.
	DirectoryNobody Code = "directory-nobody"
	// DirectoryNames: of none of the names that {address} has in {mapping}, like {like},
	// can a chat address be made.
	DirectoryNames Code = "directory-names"
	// DirectoryRefused: {address} refused {what}: {reason}.
	DirectoryRefused Code = "directory-refused"
	// DirectorySilent: {address} did not answer {what}.
	DirectorySilent Code = "directory-silent"
	// DirectoryAmbiguous: the entries {one} and {other} are both {user}.
	DirectoryAmbiguous Code = "directory-ambiguous"
)

var directory = map[Code]string{
	DirectoryUnset:       "no LDAP server is set; type 'callbridge directory address <address>', or give Address in Configuration > Active Directory",
	DirectoryIncomplete:  "the LDAP server's {missing} is not set; type '{command}', or fill it in in Configuration > Active Directory",
	DirectorySetting:     "'{value}' cannot be the directory's {field}: {reason}; correct it with '{command}', or in Configuration > Active Directory",
	DirectoryUnknown:     "the LDAP server {host} has no address ({answers}); see 'dns lookup a {host}', or correct 'callbridge directory address'",
	DirectoryUnreachable: "no connection to the LDAP server {address}: {reason}; check 'callbridge directory address' and 'port', that the server runs, and 'ping {host}'",
	DirectoryTrust:       "{file} holds no certificate that can be read; put the authority's certificate, in PEM or DER form, and see 'pki inspect {file}'",
	DirectoryTrustFile:   "the directory's settings name {file} as trust bundle, and this node has no such file; put {file} here by SFTP, on each node, or name another with 'callbridge directory trust'",
	DirectoryUnknownYet:  "the directory's settings have not been read from the database yet; see 'database cluster status' if it stays so",
	DirectoryOutdated:    "the LDAP server {address} refused the log-in of {username}: {reason}; this node's settings may be outdated, as its database does not answer, so they are not tried again until it does: see 'database cluster status'",
	DirectoryCertificate: "the certificate {certificate} of the LDAP server {address} {reason}; {fix}",
	DirectoryNoStartTLS:  "the LDAP server {address} does not do StartTLS ({reason}); 'callbridge directory port 636' with 'tls ldaps' may do, or switch StartTLS on there",
	DirectoryNoTLS:       "no TLS with the LDAP server {address}: {reason}; {other}, or check the server's certificate",
	DirectoryInsecure:    "the LDAP server {address} wants TLS ({reason}); use 'callbridge directory tls starttls' or 'tls ldaps'",
	DirectoryBind:        "the LDAP server {address} refused the log-in of {username}: {reason}; correct 'callbridge directory username' and 'callbridge directory password'",
	DirectoryBase:        "'{base}' is not on the LDAP server {address}: {reason}; correct 'callbridge directory basedn'",
	DirectoryLimit:       "the LDAP server {address} does not list all users ({reason}); narrow 'callbridge directory filter', or raise the limit for the service account there",
	DirectoryNobody:      "Filter and Username mapping select nobody on the LDAP server {address}: below '{base}' no entry that passes {filter} has {mapping}; correct 'callbridge directory filter', 'callbridge directory user' or 'callbridge directory basedn', or let {username} read there",
	DirectoryNames:       "the LDAP server {address} has no user of whose {mapping} a chat address can be made, only names like '{like}'; name another attribute with 'callbridge directory user'",
	DirectoryRefused:     "the LDAP server {address} refused {what}: {reason}; check 'callbridge directory username' and 'callbridge directory filter'",
	DirectorySilent:      "the LDAP server {address} gave no answer to {what}; check its load and the way to it with 'ping'",
	DirectoryAmbiguous:   "two entries of the LDAP server are user {user}, {one} and {other}; narrow 'callbridge directory filter', or give one another name there",
}
