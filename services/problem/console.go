package problem

// Codes of the console family.
const (
	// LineTooLong, LineNotText, QuoteOpen, BackslashLast: a line that is no
	// command line.
	LineTooLong   Code = "line-too-long"
	LineNotText   Code = "line-not-text"
	QuoteOpen     Code = "quote-open"
	BackslashLast Code = "backslash-last"
	// CommandUnknown: no command starts with {command}; CommandNear: {near} does.
	CommandUnknown Code = "command-unknown"
	CommandNear    Code = "command-near"
	// NotThisProduct: {command} is about media.
	NotThisProduct Code = "not-this-product"
	// WordUnknown: {command} goes on after {before} with one of {words} only.
	WordUnknown Code = "word-unknown"
	// WordsLeft: nothing fits after {before}, so {word} does not.
	WordsLeft Code = "words-left"
	// UsageOne and UsageMany: {command} ends too early.
	UsageOne  Code = "usage-one"
	UsageMany Code = "usage-many"
	// ArgumentBad: {value} is not {what}; {like} is one.
	ArgumentBad Code = "argument-bad"
	// ArgumentTwice: {value} is given twice.
	ArgumentTwice Code = "argument-twice"
	// NumberBad: {value} is no number of {min} to {max}.
	NumberBad Code = "number-bad"
	// HelpUnknown: there is no help on {command}.
	HelpUnknown Code = "help-unknown"
	// PermissionDenied: {role} does not permit {command}.
	PermissionDenied Code = "permission-denied"
	// AuditFailed: the audit line was not written, for {detail}.
	AuditFailed Code = "audit-failed"
	// NotConfirmed: the answer was not a capital Y.
	NotConfirmed Code = "not-confirmed"
	// NoAnswer: the input ended at a prompt for {what}.
	NoAnswer Code = "no-answer"
	// NoPassword: the input ended at a prompt for {what}, one of two.
	NoPassword Code = "no-password"
	// Interrupted: Ctrl-C at a prompt.
	Interrupted Code = "interrupted"
	// PasswordWrong: the current password is not the one that was typed.
	PasswordWrong Code = "password-wrong"
	// XMPPUnready: {missing} stands between here and enable; {command} mends it.
	XMPPUnready Code = "xmpp-unready"
	// XMPPEnabled: the running server needs its {what}.
	XMPPEnabled Code = "xmpp-enabled"
	// CertificateExpired: what is in use of {file} expired on {until}. A warning.
	CertificateExpired Code = "certificate-expired"
	// DomainBad: {domain} is no XMPP domain, for {reason}.
	DomainBad Code = "domain-bad"
	// SecretEmpty: no secret was given.
	SecretEmpty Code = "secret-empty"
	// ImportLine: line {line} of {file} is no account, for {reason}.
	ImportLine Code = "import-line"
	// ImportEmpty: {file} has no account.
	ImportEmpty Code = "import-empty"
	// RecordUnknown: there is no local record {record}.
	RecordUnknown Code = "record-unknown"
	// RecordTwice: the record {record} is there already.
	RecordTwice Code = "record-twice"
	// ZoneUnknown: {domain} is not forwarded to {server}.
	ZoneUnknown Code = "zone-unknown"
	// ZoneTwice: {domain} is forwarded to {server} already.
	ZoneTwice Code = "zone-twice"
	// NoAddress: {interface} has no address of its own to use.
	NoAddress Code = "no-address"
)

var console = map[Code]string{
	LineTooLong:        "the line is too long; a command takes 4096 bytes at most",
	LineNotText:        "the line holds control or broken characters; type it anew",
	QuoteOpen:          "a double quote is not closed; add the second one, or write \\\" for the character itself",
	BackslashLast:      "nothing follows the last backslash; write \\\\ for the character itself",
	CommandUnknown:     "there is no command '{command}'; 'help' lists all",
	CommandNear:        "there is no command '{command}'; did you mean '{near}'?",
	NotThisProduct:     "'{command}' is not part of this product, which is chat without calls and media; 'help' lists what is",
	WordUnknown:        "there is no command '{command}'; after '{before}' comes one of: {words}",
	WordsLeft:          "'{before}' takes nothing after it; leave out '{word}' and what follows, or put a value with blanks in double quotes",
	UsageOne:           "'{command}' is not complete; write: {usage}",
	UsageMany:          "'{command}' is not complete; go on with one of: {words}",
	ArgumentBad:        "'{value}' is not {what}; give one like {like}",
	ArgumentTwice:      "'{value}' is given twice; name it once",
	NumberBad:          "'{value}' is not a whole number of {min} to {max}; give one like {like}",
	HelpUnknown:        "there is no help on '{command}'; 'help' lists all commands",
	PermissionDenied:   "your role {role} does not permit '{command}'; log in as a user whose role does, such as admin",
	AuditFailed:        "the command was not run since it cannot be recorded in the audit log: {detail}; see that the state disk is not full ('ls', 'rm')",
	NotConfirmed:       "not confirmed, nothing was done; run it again and answer with a capital Y",
	NoAnswer:           "the input ended before the {what}, nothing was done; run it on a terminal, or give a line of standard input",
	NoPassword:         "the input ended before the {what}, nothing was done; run it on a terminal, or give the password on two lines of standard input",
	Interrupted:        "interrupted, nothing was done; run it again when ready",
	PasswordWrong:      "that is not your current password; try again, or have another admin type 'passwd <name>'",
	XMPPUnready:        "XMPP has no {missing} yet; type '{command}' first",
	XMPPEnabled:        "XMPP is enabled and needs its {what}; type 'xmpp disable' first",
	CertificateExpired: "{file}, which is in use, expired on {until}; replace it",
	DomainBad:          "'{domain}' cannot be an XMPP domain: {reason}; give a DNS name like example.com",
	SecretEmpty:        "no secret was given; copy it from 'xmpp callbridge list' of the first node, or let 'xmpp callbridge add' make one",
	ImportLine:         "line {line} of {file}: {reason}, nothing was imported; mend that line and upload the file again",
	ImportEmpty:        "{file} names no accounts; give a line 'name,password' for each",
	RecordUnknown:      "there is no local record '{record}'; 'dns' shows all",
	RecordTwice:        "the record '{record}' is there already; 'dns' shows all",
	ZoneUnknown:        "{domain} is not forwarded to {server}; 'dns' shows what is",
	ZoneTwice:          "{domain} is forwarded to {server} already; 'dns' shows all",
	NoAddress:          "interface {interface} has no static address; give it one with 'ipv4 {interface} add <address>/<prefix> <gateway>', or use 'ipv4 {interface} dhcp'",
}
