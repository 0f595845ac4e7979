package xmpp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// Methods of the membership.
const (
	callHello     = "hello"
	callJoinCheck = "join-check"
	callJoin      = "join"
	callRemove    = "remove"
)

// maxClock is how far clocks may be apart.
const maxClock = 30 * time.Second

// joinRequest is what a node that wants to join tells.
type joinRequest struct {
	// Node is what the operator typed.
	Node  string     `json:"node"`
	Hello peer.Hello `json:"hello"`
	// Bridges are digests of the secrets that the node has, by name.
	Bridges map[string]string `json:"bridges,omitempty"`
}

// joinAnswer: the node is welcome at Leader.
type joinAnswer struct {
	Leader string `json:"leader"`
	// SaltKey is the cluster's; see core.
	SaltKey []byte `json:"salt_key,omitempty"`
}

func digest(b store.CallBridge) string {
	sum := sha256.Sum256([]byte(b.Name + "\x00" + b.Secret))
	return hex.EncodeToString(sum[:])
}

// handleMembership answers nodes that join or leave.
func (s *Server) handleMembership(c *core) {
	s.handleEvicted(c)
	c.peers.HandleCall(callHello, func(context.Context, peer.Hello, json.RawMessage) (any, error) { return s.hello(c), nil })
	c.peers.HandleCall(callJoinCheck, func(ctx context.Context, _ peer.Hello, in json.RawMessage) (any, error) {
		var req joinRequest
		if err := json.Unmarshal(in, &req); err != nil {
			return nil, err
		}
		return s.checkJoin(ctx, c, req)
	})
	c.peers.HandleCall(callJoin, func(ctx context.Context, from peer.Hello, _ json.RawMessage) (any, error) {
		if !c.State().Ready {
			return nil, problem.New(problem.NoLeader)
		}
		s.log.Info("node joins", "node", from.Address)
		return nil, askAgain(c.AddLearner(ctx, from.ID, from.Address))
	})
	c.peers.HandleCall(callRemove, func(ctx context.Context, from peer.Hello, in json.RawMessage) (any, error) {
		var id string
		if err := json.Unmarshal(in, &id); err != nil {
			return nil, err
		}
		if !c.State().Ready {
			return nil, problem.New(problem.NoLeader)
		}
		if id == from.ID {
			// It leaves, and waits for this answer.
			if err := c.needed(id); err != nil {
				return nil, err
			}
			return nil, askAgain(c.Remove(ctx, id))
		}
		return nil, askAgain(c.removeHere(ctx, id))
	})
}

// askAgain is err for one who may ask the next leader: to take a node in, or
// out, a second time changes nothing.
func askAgain(err error) error {
	if errors.Is(err, store.ErrOutcome) {
		return problem.New(problem.NoLeader)
	}
	return err
}

// checkJoin says whether a node may join, and where the leader is, who has the
// last word. Nothing changes by it.
func (s *Server) checkJoin(ctx context.Context, c *core, req joinRequest) (joinAnswer, error) {
	none := joinAnswer{}
	record, ok, err := c.Cluster()
	if err != nil {
		return none, err
	}
	own := s.hello(c)
	if req.Hello.ID == own.ID {
		return none, problem.New(problem.ClusterSelf, "node", req.Node)
	}
	if !ok || record.ID == "" {
		return none, problem.New(problem.ClusterNone, "node", req.Node)
	}
	switch {
	case req.Hello.Domain != record.Domain:
		return none, problem.New(problem.ClusterDomain, "node", req.Node, "theirs", record.Domain, "ours", req.Hello.Domain)
	case req.Hello.Protocol != own.Protocol:
		return none, problem.New(problem.ClusterVersion, "node", req.Node, "theirs", own.Version, "ours", req.Hello.Version)
	}
	if apart := own.Time.Sub(req.Hello.Time); apart.Abs() > maxClock {
		return none, problem.New(problem.ClusterClock, "node", req.Node, "seconds", strconv.Itoa(int(apart.Abs().Seconds())))
	}
	st := c.State()
	if !st.Ready {
		if st.LeaderAddr == "" || st.LeaderID == st.ID {
			return none, c.leaderless(st)
		}
		return joinAnswer{Leader: st.LeaderAddr}, nil
	}
	if err := strangers(c, req.Bridges); err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	if err := c.peers.Call(ctx, req.Hello.Address, callHello, nil, nil); err != nil {
		if p, ok := errors.AsType[*problem.Problem](err); ok && p.Code == problem.ClusterTLS {
			// It is no matter of ports.
			return none, problem.New(problem.ClusterTLS, "node", req.Node, "detail", "seen from there, "+p.Values["detail"])
		}
		return none, problem.New(problem.ClusterBack, "node", req.Node, "address", req.Hello.Address, "detail", reason(err))
	}
	return joinAnswer{Leader: c.address(), SaltKey: record.SaltKey}, nil
}

// strangers refuses Call Bridges that the cluster has with other secrets, or
// has not.
func strangers(c *core, digests map[string]string) error {
	var differ, missing []string
	for _, name := range slices.Sorted(maps.Keys(digests)) {
		switch b, ok, err := c.CallBridge(name); {
		case err != nil:
		case !ok:
			missing = append(missing, name)
		case digest(b) != digests[name]:
			differ = append(differ, name)
		}
	}
	switch {
	case len(differ) > 0:
		return problem.New(problem.ClusterSecret, "names", strings.Join(differ, ", "), "first", differ[0])
	case len(missing) > 0:
		return problem.New(problem.ClusterBridge, "names", strings.Join(missing, ", "), "first", missing[0])
	}
	return nil
}

// reason is why, without the fix.
func reason(err error) string {
	text, _, _ := strings.Cut(problem.Text(err), ";")
	return text
}
