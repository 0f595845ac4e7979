package membership

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// callIsMember asks the leader, and only the leader, whether an ID is a
// member's: another's copy of the membership may be old.
const callIsMember = "is-member"

// HandleIsMember answers the nodes that ask by RemovedBy.
func HandleIsMember(peers *peer.Net, state func() store.State, record *Record) {
	peers.HandleCall(callIsMember, func(_ context.Context, from peer.Hello, in json.RawMessage) (any, error) {
		var id string
		if err := json.Unmarshal(in, &id); err != nil {
			return nil, err
		}
		st := state()
		// The leader of a cluster that was founded again knows nothing of
		// the members of the old one.
		if !st.Ready || record.Load().ID != from.Cluster {
			return nil, problem.New(problem.NoLeader)
		}
		return slices.ContainsFunc(st.Members, func(m store.Member) bool { return m.ID == id }), nil
	})
}

// RemovedBy is the address of a leader for which this node is no member, "" where
// none says so in time. Raft does not tell a node that it was removed.
func RemovedBy(ctx context.Context, wait time.Duration, peers *peer.Net, st store.State) string {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for _, m := range Others(st) {
		member := true
		if err := peers.Call(ctx, m.Addr, callIsMember, st.ID, &member); err == nil && !member {
			return m.Addr
		}
	}
	return ""
}
