package xmpp

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/membership"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
	"parley/services/xmpp/xmppapi"
)

// callExamine has a node examine itself.
const callExamine = "examine"

// examineWait is how long a member has for it.
const examineWait = 6 * time.Second

// errExaminer: nobody on this node examines it, or the one who asks is no member.
var (
	errExaminer = errors.New("this node has no examiner")
	errStranger = errors.New("only members are examined for")
)

// handleExamine answers members with what this node's examiner finds.
func (s *Server) handleExamine(c *core) {
	c.peers.HandleCall(callExamine, func(ctx context.Context, from peer.Hello, in json.RawMessage) (any, error) {
		switch {
		case s.deps.Examine == nil:
			return nil, errExaminer
		case !slices.ContainsFunc(c.State().Members, func(m store.Member) bool { return m.ID == from.ID }):
			return nil, errStranger
		}
		return s.deps.Examine(ctx, in)
	})
}

// Examine implements xmppapi.Examiner.
func (s *Server) Examine(ctx context.Context, in json.RawMessage) ([]xmppapi.Examined, error) {
	s.mu.RLock()
	c, member := s.core, s.isMemberLocked()
	s.mu.RUnlock()
	if !member {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, examineWait)
	defer cancel()
	members := membership.Others(c.State())
	out := make([]xmppapi.Examined, len(members))
	var asking sync.WaitGroup
	for i, m := range members {
		asking.Go(func() {
			out[i].Address = m.Addr
			if err := c.peers.Call(ctx, m.Addr, callExamine, in, &out[i].Out); err != nil {
				out[i].Failure = reason(err)
				if errors.Is(err, context.DeadlineExceeded) && problem.CodeOf(err) == "" {
					out[i].Failure = "no answer in time"
				}
			}
		})
	}
	asking.Wait()
	slices.SortFunc(out, func(a, b xmppapi.Examined) int { return compareAddress(a.Address, b.Address) })
	return out, nil
}
