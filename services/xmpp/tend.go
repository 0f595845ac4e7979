package xmpp

import (
	"context"
	"time"

	"parley/services/xmpp/store"
)

// caughtUp is how many entries a learner may lag and still be given a vote.
const caughtUp = 256

// tend is the leader's care for the members: learners that have caught up get
// their vote, and addresses that have changed are told to all.
func (l *leading) tend(ctx context.Context, st store.State) {
	peers := l.core.peers.Peers()
	for _, m := range st.Members {
		addr := l.core.address()
		if m.ID != st.ID {
			p, ok := peers[m.ID]
			if !ok || time.Since(l.core.peers.Hears(m.ID)) > time.Second {
				continue
			}
			addr = p.Address
			if !m.Voter && p.Reachable && p.Applied+caughtUp >= st.LastIndex {
				l.change(ctx, "vote given", m, func(ctx context.Context) error { return l.core.Promote(ctx, m.ID) })
				return
			}
		}
		if addr != "" && addr != m.Addr {
			l.change(ctx, "address changed", m, func(ctx context.Context) error { return l.core.SetAddress(ctx, m.ID, addr) })
			return
		}
	}
}

func (l *leading) change(ctx context.Context, what string, m store.Member, f func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := f(ctx); err != nil {
		l.log.Warn("membership not changed", "what", what, "node", m.Addr, "err", err)
		return
	}
	l.log.Info(what, "node", m.Addr)
}
