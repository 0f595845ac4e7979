package xmpp

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/services/xmpp/membership"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// When a leader is taken for lost, long before Raft's own heartbeats would.
const (
	// silence is how long this node has not heard of the leader, and
	// agreement how long the others have not, before an election. On a machine
	// where the leader's answers were late without its being lost, silence is as
	// many times as long as the pings' limit: each election would be work more.
	silence   = 350 * time.Millisecond
	agreement = 200 * time.Millisecond
	// stagger keeps the candidates apart, or their votes would be split.
	stagger = 50 * time.Millisecond
	// answerWait is how long the others have to say whom they follow.
	answerWait = 100 * time.Millisecond
	// othersWait is how long another's election may take.
	othersWait = 150 * time.Millisecond
	// campaignPause is the least time between two elections of one node.
	campaignPause = 500 * time.Millisecond
)

// lost is told by the relay that the connection to the leader broke; refused
// says that the next was refused at once, so there is no process any more.
func (l *leading) lost(addr string, refused bool) {
	if !refused {
		return
	}
	select {
	case l.losses <- addr:
	default:
	}
}

// refused starts an election: a leader whose port is closed is dead, and need
// not be waited for.
func (l *leading) refused(ctx context.Context, addr string) {
	st := l.core.State()
	if st.LeaderAddr == addr || st.LeaderAddr == "" {
		l.campaign(ctx, st, "its connections are refused")
	}
}

// detect starts an election when the leader has fallen silent, to this node
// and to so many that the rest cannot be a majority: otherwise it is this
// node's link that is cut, and an election would only disturb.
func (l *leading) detect(ctx context.Context, st store.State) {
	if st.LeaderID == "" || st.LeaderID == st.ID {
		return
	}
	peers := l.core.peers.Peers()
	if p := peers[st.LeaderID]; p.Refused {
		l.campaign(ctx, st, "its connections are refused")
		return
	}
	heard := l.core.peers.Hears(st.LeaderID)
	if st.Contact.After(heard) {
		heard = st.Contact
	}
	if time.Now().Before(l.awake) || time.Since(heard) < silence*time.Duration(max(1, peers[st.LeaderID].Leniency)) {
		return
	}
	voters, without := 0, 0
	for _, m := range st.Members {
		if !m.Voter {
			continue
		}
		voters++
		p := peers[m.ID]
		switch {
		case m.ID == st.ID:
			without++
		case m.ID == st.LeaderID:
		case p.Reachable && p.LeaderID == st.LeaderID && p.LeaderAge > agreement, p.Reachable && p.LeaderID == "":
			without++
		}
	}
	if without > voters/2 {
		l.campaign(ctx, st, "it is silent")
	}
}

// campaign waits for this node's turn, which depends on its rank among the
// voters that are left, and starts an election if none has been won meanwhile.
func (l *leading) campaign(ctx context.Context, st store.State, why string) {
	if st.LeaderID == st.ID || time.Since(l.tried) < campaignPause {
		return
	}
	l.tried = time.Now()
	rank := l.rank(st)
	if rank < 0 {
		return
	}
	turn := time.NewTimer(time.Duration(rank) * stagger)
	defer turn.Stop()
	for waited := false; ; {
		changed := l.core.Changed()
		now := l.core.State()
		if now.LeaderID != st.LeaderID && now.LeaderID != "" {
			return
		}
		select {
		case <-changed:
			continue
		case <-ctx.Done():
			return
		case <-turn.C:
		}
		// Where another stands already, and may have this node's vote, a second
		// election would only depose the winner.
		if waited || l.core.Term() <= st.Term {
			break
		}
		waited = true
		turn.Reset(othersWait)
	}
	if l.known(ctx, st) {
		return
	}
	l.log.Warn("leader lost, election started", "leader", st.LeaderAddr, "reason", why)
	if err := l.core.Campaign(); err != nil {
		l.log.Warn("election not started", "err", err)
	}
}

// rank is this node's turn among the voters that are left, -1 for none: the
// longest logs first, since others would not win.
func (l *leading) rank(st store.State) int {
	peers := l.core.peers.Peers()
	type candidate struct {
		id   string
		last uint64
	}
	var cs []candidate
	for _, m := range st.Members {
		switch p := peers[m.ID]; {
		case !m.Voter || m.ID == st.LeaderID:
		case m.ID == st.ID:
			cs = append(cs, candidate{m.ID, st.LastIndex})
		case p.Reachable:
			cs = append(cs, candidate{m.ID, p.LastIndex})
		}
	}
	slices.SortFunc(cs, func(a, b candidate) int {
		// What is known of another's log may be a ping old: about as long
		// is as long.
		if d := int64(b.last - a.last); d > nearly || d < -nearly {
			return int(max(-1, min(1, d)))
		}
		return strings.Compare(a.id, b.id)
	})
	return slices.IndexFunc(cs, func(c candidate) bool { return c.id == st.ID })
}

// nearly is how many entries a log may grow between two pings.
const nearly = 200

// known asks the others whether they have another leader already: a second
// election would depose it.
func (l *leading) known(ctx context.Context, st store.State) bool {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	var asking sync.WaitGroup
	var known atomic.Bool
	for _, m := range membership.Others(st) {
		if m.ID == st.LeaderID {
			continue
		}
		asking.Go(func() {
			var h peer.Hello
			if err := l.core.peers.Call(ctx, m.Addr, callHello, nil, &h); err != nil {
				return
			}
			if h.LeaderID != "" && h.LeaderID != st.LeaderID {
				known.Store(true)
			}
		})
	}
	asking.Wait()
	return known.Load()
}
