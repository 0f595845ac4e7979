// Package xmppapi is what the XMPP service offers console, Webadmin and tests
// over its control socket: the types, the client, and the handler that puts a
// server behind it. It holds no state and decides nothing.
package xmppapi

import (
	"context"
	"time"
)

// API is the XMPP service as others see it. *Client and the server implement
// it. Errors that a person can mend are problems.
type API interface {
	Status(ctx context.Context) (Status, error)
	// Reload takes live.json as it now is: opens and closes listeners,
	// loads certificates. A problem means that nothing has changed.
	Reload(ctx context.Context) error
	// Restart drops all connections and opens the doors again.
	Restart(ctx context.Context) error
	// Reset forgets the replicated store: accounts, rosters, messages,
	// Call Bridges. The caller clears live.json.
	Reset(ctx context.Context) error

	// AddCallBridge registers a component; an empty secret is generated.
	AddCallBridge(ctx context.Context, name, secret string) (CallBridge, error)
	DelCallBridge(ctx context.Context, name string) error
	CallBridges(ctx context.Context) ([]CallBridge, error)

	AddUser(ctx context.Context, u Credential) error
	DelUser(ctx context.Context, name string) error
	SetPassword(ctx context.Context, u Credential) error
	Users(ctx context.Context) ([]User, error)
	// ImportUsers adds all or, if one of them cannot be added, none.
	ImportUsers(ctx context.Context, us []Credential) error
}

// Status is the service at one moment.
type Status struct {
	// Running says that the doors are open: enabled, and listening.
	Running bool `json:"running"`
	// Addresses are the interfaces and ports that are listened on, "a:5222".
	Addresses []string `json:"addresses,omitempty"`
	// State is LEADER or FOLLOWER (or CANDIDATE), as Raft has it.
	State       string    `json:"state"`
	LastIndex   uint64    `json:"last_index"`
	StateChange time.Time `json:"state_change,omitzero"`
	// Sessions and Components are connected now, in number.
	Sessions   int `json:"sessions"`
	Components int `json:"components"`
	Accounts   int `json:"accounts"`
	// Pending messages wait for their recipient.
	Pending int `json:"pending"`
	// Expires is when the certificate in use ends; zero with none.
	Expires time.Time `json:"expires,omitzero"`
	// Trouble is why the doors are shut although enabled.
	Trouble string `json:"trouble,omitempty"`
}

// CallBridge is a registered component <Name>.<domain>.
type CallBridge struct {
	Name      string `json:"name"`
	Secret    string `json:"secret"`
	Connected bool   `json:"connected"`
}

// Credential is an account's name (the local part) and password.
type Credential struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// User is a chat account.
type User struct {
	Name string `json:"name"`
	// Sessions are the resources that are connected now.
	Sessions []string `json:"sessions,omitempty"`
	// Pending messages wait for this user.
	Pending int `json:"pending"`
}
