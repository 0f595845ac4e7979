package xmpp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/services/durable"
	"parley/services/problem"
	"parley/services/xmpp/membership"
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

const (
	// joinWait is how long a join may go without any progress.
	joinWait = 15 * time.Second
	// maxClock is how far clocks may be apart.
	maxClock = 30 * time.Second
)

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
	if !ok || record.ID == "" {
		return none, problem.New(problem.ClusterNone, "node", req.Node)
	}
	own := s.hello(c)
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
	if names := strangers(c, req.Bridges); len(names) > 0 {
		return none, problem.New(problem.ClusterSecret, "names", strings.Join(names, ", "))
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

// strangers are the Call Bridges that the cluster does not have so.
func strangers(c *core, digests map[string]string) (names []string) {
	for name, want := range digests {
		b, ok, err := c.CallBridge(name)
		if err == nil && (!ok || digest(b) != want) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// reason is why, without the fix.
func reason(err error) string {
	text, _, _ := strings.Cut(problem.Text(err), ";")
	return text
}

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

// setAside is where the store of before a join waits until that is done.
func (s *Server) setAside() string { return filepath.Join(s.cfg.Paths.XMPP(), "before-join") }

// storeFiles are the names of the store's own files and folders.
func storeFiles(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if name := e.Name(); !strings.HasPrefix(name, "before-join") && name != "salt.key" {
			names = append(names, name)
		}
	}
	return names, err
}

// becomeLearner puts the store aside for an empty one that waits to be
// admitted, and opens the doors again for the other nodes.
func (s *Server) becomeLearner(saltKey []byte) (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeDoors()
	dir, aside := s.cfg.Paths.XMPP(), s.setAside()
	if err := s.core.close(); err != nil {
		return "", err
	}
	err = func() error {
		if err := os.Mkdir(aside, 0o700); err != nil {
			return fmt.Errorf("make folder %s: %w", aside, err)
		}
		names, err := storeFiles(dir)
		if err != nil {
			return fmt.Errorf("read folder %s: %w", dir, err)
		}
		for _, n := range names {
			if err := os.Rename(filepath.Join(dir, n), filepath.Join(aside, n)); err != nil {
				return fmt.Errorf("put %s aside: %w", n, err)
			}
		}
		if err := errors.Join(durable.SyncDir(aside), durable.SyncDir(dir)); err != nil {
			return err
		}
		id, err = store.CreateMember(dir)
		return err
	}()
	if err = errors.Join(err, s.openCoreLocked()); err != nil {
		return id, err
	}
	if len(saltKey) > 0 {
		s.core.saltKey = saltKey
	}
	return id, s.reload(context.Background())
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

// joined makes the join final.
func (s *Server) joined() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := s.setAside() + ".done"
	if err := os.Rename(s.setAside(), done); err != nil {
		return fmt.Errorf("remove the store of before: %w", err)
	}
	return errors.Join(durable.SyncDir(s.cfg.Paths.XMPP()), os.RemoveAll(done))
}

// putBack undoes becomeLearner.
func (s *Server) putBack() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeDoors()
	if err := s.core.close(); err != nil {
		s.log.Warn("store of the failed join closed", "err", err)
	}
	if err := errors.Join(s.abandonJoin(), s.openCoreLocked()); err != nil {
		return err
	}
	return s.reload(context.Background())
}

// abandonJoin puts a store back that a join has put aside and not come to its
// end. The store must be closed.
func (s *Server) abandonJoin() error {
	dir, aside := s.cfg.Paths.XMPP(), s.setAside()
	if err := os.RemoveAll(aside + ".done"); err != nil {
		return fmt.Errorf("remove the store of before a join: %w", err)
	}
	old, err := os.ReadDir(aside)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read folder %s: %w", aside, err)
	}
	if len(old) > 0 {
		names, err := storeFiles(dir)
		if err != nil {
			return fmt.Errorf("read folder %s: %w", dir, err)
		}
		for _, n := range names {
			// A file that is still to be put aside must not be taken for one of the join's.
			if slices.ContainsFunc(old, func(e fs.DirEntry) bool { return e.Name() == n }) {
				if err := os.RemoveAll(filepath.Join(dir, n)); err != nil {
					return fmt.Errorf("remove %s of a join: %w", n, err)
				}
			}
		}
		for _, e := range old {
			if err := os.Rename(filepath.Join(aside, e.Name()), filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("put %s back: %w", e.Name(), err)
			}
		}
	}
	return errors.Join(os.RemoveAll(aside), durable.SyncDir(dir))
}
