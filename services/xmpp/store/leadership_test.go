package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/link"
)

func TestTransfer(t *testing.T) {
	networks(t, func(t *testing.T, net network) {
		g := newGroup(t, net, 3, steady)
		g.apply(&AccountAdd{Name: "ada"})
		var worst time.Duration
		for range 10 {
			l := g.leader()
			begin := time.Now()
			if err := l.Transfer(t.Context()); err != nil {
				t.Fatal(err)
			}
			if st := l.State(); st.Role == "LEADER" {
				t.Errorf("after Transfer it is %s", st.Role)
			}
			worst = max(worst, time.Since(begin))
		}
		t.Logf("worst of ten transfers took %v", worst)
	})
}

// Under load nothing is lost, doubled or refused by a transfer.
func TestTransferUnderLoad(t *testing.T) {
	g := newGroup(t, tcp{}, 3, steady)
	g.apply(&AccountAdd{Name: "ada"})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	const senders = 8
	acked := make([]uint64, senders)
	for c := range senders {
		wg.Go(func() {
			for seq := uint64(1); ctx.Err() == nil; {
				put := &MessagePut{Account: "ada", Session: link.SessionID{byte(c + 1)}, Seq: seq, Stanza: fmt.Appendf(nil, "%d %d", c, seq)}
				for _, n := range g.nodes {
					if _, err := n.Apply(t.Context(), put); err == nil {
						acked[c] = seq
						seq++
						break
					} else if problem.CodeOf(err) != problem.NoLeader && !errors.Is(err, ErrOutcome) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for range 8 {
		g.onLeader(func(l *node) error { return l.Transfer(t.Context()) })
		time.Sleep(50 * time.Millisecond)
	}
	cancel()
	wg.Wait()
	for i, got := range g.inboxes() {
		for c, want := range acked {
			// The next one may be there too.
			if n := got[fmt.Sprint(c)]; n < want || n > want+1 {
				t.Errorf("%s: sender %d has %d messages; %d are acknowledged", g.nodes[i].addr, c, n, want)
			}
		}
	}
}

// A leader that stops without a word is replaced at once where somebody calls
// Campaign.
func TestCampaign(t *testing.T) {
	g := newGroup(t, tcp{}, 3, Config{NoSync: true})
	g.apply(&AccountAdd{Name: "ada"})
	if err := g.leader().Campaign(); err != nil {
		t.Error("Campaign on a leader:", err)
	}
	for range 3 {
		l := g.leader()
		fs := g.without(l)
		term := l.State().Term
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		// Both at once: a split vote is made good without a timeout, and one
		// that was elected may be followed by the other.
		for _, f := range fs {
			if err := f.Campaign(); err != nil {
				t.Fatal(err)
			}
		}
		n := g.leader()
		t.Logf("%v to the next leader, %d terms", time.Since(begin), n.State().Term-term)
		l.boot(t)
		waitFor(t, "return", g.agreed)
	}
}

// A leader on its disk's reserve would refuse changes that others have room for.
func TestLeaderWithoutRoomHandsOver(t *testing.T) {
	g := newGroup(t, tcp{}, 3, Config{NoSync: true})
	f := g.without(g.leader())[0]
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	f.cfg.Reserve = 1 << 60
	f.boot(t)
	var stood time.Time
	waitFor(t, "leadership of the node without room", func() bool {
		// One election must be over before the next, which would depose the
		// leader that comes after.
		if time.Since(stood) > 300*time.Millisecond {
			stood = time.Now()
			// Until it runs it is closed.
			if err := f.Campaign(); err != nil && !errors.Is(err, ErrClosed) {
				t.Fatal(err)
			}
		}
		return f.State().Role == "LEADER"
	})
	waitFor(t, "change by another leader", func() bool {
		// The one before may not know yet that it is none any more.
		l := g.leader()
		if l == f {
			return false
		}
		_, err := l.Apply(t.Context(), &AccountAdd{Name: "ada"})
		return err == nil
	})
}
