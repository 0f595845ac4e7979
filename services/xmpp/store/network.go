package store

import (
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
)

// callTimeout bounds a call of one node's Raft to another's; it is asked anew
// then.
const callTimeout = 2 * time.Second

// NewTransport makes a Deps.Transport that talks over layer. Run closes it.
func NewTransport(layer raft.StreamLayer, log *slog.Logger) *raft.NetworkTransport {
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer, MaxPool: 3, Timeout: callTimeout, Logger: raftLogger(log), MsgpackUseNewTimeFormat: true,
	})
}
