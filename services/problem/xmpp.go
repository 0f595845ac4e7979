package problem

// Codes of the XMPP service.
const (
	// UserExists and UserUnknown: chat account {name}.
	UserExists  Code = "user-exists"
	UserUnknown Code = "user-unknown"
	// UserName: {name} can't be the local part of an address.
	UserName Code = "user-name"
	// UserPassword: the password of {name} is empty or not preparable.
	UserPassword Code = "user-password"
	// BridgeExists, BridgeUnknown, BridgeName: Call Bridge {name}.
	BridgeExists  Code = "callbridge-exists"
	BridgeUnknown Code = "callbridge-unknown"
	BridgeName    Code = "callbridge-name"
	// BridgeSecret: the secret of {name} is too short or holds blanks.
	BridgeSecret Code = "callbridge-secret"
	// ListenFailed: {address} of interface {interface}: {detail}.
	ListenFailed Code = "listen-failed"
	// NoLeader: the replicated store takes no writes.
	NoLeader Code = "no-leader"
	// ChangeUnknown: the leader was lost before it was known whether a change is kept.
	ChangeUnknown Code = "change-unknown"
	// StoreFull: the state disk is full.
	StoreFull Code = "store-full"
	// StoreLocked: another process holds the store in {folder}.
	StoreLocked Code = "store-locked"
	// StoreDamaged: {file} of the store is not readable: {detail}.
	StoreDamaged Code = "store-damaged"
)

var xmpp = map[Code]string{
	UserExists:    "there is already a chat account {name}; use 'xmpp user passwd {name}' for a new password, or 'xmpp user del {name}' first",
	UserUnknown:   "there is no chat account {name}; 'xmpp user list' shows them all",
	UserName:      "{name} cannot be the name of a chat account; use letters, digits, dot, dash and underscore, without the domain",
	UserPassword:  "the password of {name} is empty or has characters that are not allowed; use one of 1 to 1000 printable characters",
	BridgeExists:  "there is already a Call Bridge {name}; choose another name, or 'xmpp callbridge del {name}' first",
	BridgeUnknown: "there is no Call Bridge {name}; 'xmpp callbridge list' shows them all",
	BridgeName:    "{name} cannot be the name of a Call Bridge; use letters, digits and dashes, without the domain",
	BridgeSecret:  "this cannot be the secret of Call Bridge {name}; copy it whole from 'xmpp callbridge list' of the first node",
	ListenFailed:  "cannot listen on {address} of interface {interface}: {detail}; see 'ipv4 {interface}', or choose another with 'xmpp listen'",
	NoLeader:      "the replicated store takes no changes at the moment; try again in a few seconds, and see 'xmpp status' if it stays so",
	ChangeUnknown: "the leader of the cluster was lost at this moment, and the change may have been made or not; look, and repeat it if it is missing",
	StoreFull:     "the state disk is full; remove files with 'rm', see 'ls'",
	StoreLocked:   "another process has the XMPP store {folder} open; stop it first, or use another state folder",
	StoreDamaged:  "{file} of the XMPP store is damaged: {detail}; put its folder back from a backup, or make a new, empty store with 'xmpp reset'",
}
