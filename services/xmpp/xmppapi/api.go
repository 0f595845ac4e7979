// Package xmppapi is what the XMPP service offers console, Webadmin and tests
// over its control socket: the types, the client, and the handler that puts a
// server behind it. It holds no state and decides nothing.
package xmppapi

import (
	"context"
	"encoding/json"
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
	// Call Bridges. The caller clears live.json. A member takes itself out of
	// its cluster first; where it cannot, stillMember is the address that
	// the others have to remove. It is refused, and nothing has changed, where
	// those would be no majority without it.
	Reset(ctx context.Context) (stillMember string, err error)

	// Cluster is what this node knows of its cluster.
	Cluster(ctx context.Context) (Cluster, error)
	// ClusterInitialize makes this node a cluster of one, with what it has.
	// A member is made the only one only with again.
	ClusterInitialize(ctx context.Context, again bool) error
	// ClusterJoin joins the cluster of a node, given by address or name.
	// What the store has is dropped for the cluster's; where there are chat
	// accounts it needs discard. While it runs Cluster tells Activity.
	ClusterJoin(ctx context.Context, node string, discard bool) error
	// ClusterLeave takes this node out; it keeps a copy of the accounts.
	ClusterLeave(ctx context.Context) error
	// ClusterRemove takes another node out; one that can be reached only with
	// living, or it is refused as problem.ClusterLiving.
	ClusterRemove(ctx context.Context, node string, living bool) error

	// AddCallBridge registers a component; an empty secret is generated.
	AddCallBridge(ctx context.Context, name, secret string) (CallBridge, error)
	DelCallBridge(ctx context.Context, name string) error
	// DescribeCallBridge keeps what others have to say of one; it has no effect.
	DescribeCallBridge(ctx context.Context, name string, d Description) error
	CallBridges(ctx context.Context) ([]CallBridge, error)

	AddUser(ctx context.Context, u Credential) error
	DelUser(ctx context.Context, name string) error
	SetPassword(ctx context.Context, u Credential) error
	Users(ctx context.Context) ([]User, error)
	// ImportUsers adds all or, if one of them cannot be added, none.
	ImportUsers(ctx context.Context, us []Credential) error
}

// Examiner has the other members of the cluster examined. *Client and the server
// implement it. It is apart from API: it is for diagnosis alone.
type Examiner interface {
	// Examine gives in to the examiner of each other member, and returns their
	// answers, after some seconds at the latest. What in and the answers mean
	// is the examiners' matter. Outside a cluster there are none.
	Examine(ctx context.Context, in json.RawMessage) ([]Examined, error)
}

// Examined is what the examiner of a member has answered.
type Examined struct {
	// Address is "10.106.81.30:5222".
	Address string `json:"address"`
	// Out is the answer, and Failure why there is none.
	Out     json.RawMessage `json:"out,omitempty"`
	Failure string          `json:"failure,omitempty"`
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
	// Clustered says that this node is a member of a cluster.
	Clustered bool `json:"clustered"`
	// Sessions and Components are connected to this node now, in number.
	Sessions   int `json:"sessions"`
	Components int `json:"components"`
	Accounts   int `json:"accounts"`
	// Directory of them have their password in the directory, and Left of these
	// are not listed there any more.
	Directory int `json:"directory"`
	Left      int `json:"left"`
	// Pending messages wait for their recipient.
	Pending int `json:"pending"`
	// Expires is when the certificate in use ends; zero with none.
	Expires time.Time `json:"expires,omitzero"`
	// TrustExpires is when the first certificate of the trust bundle ends.
	TrustExpires time.Time `json:"trust_expires,omitzero"`
	// Trouble is why the doors are shut although enabled.
	Trouble string `json:"trouble,omitempty"`
}

// CallBridge is a registered component <Name>.<domain>.
type CallBridge struct {
	Name      string `json:"name"`
	Secret    string `json:"secret"`
	Connected bool   `json:"connected"`
	// Authenticates says that it offers to check passwords.
	Authenticates bool `json:"authenticates"`
	// Description is DescribeCallBridge's.
	Description Description `json:"description,omitzero"`
}

// Description is of a Call Bridge what the original's programs note with it, for
// calls between Call Bridges. Nothing here goes by it.
type Description struct {
	// Address is the URL of its API, SIPDomain the domain of calls to it.
	Address   string `json:"address,omitempty"`
	SIPDomain string `json:"sip_domain,omitempty"`
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
	// Directory says that the password is the directory's, and Call Bridges
	// check it; Left that the user is not in the directory any more.
	Directory bool `json:"directory,omitempty"`
	Left      bool `json:"left,omitempty"`
}

// Cluster is the cluster as one node knows it.
type Cluster struct {
	// Member says that this node is in a cluster.
	Member bool `json:"member"`
	// Outside says that the members, as far as this node knows, have taken it
	// out, and that it has yet to hear whether that is final: Nodes lacks it.
	Outside bool `json:"outside,omitempty"`
	// Leader says that one is known, so changes can be made.
	Leader bool `json:"leader"`
	// State is LEADER, FOLLOWER or CANDIDATE, and StateChange its last change.
	State       string    `json:"state"`
	StateChange time.Time `json:"state_change,omitzero"`
	// Nodes are all members, this one last.
	Nodes []Node `json:"nodes,omitempty"`
	// Margin is how many more nodes may fail, -1 where there is no majority.
	Margin int `json:"margin"`
	// Activity is what a join is waiting for, "" while there is none.
	Activity string `json:"activity,omitempty"`
}

// Node is a member.
type Node struct {
	// Address is "10.106.81.30:5222".
	Address string `json:"address"`
	Self    bool   `json:"self,omitempty"`
	Leader  bool   `json:"leader,omitempty"`
	// Learner has not caught up yet and has no vote.
	Learner bool `json:"learner,omitempty"`
	// Reachable now; Since is when that last changed.
	Reachable bool      `json:"reachable"`
	Since     time.Time `json:"since,omitzero"`
	// LastIndex of its log and Lag behind the leader's, in entries.
	LastIndex uint64 `json:"last_index"`
	Lag       uint64 `json:"lag"`
	Version   string `json:"version,omitempty"`
	// Clock is how far its clock is ahead of this node's.
	Clock time.Duration `json:"clock,omitempty"`
	// Sessions is the number of clients connected there, CallBridges the names
	// of the Call Bridges that are, as the node said a moment ago; none are known
	// of one that is not reachable.
	Sessions    int      `json:"sessions,omitempty"`
	CallBridges []string `json:"callbridges,omitempty"`
}
