package problem

// Codes of the directory family: the LDAP server that the Call Bridge asks.
const (
	// DirectoryUnset: there is none.
	DirectoryUnset Code = "directory-unset"
	// DirectorySetting: {value} cannot be what {field} holds, for {reason}.
	DirectorySetting Code = "directory-setting"
	// DirectoryUnknown: {host} has no address; what was said is {answers}.
	DirectoryUnknown Code = "directory-unknown"
	// DirectoryUnreachable: no connection to {address}, on {host}, for {reason}.
	DirectoryUnreachable Code = "directory-unreachable"
	// DirectoryTrust: {file} holds no certificate that can be read.
	DirectoryTrust Code = "directory-trust"
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
	// DirectoryRefused: {address} refused {what}: {reason}.
	DirectoryRefused Code = "directory-refused"
	// DirectorySilent: {address} did not answer {what}.
	DirectorySilent Code = "directory-silent"
	// DirectoryAmbiguous: the entries {one} and {other} are both {user}.
	DirectoryAmbiguous Code = "directory-ambiguous"
)

var directory = map[Code]string{
	DirectoryUnset:       "no LDAP server is set; give Address in Configuration > Active Directory",
	DirectorySetting:     "'{value}' cannot be the directory's {field}: {reason}; correct {field} in Configuration > Active Directory",
	DirectoryUnknown:     "the LDAP server {host} has no address ({answers}); correct Address, or see 'dns lookup a {host}'",
	DirectoryUnreachable: "no connection to the LDAP server {address}: {reason}; check Address and Port, that the server runs, and 'ping {host}'",
	DirectoryTrust:       "{file} holds no certificate that can be read; put the authority's certificate, in PEM or DER form, and see 'pki inspect {file}'",
	DirectoryCertificate: "the certificate {certificate} of the LDAP server {address} {reason}; {fix}",
	DirectoryNoStartTLS:  "the LDAP server {address} does not do StartTLS ({reason}); set TLS to ldaps and Port to 636, or switch StartTLS on there",
	DirectoryNoTLS:       "no TLS with the LDAP server {address}: {reason}; {other}, or check the server's certificate",
	DirectoryInsecure:    "the LDAP server {address} wants TLS ({reason}); set TLS to starttls or ldaps in Configuration > Active Directory",
	DirectoryBind:        "the LDAP server {address} refused the log-in of {username}: {reason}; correct Username and Password in Configuration > Active Directory",
	DirectoryBase:        "'{base}' is not on the LDAP server {address}: {reason}; correct Base distinguished name in Configuration > Active Directory",
	DirectoryLimit:       "the LDAP server {address} does not list all users ({reason}); narrow Filter, or raise the limit for the service account there",
	DirectoryRefused:     "the LDAP server {address} refused {what}: {reason}; check Username and Filter in Configuration > Active Directory",
	DirectorySilent:      "the LDAP server {address} gave no answer to {what}; check its load and the way to it with 'ping'",
	DirectoryAmbiguous:   "two entries of the LDAP server are user {user}, {one} and {other}; narrow Filter, or give one another name there",
}
