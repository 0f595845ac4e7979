package router

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/link"
)

// history runs random calls against a router and watches what comes out.
type history struct {
	t   *testing.T
	w   *world
	f   *faulty
	rnd *rand.Rand
	// stop ends the router.
	stop func()

	senders   []*peer
	receivers []*receiver
	// owed are the ids of messages that were confirmed and not refused, by
	// account; done those that somebody acknowledged.
	owed map[string]map[int]bool
	done map[int]bool
	last int
}

// receiver is a session that is watched.
type receiver struct {
	*peer
	account string
	// unacked are in the session's hands.
	unacked []link.Delivery
	seen    map[int]bool
	// highest item of each sender since who gets what last changed.
	highest map[string]link.Item
	open    bool
}

func TestHistories(t *testing.T) {
	for seed := range uint64(16) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "ada", "bob", "cleo", "dan")
			h := &history{t: t, w: w, f: &faulty{Store: w.store}, rnd: rand.New(rand.NewPCG(seed, 0)),
				owed: map[string]map[int]bool{"cleo": {}, "dan": {}}, done: map[int]bool{}}
			h.restart()
			for range 250 {
				h.step()
				if t.Failed() {
					return
				}
			}
			h.finish()
		})
	}
}

// restart replaces the router: all sessions are lost.
func (h *history) restart() {
	if h.stop != nil {
		h.stop()
	}
	r := New(Config{Domain: domain}, Deps{Store: h.f, Log: slog.New(slog.DiscardHandler)})
	r.Settled()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	h.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	}
	h.t.Cleanup(h.stop)
	h.w.r = r
	h.receivers = nil
	h.senders = []*peer{h.w.online("ada", "s", 0), h.w.online("bob", "s", 0)}
}

func (h *history) step() {
	switch n := h.rnd.IntN(100); {
	case n < 50:
		h.burst(1 + h.rnd.IntN(5))
	case n < 52:
		// More than a window.
		h.burst(windowItems + 10)
	case n < 60:
		h.openOne()
	case n < 65:
		h.with(func(r *receiver) {
			r.open = false
			r.close()
			h.changed(r.account)
		})
	case n < 75:
		h.with(func(r *receiver) {
			r.send([]string{"<presence/>", "<presence><priority>1</priority></presence>", "<presence><priority>-1</priority></presence>",
				"<presence type='unavailable'/>"}[h.rnd.IntN(4)])
			h.changed(r.account)
		})
	case n < 97:
		h.with(h.acknowledge)
	case n < 98:
		h.f.set(problem.New(problem.StoreFull), nil)
		h.burst(3)
		h.f.set(nil, nil)
	default:
		h.restart()
	}
	h.observe()
}

func (h *history) with(f func(*receiver)) {
	open := slices.DeleteFunc(slices.Clone(h.receivers), func(r *receiver) bool { return !r.open })
	if len(open) > 0 {
		f(open[h.rnd.IntN(len(open))])
	}
}

func (h *history) openOne() {
	account := []string{"cleo", "dan"}[h.rnd.IntN(2)]
	r := &receiver{peer: h.w.connect(account, fmt.Sprint("r", h.rnd.IntN(3))), account: account, seen: map[int]bool{}, highest: map[string]link.Item{}, open: true}
	r.auto = false
	h.receivers = append(h.receivers, r)
	if h.rnd.IntN(4) > 0 {
		r.send("<presence/>")
	}
	h.changed(account)
}

// changed is called after a call that may give to others what was meant for a
// session. All that came before it has been observed.
func (h *history) changed(account string) {
	for _, r := range h.receivers {
		if r.account == account {
			clear(r.highest)
		}
	}
	h.observe()
}

// burst sends n messages, and finds out which are owed from then on.
func (h *history) burst(n int) {
	sent := map[int]string{}
	for range n {
		h.last++
		account := []string{"cleo", "dan"}[h.rnd.IntN(2)]
		to := account + "@" + domain + []string{"", "", "/r0", "/r1", "/r2"}[h.rnd.IntN(5)]
		s := h.senders[h.rnd.IntN(len(h.senders))]
		s.send(fmt.Sprintf("<message type='chat' to='%s' id='%d'/>", to, h.last))
		sent[h.last] = account
	}
	for _, s := range h.senders {
		if got := s.confirms(); got != s.seq {
			h.t.Fatalf("%s: confirmed %d of %d", s.jid, got, s.seq)
		}
		s.mu.Lock()
		for _, d := range s.got {
			if strings.Contains(string(d.Bytes), " type='error'") {
				delete(sent, number(d))
			}
		}
		s.got = nil
		s.mu.Unlock()
	}
	for id, account := range sent {
		h.owed[account][id] = true
	}
}

// observe takes what was delivered.
func (h *history) observe() {
	h.w.sync()
	for _, r := range h.receivers {
		r.mu.Lock()
		if r.ended != "" {
			r.open = false
		}
		got := r.got
		r.got = nil
		r.mu.Unlock()
		for _, d := range got {
			if d.Item == 0 {
				continue
			}
			id := number(d)
			from := h.senders[0].jid.String()
			if !strings.Contains(string(d.Bytes), " from='"+from+"'") {
				from = h.senders[1].jid.String()
			}
			switch {
			case r.seen[id]:
				h.t.Errorf("%s: message %d came twice to one session", r.jid, id)
			case h.done[id]:
				h.t.Errorf("%s: message %d came after it was acknowledged", r.jid, id)
			case d.Item <= r.highest[from]:
				h.t.Errorf("%s: item %d came after item %d", r.jid, d.Item, r.highest[from])
			}
			r.seen[id], r.highest[from] = true, d.Item
			r.unacked = append(r.unacked, d)
		}
		if len(r.unacked) > windowItems {
			h.t.Errorf("%s: %d messages unacknowledged", r.jid, len(r.unacked))
		}
	}
}

func (h *history) acknowledge(r *receiver) {
	h.observe()
	if len(r.unacked) == 0 {
		return
	}
	n := 1 + h.rnd.IntN(len(r.unacked))
	for _, d := range r.unacked[:n] {
		h.done[number(d)] = true
	}
	h.w.r.Delivered(r.ref, r.unacked[n-1].N)
	r.unacked = r.unacked[n:]
}

// number is a message's id.
func number(d link.Delivery) int {
	n := -1
	if found := ids([]string{string(d.Bytes)}); len(found) > 0 {
		n, _ = strconv.Atoi(found[0])
	}
	return n
}

// finish lets one last session of each account take all that is left.
func (h *history) finish() {
	if h.rnd.IntN(2) == 0 {
		h.restart()
	}
	others := h.receivers
	for _, account := range []string{"cleo", "dan"} {
		r := &receiver{peer: h.w.connect(account, "last"), account: account, seen: map[int]bool{}, highest: map[string]link.Item{}, open: true}
		r.auto = false
		h.receivers = append(h.receivers, r)
		for _, other := range others {
			if other.account == account {
				other.close()
			}
		}
		r.send("<presence/>")
		// Room is only where the store has removed what was acknowledged.
		for begin := time.Now(); time.Since(begin) < time.Minute; h.observe() {
			if n, err := h.w.store.Pending(account); n == 0 && err == nil {
				break
			}
			h.acknowledge(r)
		}
		lost := 0
		for id := range h.owed[account] {
			if !h.done[id] {
				lost++
			}
		}
		if lost > 0 {
			h.t.Errorf("%s: %d of %d confirmed messages were never delivered", account, lost, len(h.owed[account]))
		}
		h.w.pending(account, 0)
	}
}
