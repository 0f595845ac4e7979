// Package databaseapi is what the database offers console, Call Bridge and
// tests over its control socket: the types, the client, and the handler that
// puts a server behind it. It holds no state and decides nothing.
package databaseapi

import (
	"context"
	"encoding/json"
)

// API is the database as others see it. *Client and the service implement it.
// Errors that a person can mend are problems.
type API interface {
	Status(ctx context.Context) (Status, error)
	// Reload takes live.json as it now is; while the database is clustered
	// a change of its part there is refused.
	Reload(ctx context.Context) error

	// Initialize makes this node's database a cluster of one, with what it
	// has. A member that has lost the majority, for good, is made the only one
	// with again.
	Initialize(ctx context.Context, again bool) error
	// Join replaces what this node has by what the cluster of node has, and
	// keeps it the same. While it runs Status tells Activity.
	Join(ctx context.Context, node string) error
	// Connect has this node use the cluster of node without a copy of its own.
	Connect(ctx context.Context, node string) error
	// Remove takes node out of the cluster, or this one where it is "": it
	// then has a copy to itself, or, if it was connected, what it had before.
	Remove(ctx context.Context, node string) error
	// ClearError forgets the last command if it failed.
	ClearError(ctx context.Context) error

	Records
}

// Records are tables of values by key. A change is on a majority of the nodes'
// disks when the call returns.
type Records interface {
	// Put sets all of them, or none if one is refused.
	Put(ctx context.Context, table string, records ...Record) error
	// Swap sets the value of a key that has the value old, nil for none; where
	// it has another it is refused as problem.RecordChanged.
	Swap(ctx context.Context, table string, old json.RawMessage, r Record) error
	// Delete removes keys; those that are not there are no error.
	Delete(ctx context.Context, table string, keys ...string) error
	// List returns a table's, ordered by key.
	List(ctx context.Context, table string) ([]Record, error)
}

// Record is a value under its key. In its table, a key is there once.
type Record struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// Mode is how a node takes part.
type Mode string

// The modes.
const (
	// Alone: it has its data to itself.
	Alone Mode = "alone"
	// Member: it has a copy of the cluster's.
	Member Mode = "member"
	// Connected: it uses a cluster without a copy.
	Connected Mode = "connected"
)

// Status is the database at one moment.
type Status struct {
	Mode Mode `json:"mode"`
	// Trouble is why it takes no changes, "" where it does.
	Trouble string `json:"trouble,omitempty"`
	// Nodes are all that have a copy, in the order of their addresses.
	Nodes []Node `json:"nodes,omitempty"`
	// InUse is the node that changes go to, "" where there is none.
	InUse string `json:"in_use,omitempty"`
	// Last is the last command that was to change the cluster.
	Last Command `json:"last,omitzero"`
	// Activity is what a join is waiting for, "" while there is none.
	Activity string `json:"activity,omitempty"`
}

// Majority says whether enough nodes are connected to agree on a primary. While
// they are, the cluster is not lost, and must not be founded again.
func (s Status) Majority() bool {
	voters, up := 0, 0
	for _, n := range s.Nodes {
		if n.Learner {
			continue
		}
		voters++
		if n.Connected {
			up++
		}
	}
	return up > voters/2
}

// Node has a copy of the data.
type Node struct {
	// Address is without the port, which is the same everywhere.
	Address string `json:"address"`
	Self    bool   `json:"self,omitempty"`
	Primary bool   `json:"primary,omitempty"`
	// Learner has not caught up yet and has no vote.
	Learner   bool `json:"learner,omitempty"`
	Connected bool `json:"connected"`
	// Behind is how many changes it has yet to take.
	Behind uint64 `json:"behind,omitempty"`
}

// Command is one of 'database cluster …', and whether it did what it should.
type Command struct {
	Text string `json:"text"`
	OK   bool   `json:"ok"`
}

// Directory is the table of the LDAP server's settings; package
// callbridge/settings alone reads and writes it.
const Directory = "directory"

// Bridges is the table of the deployment's Call Bridges, by name.
const Bridges = "bridges"

// Bridge is a Call Bridge of the deployment.
type Bridge struct {
	// Host and Address are the node's that it runs on, Domain is of XMPP.
	Host    string `json:"host"`
	Address string `json:"address"`
	Domain  string `json:"domain,omitempty"`
}
