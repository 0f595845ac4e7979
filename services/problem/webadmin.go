package problem

// Codes of Webadmin.
const (
	// WebadminUnready: {missing} is set by {command}, which comes first.
	WebadminUnready Code = "webadmin-unready"
	// WebadminEnabled: the running Webadmin needs its {what}.
	WebadminEnabled Code = "webadmin-enabled"
	// WebadminPort: {port} is used by {use}; WebadminPortDenied: the process may not have it.
	WebadminPort       Code = "webadmin-port"
	WebadminPortDenied Code = "webadmin-port-denied"
	// WebadminRole: users of {role} have no pages, or not this one.
	WebadminRole Code = "webadmin-role"
	// LoginsTooMany: from one address; {seconds} to wait.
	LoginsTooMany Code = "logins-too-many"
	// FormStale: a form was sent that this session was not given.
	FormStale Code = "form-stale"
	// FormLarge: more than {max} were sent; a file has {file} at most.
	FormLarge Code = "form-large"
	// CredentialsMissing: a program did not say who it is.
	CredentialsMissing Code = "credentials-missing"
	// UploadKind: {file} holds nothing that is taken; UploadExists: there is one.
	UploadKind   Code = "upload-kind"
	UploadExists Code = "upload-exists"
	// PageUnknown: there is no page {page}.
	PageUnknown Code = "page-unknown"
	// FieldMissing: the form's field {field} is empty.
	FieldMissing Code = "field-missing"
	// SecretsDiffer: the secret and its confirmation.
	SecretsDiffer Code = "secrets-differ"
	// PasswordAgain: the LDAP server is another, or is reached in another way.
	PasswordAgain Code = "password-again"
	// CallBridgeOff: the form is filled in, and the Call Bridge is disabled.
	CallBridgeOff Code = "callbridge-off"
)

var webadmin = map[Code]string{
	WebadminUnready:    "Webadmin has no {missing} yet; type '{command}' first",
	WebadminEnabled:    "Webadmin is enabled and needs its {what}; type 'webadmin disable' first",
	WebadminPort:       "port {port} is for {use}; give another, as in 'webadmin listen a 445'",
	WebadminPortDenied: "this process may not listen on port {port}; give one above 1023, as in 'webadmin listen a 8443'",
	WebadminRole:       "your role {role} does not permit this in Webadmin; log in as a user of role admin, or appadmin for all but files",
	LoginsTooMany:      "too many logins were tried from your address; wait {seconds} seconds and try again",
	FormStale:          "the form belongs to another session; fill it in again and submit it",
	FormLarge:          "more than {max} were sent, which is not taken; a key or certificate has {file} at most, so choose another file",
	CredentialsMissing: "a name and a password are missing; send those of a user of role api or admin by HTTP Basic",
	UploadKind:         "{file} holds neither a key nor a certificate nor a request for one; choose a file in PEM or DER form",
	UploadExists:       "the file {file} exists already; choose it again and tick that it is to replace the old one, or rename yours",
	PageUnknown:        "there is no page {page}; choose one from the menu",
	FieldMissing:       "'{field}' is empty; fill it in",
	SecretsDiffer:      "'Shared secret' and 'Confirm shared secret' are not the same; type both again",
	PasswordAgain:      "the password is not sent to another server, or in another way, unawares; type it again below 'Password'",
	CallBridgeOff:      "the Call Bridge is disabled and does not connect; type 'callbridge enable' on the console",
}
