package faults

import (
	"cmp"
	"fmt"
	"slices"
)

// Check returns what was promised and not kept: each message that was
// acknowledged and not refused was delivered; in order for each sender and
// receiver; never twice to a client that resumed, of one that resumed; nothing
// was delivered that was not sent; no right password is refused; and no question
// came, or was answered, twice. What came again because one of the
// two had to bind anew is allowed, and counted: order then is that of the
// first arrivals.
func (h *History) Check() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.AgainReceiver, h.counts.AgainSender = 0, 0
	var broken []string
	for _, s := range h.nowhere {
		broken = append(broken, "from nowhere: "+s)
	}
	for _, s := range h.turnedAway {
		broken = append(broken, "the right password was refused: "+s)
	}
	var pairs []pair
	for p := range h.pairs {
		pairs = append(pairs, p)
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(a.from-b.from, a.to-b.to) })
	for _, p := range pairs {
		broken = append(broken, h.checkPair(p, h.pairs[p])...)
	}
	return append(broken, h.checkQuestions()...)
}

func (h *History) checkPair(p pair, d *dialogue) []string {
	var broken []string
	tell := func(n int, format string, args ...any) {
		m := &d.messages[n]
		s := fmt.Sprintf("%s (sent at %.3f s", p.id(n), m.sent.Seconds())
		if m.isAcked {
			s += fmt.Sprintf(", acknowledged at %.3f s", m.acked.Seconds())
		}
		broken = append(broken, fmt.Sprintf(format, append([]any{s + ")"}, args...)...))
	}
	for _, n := range d.lost() {
		tell(n, "lost: %s")
	}
	// first is the first arrival of each message.
	first := make(map[int]arrival, len(d.arrived))
	highest := -1
	for _, a := range d.arrived {
		before, seen := first[a.n]
		switch {
		case !seen:
			first[a.n] = a
			if a.n < highest {
				tell(a.n, "out of order: %s came at %.3f s, after number %d", a.at.Seconds(), highest)
			}
			highest = max(highest, a.n)
			if m := d.messages[a.n]; m.refused && !m.repeated {
				tell(a.n, "refused, and yet delivered: %s at %.3f s", a.at.Seconds())
			}
		case d.messages[a.n].repeated:
			h.counts.AgainSender++
		case before.session != a.session:
			h.counts.AgainReceiver++
			// A third time in this session would be one too many.
			first[a.n] = a
		default:
			tell(a.n, "twice: %s came at %.3f s and at %.3f s in one session", before.at.Seconds(), a.at.Seconds())
		}
	}
	return broken
}
