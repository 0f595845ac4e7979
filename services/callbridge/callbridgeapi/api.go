// Package callbridgeapi is what the Call Bridge offers console, Webadmin and
// tests over its control socket: the types, the client, and the handler that
// puts a bridge behind it. It holds no state and decides nothing.
package callbridgeapi

import (
	"context"
	"net/netip"
	"time"

	"parley/services/problem"
)

// API is the Call Bridge as others see it. *Client and the service implement
// it. Errors that a person can mend are problems.
type API interface {
	Status(ctx context.Context) (Status, error)
	// Reload takes live.json as it now is.
	Reload(ctx context.Context) error
	// Restart drops the connection and begins anew.
	Restart(ctx context.Context) error
	// Test walks DNS, TCP, TLS and authentication for every target of the
	// configuration, without touching the connection that there is.
	Test(ctx context.Context) ([]Step, error)

	// Directory is what is known of the LDAP server.
	Directory(ctx context.Context) (Directory, error)
	// TestDirectory walks DNS, TCP, TLS, log-in and a search for the LDAP
	// server of the settings. Without one it is a problem.
	TestDirectory(ctx context.Context) ([]Step, error)
	// ProbeDirectory asks the LDAP server for one user, and returns why it does
	// not answer. Without one it is a problem.
	ProbeDirectory(ctx context.Context) error
	// SyncDirectory has the LDAP server list its users now, and returns when
	// it has; a problem says why it could not.
	SyncDirectory(ctx context.Context) (Directory, error)
}

// Directory is the LDAP server at one moment.
type Directory struct {
	// Configured says that the settings have one; without it all else is zero.
	// While the settings are not known it is true, and Server empty.
	Configured bool `json:"configured"`
	// Server is "ldap.example.com:389", and TLS "starttls", "ldaps" or "none",
	// with what the configuration leaves out filled in.
	Server string `json:"server,omitempty"`
	TLS    string `json:"tls,omitempty"`
	// Offered says that XMPP may ask this Call Bridge for passwords now.
	Offered bool `json:"offered"`
	// Unsure says that the database does not answer, so the settings are those
	// that it had when it did.
	Unsure bool `json:"unsure,omitempty"`
	// Users is how many it listed at Synced, the last time that it did.
	Users  int       `json:"users"`
	Synced time.Time `json:"synced,omitzero"`
	// Unfit counts those who were not listed, since no chat address can be made
	// of their names, like Like.
	Unfit int    `json:"unfit,omitempty"`
	Like  string `json:"like,omitempty"`
	// Trouble is why it could not be asked at TroubleAt, "" since it could;
	// Problem is the same, where a person can mend it.
	Trouble   string           `json:"trouble,omitempty"`
	Problem   *problem.Problem `json:"problem,omitempty"`
	TroubleAt time.Time        `json:"trouble_at,omitzero"`
	// ListOnly says that this concerns the list of users alone: passwords are
	// checked.
	ListOnly bool `json:"list_only,omitempty"`
	// Next is when the users are listed again.
	Next time.Time `json:"next,omitzero"`
}

// State of the connection.
type State string

// The states.
const (
	// Off: not enabled. Unconfigured: enabled, and no name or domain is set.
	Off          State = "off"
	Unconfigured State = "not configured"
	Connecting   State = "connecting"
	Connected    State = "connected"
	Failed       State = "failed"
)

// Reason of a failure, in the article's words.
type Reason string

// The reasons.
const (
	DNSError              Reason = "dns error"
	ConnectionFailure     Reason = "connection failure"
	TLSFailure            Reason = "certificate failure"
	AuthenticationFailure Reason = "authentication failure"
	ServiceUnavailable    Reason = "service unavailable"
)

// Status is the bridge at one moment.
type Status struct {
	State State `json:"state"`
	// Since is when State last changed.
	Since time.Time `json:"since,omitzero"`
	// Name and Domain are the configuration's.
	Name   string `json:"name,omitempty"`
	Domain string `json:"domain,omitempty"`
	// Server is the target's name as it is connected to, or was tried last;
	// "localhost" where it is this node's own. Address is where it was found.
	Server  string         `json:"server,omitempty"`
	Address netip.AddrPort `json:"address,omitzero"`
	// Reason and Detail tell of the last failure, at FailedAt; they stay until
	// the next connection lasts or the settings change. Hint is the command that mends it.
	Reason   Reason    `json:"reason,omitempty"`
	Detail   string    `json:"detail,omitempty"`
	Hint     string    `json:"hint,omitempty"`
	FailedAt time.Time `json:"failed_at,omitzero"`
	// Next is when it is tried again, while Failed.
	Next time.Time `json:"next,omitzero"`
	// XMPPRow and AuthenticationRow are the values of the rows "XMPP
	// connection" and "Authentication service" of Status > General.
	XMPPRow           string `json:"xmpp_row"`
	AuthenticationRow string `json:"authentication_row"`
}

// Step is one step of Test or TestDirectory.
type Step struct {
	// Target is a server's name, "" for the look-up of all of them.
	Target string `json:"target,omitempty"`
	// What was done: "DNS SRV", "DNS A", "TCP", "TLS", "authentication"; of
	// TestDirectory "DNS", "TCP", "TLS", "log-in", "users".
	What string `json:"what"`
	OK   bool   `json:"ok"`
	// Detail is what was asked of whom and what came back; Hint the command
	// that mends it.
	Detail string        `json:"detail,omitempty"`
	Hint   string        `json:"hint,omitempty"`
	Took   time.Duration `json:"took"`
}
