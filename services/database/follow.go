package database

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/membership"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// Calls that nodes make of one another. Those that change something are for the
// leader, who is the primary.
const (
	callHello     = "hello"
	callJoinCheck = "join-check"
	callJoin      = "join"
	callSettle    = "settle"
	callRemove    = "remove"
	callNodes     = "nodes"
	callApply     = "apply"
	// callChange and callList are a connected node's, for any member.
	callChange = "change"
	callList   = "list"
)

// handle answers other nodes. Nothing here may wait for Server.mu: a core is
// closed under it, and waits for its calls.
func (s *Server) handle(c *core) {
	leads := func(f func(ctx context.Context, from peer.Hello, in json.RawMessage) (any, error)) func(context.Context, peer.Hello, json.RawMessage) (any, error) {
		return func(ctx context.Context, from peer.Hello, in json.RawMessage) (any, error) {
			if !c.State().Ready || c.record.Load().ID == "" {
				return nil, problem.New(problem.DatabaseNoLeader)
			}
			return f(ctx, from, in)
		}
	}
	c.peers.HandleCall(callHello, func(context.Context, peer.Hello, json.RawMessage) (any, error) { return c.hello(), nil })
	c.peers.HandleCall(callJoinCheck, func(_ context.Context, _ peer.Hello, in json.RawMessage) (any, error) {
		var req joinRequest
		if err := json.Unmarshal(in, &req); err != nil {
			return nil, err
		}
		return c.checkJoin(req)
	})
	c.peers.HandleCall(callJoin, leads(func(ctx context.Context, from peer.Hello, in json.RawMessage) (any, error) {
		var req joinRequest
		if err := json.Unmarshal(in, &req); err != nil {
			return nil, err
		}
		if _, err := c.checkJoin(req); err != nil {
			return nil, err
		}
		back, cancel := context.WithTimeout(ctx, backWait)
		defer cancel()
		if err := c.peers.Call(back, from.Address, callHello, nil, nil); err != nil {
			return nil, problem.New(problem.DatabaseBack, "node", req.Node, "address", from.Address, "detail", reason(err))
		}
		s.log.Info("node joins", "node", from.Address)
		return nil, unsettled(c.AddLearner(ctx, from.ID, from.Address))
	}))
	c.peers.HandleCall(callSettle, leads(func(ctx context.Context, from peer.Hello, _ json.RawMessage) (any, error) {
		return nil, unsettled(c.Promote(ctx, from.ID))
	}))
	c.peers.HandleCall(callRemove, leads(func(ctx context.Context, _ peer.Hello, in json.RawMessage) (any, error) {
		var id string
		if err := json.Unmarshal(in, &id); err != nil {
			return nil, err
		}
		return nil, c.removeHere(ctx, id)
	}))
	membership.HandleIsMember(c.peers, c.State, &c.record)
	c.peers.HandleCall(callNodes, func(context.Context, peer.Hello, json.RawMessage) (any, error) {
		if c.record.Load().ID == "" {
			return nil, problem.New(problem.DatabaseNone, "node", c.address())
		}
		return c.nodes(), nil
	})
	s.handleRecords(c, leads)
}

// unsettled is err for one who may ask again: nothing here is done twice.
func unsettled(err error) error {
	if outcomeUnknown(err) {
		return problem.New(problem.DatabaseNoLeader)
	}
	return explain(err)
}

// joinRequest is what a node that wants to join tells.
type joinRequest struct {
	// Node is what the operator typed.
	Node  string     `json:"node"`
	Hello peer.Hello `json:"hello"`
}

const (
	// maxClock is how far clocks may be apart.
	maxClock = 30 * time.Second
	// backWait is how long a node that joins may take to answer.
	backWait = 4 * time.Second
)

// checkJoin says whether a node may join, and where the leader is. Nothing
// changes by it.
func (c *core) checkJoin(req joinRequest) (leader string, err error) {
	own := c.hello()
	apart := own.Time.Sub(req.Hello.Time)
	st := c.State()
	others := 0
	for _, m := range st.Members {
		// One that had its address is what it was before.
		if m.Addr != req.Hello.Address {
			others++
		}
	}
	switch {
	case req.Hello.ID == own.ID:
		return "", problem.New(problem.DatabaseSelf, "node", req.Node)
	case own.Cluster == "":
		return "", problem.New(problem.DatabaseNone, "node", req.Node)
	case req.Hello.Protocol != own.Protocol:
		return "", problem.New(problem.DatabaseVersion, "node", req.Node, "theirs", own.Version, "ours", req.Hello.Version)
	case apart.Abs() > maxClock:
		return "", problem.New(problem.DatabaseClock, "node", req.Node, "seconds", strconv.Itoa(int(apart.Abs().Seconds())))
	case others >= maxNodes:
		return "", problem.New(problem.DatabaseMany, "node", req.Node, "most", strconv.Itoa(maxNodes))
	case st.LeaderAddr == "":
		return "", problem.New(problem.DatabaseNoLeader)
	}
	return st.LeaderAddr, nil
}

const (
	// lookEvery is how often a member looks even if it hears of no change.
	lookEvery = 200 * time.Millisecond
	// askEvery is how long a member without a leader waits before it asks
	// whether it is one still, and between two such questions.
	askEvery = 2 * time.Second
	// settleWait bounds a change of a member's entry.
	settleWait = 3 * time.Second
	// recently is how old what a member says of itself may be.
	recently = 2 * time.Second
)

// follow is a member's care for itself and, as the leader, for all: it watches the
// others, settles the members' entries, and finds out if it was removed.
func (s *Server) follow(c *core) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	asked := time.Now()
	for {
		changed := c.Changed()
		st := c.State()
		c.record.Look(c.Store)
		c.peers.SetMembers(membership.Others(st))
		if err := c.settle(st); err != nil && c.ctx.Err() == nil {
			s.log.Debug("membership not settled", "err", err)
		}
		if !st.Ready && !c.joining.Load() && c.record.Load().ID != "" && time.Since(st.Contact) > askEvery && time.Since(asked) > askEvery {
			asked = time.Now()
			if by := membership.RemovedBy(c.ctx, settleWait, c.peers, st); by != "" {
				s.log.Warn("this node was removed from the database cluster", "by", by)
				select {
				case s.evicted <- c:
				default:
				}
			}
		}
		select {
		case <-c.ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

// settle has the members' entries be as they should. The leader notes where each
// can be reached: a member that has moved twice may not know what is noted of it,
// and nobody who looks for it there would tell it. A member has the leader give
// it its vote.
func (c *core) settle(st store.State) error {
	if c.joining.Load() || c.record.Load().ID == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, settleWait)
	defer cancel()
	if st.Ready {
		for _, m := range st.Members {
			if address := c.addressNow(st, m); address != "" && address != m.Addr {
				return c.SetAddress(ctx, m.ID, address)
			}
		}
		return nil
	}
	learns := func(m store.Member) bool { return m.ID == st.ID && !m.Voter }
	if st.LeaderAddr == "" || !slices.ContainsFunc(st.Members, learns) {
		return nil
	}
	return c.peers.Call(ctx, st.LeaderAddr, callSettle, nil, nil)
}

// addressNow is where a member can be reached by what it says, "" where it has
// not said anything lately.
func (c *core) addressNow(st store.State, m store.Member) string {
	switch {
	case m.ID == st.ID:
		return c.address()
	case time.Since(c.peers.Hears(m.ID)) > recently:
		return ""
	}
	return c.peers.Peers()[m.ID].Address
}

// removed makes a node that was removed stand alone, with its copy.
func (s *Server) removed(c *core) {
	end, err := s.begin("a change of this node")
	if err != nil {
		// Whoever changes it asks again.
		return
	}
	defer end()
	if now, _ := s.current(); now != c {
		return
	}
	if err := s.standAlone(); err != nil {
		s.log.Error("removed node does not stand alone", "err", err)
	}
}

// reason is why, without the fix.
func reason(err error) string {
	text, _, _ := strings.Cut(problem.Text(explain(err)), ";")
	return text
}
