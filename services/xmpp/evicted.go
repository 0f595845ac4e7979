package xmpp

import (
	"context"
	"encoding/json"
	"time"

	"parley/services/xmpp/membership"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// Raft does not tell a node that it was removed. The leader does, and a node
// that could not be told asks when it has had no leader for a while.

// callEvicted tells a node that it is a member no more. It asks to be sure.
const callEvicted = "evicted"

// evictedAfter is how long a node without a leader waits before it asks, and
// between two questions.
const evictedAfter = 2 * time.Second

func (s *Server) handleEvicted(c *core) {
	membership.HandleIsMember(c.peers, c.State, &c.record)
	c.peers.HandleCall(callEvicted, func(ctx context.Context, _ peer.Hello, _ json.RawMessage) (any, error) {
		if l := s.part.Load(); l != nil && l.core == c && c.isMember() {
			l.ask(ctx, c.State())
		}
		return nil, nil
	})
}

// evictWait bounds what is told to a node that may be dead.
const evictWait = 500 * time.Millisecond

// removeHere takes a node out, on the leader, and tells it. It refuses where the
// others could not do without it.
func (c *core) removeHere(ctx context.Context, id string) error {
	var addr string
	for _, m := range c.State().Members {
		if m.ID == id {
			addr = m.Addr
		}
	}
	if err := c.needed(id); err != nil {
		return err
	}
	if err := c.Remove(ctx, id); err != nil || addr == "" {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, evictWait)
	defer cancel()
	// One that cannot be told will ask.
	_ = c.peers.Call(ctx, addr, callEvicted, nil, nil)
	return nil
}

// ask finds out whether this node was removed; if it was the server makes it
// stand alone.
func (l *leading) ask(ctx context.Context, st store.State) {
	by := membership.RemovedBy(ctx, evictedAfter, l.core.peers, st)
	if by == "" {
		return
	}
	l.log.Warn("this node was removed from the cluster", "by", by)
	select {
	case l.server.evicted <- l.core:
	default:
	}
}

// removed acts on the answer. Nothing is lost by it: the node has a copy, and
// no clients, since it has no leader.
func (s *Server) removed(ctx context.Context, c *core) {
	s.mu.RLock()
	same := s.core == c
	s.mu.RUnlock()
	addr, err := s.ownAddress()
	if !same || err != nil {
		return
	}
	end, ok := s.activity.beginUnasked("leaving the cluster")
	if !ok {
		return
	}
	defer end()
	if err := s.standAlone(ctx, addr); err != nil {
		s.log.Error("removed node does not stand alone", "err", err)
	}
}
