package problem

// Codes of the accounts family.
const (
	// AccountDenied: the name or the password is wrong; which is not told.
	AccountDenied Code = "account-denied"
	// AccountLocked: too many wrong passwords, until {until}.
	AccountLocked Code = "account-locked"
	// AccountUnknown: there is no user {name}.
	AccountUnknown Code = "account-unknown"
	// AccountExists: there is a user {name} already.
	AccountExists Code = "account-exists"
	// AccountName: {name} cannot be a user's name.
	AccountName Code = "account-name"
	// AccountRole: {role} is none of {roles}.
	AccountRole Code = "account-role"
	// AccountSelf: {name} wants to delete {name}.
	AccountSelf Code = "account-self"
	// AccountLastAdmin: {name} is the only user of role admin.
	AccountLastAdmin Code = "account-last-admin"
	// AccountsFull: no more users fit.
	AccountsFull Code = "accounts-full"
	// AccountMustChange: only an interactive login is allowed until the password was changed.
	AccountMustChange Code = "account-must-change"
	// AccountNoConsole: role {role} of {name} has neither console nor SFTP.
	AccountNoConsole Code = "account-no-console"
	// PasswordShort: fewer than {min} characters.
	PasswordShort Code = "password-short"
	// PasswordLong: more than {max} bytes.
	PasswordLong Code = "password-long"
	// PasswordCharacters: control characters or broken UTF-8.
	PasswordCharacters Code = "password-characters"
	// PasswordIsName: the password is the user's name.
	PasswordIsName Code = "password-is-name"
	// PasswordSame: the new password is the old one.
	PasswordSame Code = "password-same"
	// PasswordsDiffer: the second entry is not the first.
	PasswordsDiffer Code = "passwords-differ"
	// SSHKeyInvalid: the text is no SSH public key.
	SSHKeyInvalid Code = "ssh-key-invalid"
	// SSHKeyPrivate: the text is a private key.
	SSHKeyPrivate Code = "ssh-key-private"
	// SSHKeyWeak: keys of {type}, or so short, are not accepted.
	SSHKeyWeak Code = "ssh-key-weak"
	// SSHKeyExists: {name} has the key {fingerprint} already.
	SSHKeyExists Code = "ssh-key-exists"
	// SSHKeyUnknown: {name} has no key {key}.
	SSHKeyUnknown Code = "ssh-key-unknown"
	// SSHKeysFull: {name} has as many keys as one may.
	SSHKeysFull Code = "ssh-keys-full"
)

var accounts = map[Code]string{
	AccountDenied:      "wrong name or password; try again",
	AccountLocked:      "too many failed logins; wait until {until}, or have another admin type 'user unlock'",
	AccountUnknown:     "there is no user {name}; 'user list' shows all",
	AccountExists:      "user {name} exists already; choose another name, or type 'passwd {name}' to set its password",
	AccountName:        "'{name}' cannot be a user's name; use up to 32 letters, digits, dots, dashes and underscores, a letter first",
	AccountRole:        "there is no role '{role}'; use one of {roles}",
	AccountSelf:        "you are logged in as {name}; have another admin delete it",
	AccountLastAdmin:   "{name} is the last user of role admin; add another admin first",
	AccountsFull:       "no more users fit; delete one with 'user del <name>'",
	AccountMustChange:  "the password must be changed first; log in interactively once ('ssh -t' or the console) and set a new one",
	AccountNoConsole:   "user {name} of role {role} has no console and no SFTP; log in as a user of role admin, crypto or audit",
	PasswordShort:      "the password is too short; use at least {min} characters",
	PasswordLong:       "the password is too long; use at most {max} bytes",
	PasswordCharacters: "the password holds control or broken characters; use printable ones",
	PasswordIsName:     "the password is the user's name; choose another",
	PasswordSame:       "the new password is the old one; choose another",
	PasswordsDiffer:    "the two passwords are not the same; type it again",
	SSHKeyInvalid:      "this is no SSH public key; give one line of a .pub file without options, like 'ssh-ed25519 AAAA… name'",
	SSHKeyPrivate:      "this is a private key; give the public one (the .pub file), and treat this one as exposed",
	SSHKeyWeak:         "keys of type {type} and this size are too weak; use ed25519, ECDSA, or RSA of 2048 bits or more",
	SSHKeyExists:       "user {name} has the key {fingerprint} already; nothing needs to be done",
	SSHKeyUnknown:      "user {name} has no key '{key}'; give a fingerprint or comment as listed",
	SSHKeysFull:        "user {name} has too many keys; delete one first",
}
