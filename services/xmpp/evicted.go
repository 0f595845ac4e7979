package xmpp

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"parley/services/xmpp/membership"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// Raft does not tell a node that it was removed. The leader does, and a node
// that could not be told finds it out, or asks, when it has had no leader for
// a while.

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

// outside says that the newest list of members that this node has lacks it.
// That alone proves nothing: a list that is not committed may be taken back,
// and while a node joins it reads those of before it.
func outside(st store.State) bool {
	return len(st.Members) > 0 && !slices.ContainsFunc(st.Members, func(m store.Member) bool { return m.ID == st.ID })
}

// surelyOutside says that this node is outside for good, which it may act on
// without being told, unless it is about to join:
//   - all that its log has is applied, so that the list is committed; or
//   - at the address of each member in the list another node answers, which
//     is of another cluster or none: an identity that was given up is never
//     taken up again, so nobody is left who could take the list back.
func surelyOutside(st store.State, peers map[string]peer.State, cluster string) bool {
	if !outside(st) {
		return false
	}
	if st.LastIndex > 0 && st.AppliedIndex >= st.LastIndex {
		return true
	}
	return !slices.ContainsFunc(st.Members, func(m store.Member) bool {
		p := peers[m.ID]
		return p.Stranger == "" || p.StrangerCluster == cluster
	})
}

// takenOut is how this node knows that it was taken out, "" where it does not.
func (c *core) takenOut(ctx context.Context, st store.State) (how string) {
	if surelyOutside(st, c.peers.Peers(), c.record.Load().ID) {
		return "the members that it knows of"
	}
	return membership.RemovedBy(ctx, evictedAfter, c.peers, st)
}

// ask finds out whether this node was removed; if it was the server makes it
// stand alone.
func (l *leading) ask(ctx context.Context, st store.State) {
	if l.core.takenOut(ctx, st) == "" {
		return
	}
	select {
	case l.server.evicted <- l.core:
	default:
	}
}

// left is what clients of a node that left a cluster are told of it.
type left struct {
	domain, member string
}

// heir is a member, of that domain, that could be reached when this node left.
func (l left) heir(domain string) string {
	if l.domain != domain {
		return ""
	}
	return l.member
}

// removed acts on the answer, if it is still the same: a join may have come to
// its end meanwhile. Nothing is lost by it: the node has a copy, and no
// clients, since it has no leader.
func (s *Server) removed(ctx context.Context, c *core) {
	s.mu.RLock()
	same := s.core == c
	s.mu.RUnlock()
	addr, err := s.ownAddress()
	if !same || err != nil || !c.isMember() {
		return
	}
	end, ok := s.activity.beginUnasked("leaving the cluster")
	if !ok {
		return
	}
	defer end()
	how := c.takenOut(ctx, c.State())
	if how == "" {
		return
	}
	s.log.Warn("this node was removed from the cluster", "by", how)
	if err := s.standAlone(ctx, addr); err != nil {
		s.log.Error("removed node does not stand alone", "err", err)
	}
}
