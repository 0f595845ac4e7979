package xmpp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/membership"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// joinWait is how long a join may go without any progress.
const joinWait = 15 * time.Second

// ClusterJoin implements xmppapi.API. All that can be checked is checked before
// anything changes; what goes wrong after that is undone.
func (s *Server) ClusterJoin(ctx context.Context, node string, discard bool) error {
	end, err := s.activity.begin(ctx, "a join")
	if err != nil {
		return err
	}
	defer end()
	answer, err := s.askToJoin(ctx, node, discard)
	if err != nil {
		return err
	}
	leader := answer.Leader
	s.activity.now("preparing an empty store for the cluster's data")
	id, err := s.becomeLearner(answer.SaltKey)
	if err == nil {
		err = s.awaitVote(ctx, leader, id)
	}
	if err == nil {
		return s.joined()
	}
	s.log.Warn("join undone", "err", err)
	// The others may have taken the node in.
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	s.mu.RLock()
	c := s.core
	s.mu.RUnlock()
	if id != "" && c.peers != nil {
		if gone := c.peers.Call(undo, leader, callRemove, id, nil); gone != nil {
			s.log.Info("cluster not told of the join that failed", "err", gone)
		}
	}
	return errors.Join(err, s.putBack())
}

// askToJoin goes through the checks on this node and on the cluster's, and
// returns the leader's answer.
func (s *Server) askToJoin(ctx context.Context, node string, discard bool) (answer joinAnswer, err error) {
	d, err := s.deps.Config.Load()
	if err != nil {
		return answer, err
	}
	s.mu.RLock()
	c, doors := s.core, s.doors
	s.mu.RUnlock()
	switch {
	case c.peers == nil:
		return answer, problem.New(problem.ClusterOff)
	case !d.XMPP.Enabled || doors == nil:
		return answer, problem.New(problem.ClusterXMPPDisabled, "command", "xmpp cluster join "+node)
	case s.isMember():
		return answer, problem.New(problem.ClusterMember)
	}
	own, err := s.ownAddress()
	if err != nil {
		return answer, err
	}
	req := joinRequest{Node: node, Hello: s.hello(c), Bridges: map[string]string{}}
	bridges, err := c.CallBridges()
	if err != nil {
		return answer, err
	}
	for _, b := range bridges {
		req.Bridges[b.Name] = digest(b)
	}
	at := membership.WithPort(node, ClientPort)
	if at == own {
		return answer, problem.New(problem.ClusterSelf, "node", node)
	}
	wait, cancel := context.WithTimeout(ctx, joinWait-2*time.Second)
	defer cancel()
	s.activity.now("asking " + at + " whether this node may join")
	if answer, err = leaderFor(wait, c, at, req); err != nil {
		return answer, err
	}
	if answer.Leader == own {
		return answer, problem.New(problem.ClusterSelf, "node", node)
	}
	accounts, _, err := c.Counts()
	if err == nil && accounts > 0 && !discard {
		err = problem.New(problem.ClusterOwn, "accounts", strconv.Itoa(accounts))
	}
	return answer, err
}

// electionWait is how long a cluster that has no leader is given to find one.
const electionWait = 5 * time.Second

// leaderFor asks at, and the node that it names, whether this node may join,
// until one answers that leads.
func leaderFor(ctx context.Context, c *core, at string, req joinRequest) (answer joinAnswer, err error) {
	elected := time.Now().Add(electionWait)
	for range 4 {
		answer = joinAnswer{}
		for {
			err := c.peers.Call(ctx, at, callJoinCheck, req, &answer)
			if err == nil {
				break
			}
			if !leaderMissing(err) || ctx.Err() != nil || time.Now().After(elected) {
				return answer, err
			}
			time.Sleep(100 * time.Millisecond)
		}
		if answer.Leader == at || answer.Leader == "" {
			answer.Leader = at
			return answer, nil
		}
		// By another name it may be the same node; asking again costs nothing.
		at = answer.Leader
	}
	return answer, nil
}

// awaitVote has the leader take this node in, and waits until it has a vote.
func (s *Server) awaitVote(ctx context.Context, leader, id string) error {
	s.mu.RLock()
	c := s.core
	s.mu.RUnlock()
	s.activity.now("asking the leader " + leader + " to take this node in")
	wait, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	asked := leader
	for {
		err := c.peers.Call(wait, leader, callJoin, nil, nil)
		if err == nil {
			break
		}
		// The leader may have changed since it was asked, and what it has done
		// unanswered does no harm a second time.
		switch code := problem.CodeOf(err); {
		case ctx.Err() != nil:
			return ctx.Err()
		case wait.Err() != nil && code == "":
			return problem.New(problem.ClusterLate, "doing", "asking the leader "+leader+" to take this node in")
		case wait.Err() != nil:
			return err
		case errors.Is(err, peer.ErrOutcome), leaderMissing(err), code == problem.ClusterRoute:
		default:
			return err
		}
		time.Sleep(100 * time.Millisecond)
		if now, err := leaderFor(wait, c, asked, joinRequest{Node: asked, Hello: s.hello(c)}); err == nil {
			leader = now.Leader
		}
	}
	doing := "waiting for the leader " + leader + " to send its data"
	var applied uint64
	moved := time.Now()
	for {
		st := c.State()
		if st.AppliedIndex > applied {
			applied, moved = st.AppliedIndex, time.Now()
			doing = fmt.Sprintf("catching up with the leader %s, at entry %d", leader, applied)
		}
		s.activity.now(doing)
		record := c.record.Look(c.Store)
		voter := slices.ContainsFunc(st.Members, func(m store.Member) bool { return m.ID == id && m.Voter })
		if voter && record.ID != "" {
			// A node that starts knows by its store whose member it is.
			return c.Flush()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Since(moved) > joinWait:
			return problem.New(problem.ClusterLate, "doing", doing)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
