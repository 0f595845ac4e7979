package faults

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"parley/services/xmpp/client"
)

// History is what clients did and saw, of all messages. The clients write it;
// Check reads it when they are done.
type History struct {
	begun time.Time
	// now is the time since then, on a clock that nobody sets.
	now func() time.Duration

	mu    sync.Mutex
	out   *bufio.Writer
	pairs map[pair]*dialogue
	// questions by their ids.
	questions map[string]*question
	// nowhere are deliveries of what nobody sent.
	nowhere []string
	// turnedAway are right passwords that were refused.
	turnedAway []string
	// sessions count the times that a client bound.
	sessions map[int]int
	// last is the time of the last delivery to anyone.
	last time.Duration
	// longest is the longest silence since it was last asked for.
	longest time.Duration
	counts  Counts
	// refusals are the conditions of stanza errors.
	refusals map[string]int
}

// Counts are figures of a History.
type Counts struct {
	Sent, Acked, Delivered, Refused int
	Bound, Resumed, Lost            int
	AgainReceiver, AgainSender      int
	Asked, Answered                 int
}

// pair is who writes to whom.
type pair struct{ from, to int }

// dialogue is all that one wrote to another; message n has index n.
type dialogue struct {
	messages []message
	arrived  []arrival
}

type message struct {
	sent, acked time.Duration
	// refused says that it was answered with an error, and repeated that its
	// sender, in a new session, sent it again.
	isAcked, refused, repeated bool
}

// arrival is message n that came in the receiver's session of that number.
type arrival struct {
	n, session int
	at         time.Duration
}

// newHistory returns one that writes a line for each event to out, nil for
// none.
func newHistory(out io.Writer) *History {
	begun := time.Now()
	h := &History{
		begun: begun, now: func() time.Duration { return time.Since(begun) },
		pairs: make(map[pair]*dialogue), questions: make(map[string]*question), sessions: make(map[int]int), refusals: make(map[string]int),
	}
	if out != nil {
		h.out = bufio.NewWriterSize(out, 1<<20)
	}
	return h
}

// id names message n of a pair; parseID reads it.
func (p pair) id(n int) string { return fmt.Sprintf("%d>%d:%d", p.from, p.to, n) }

func parseID(id string) (pair, int, error) {
	from, rest, ok := strings.Cut(id, ">")
	to, number, ok2 := strings.Cut(rest, ":")
	var p pair
	var n int
	var err error
	if ok && ok2 {
		if p.from, err = strconv.Atoi(from); err == nil {
			if p.to, err = strconv.Atoi(to); err == nil {
				n, err = strconv.Atoi(number)
			}
		}
	}
	if !ok || !ok2 || err != nil {
		return p, 0, fmt.Errorf("%q is no message's id", id)
	}
	return p, n, nil
}

// note writes a line. The caller holds mu.
func (h *History) note(what string, id string) {
	if h.out != nil {
		fmt.Fprintf(h.out, "%.6f %s %s\n", h.now().Seconds(), what, id)
	}
}

// Note writes a line about something else, such as a fault.
func (h *History) Note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note("note", fmt.Sprintf(format, args...))
}

// send numbers the next message of a pair, before it is sent.
func (h *History) send(p pair) (id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.pairs[p]
	if d == nil {
		d = &dialogue{}
		h.pairs[p] = d
	}
	id = p.id(len(d.messages))
	d.messages = append(d.messages, message{sent: h.now()})
	h.counts.Sent++
	h.note("send", id)
	return id
}

// of finds a message that was sent, or nil.
func (h *History) of(id string) (*dialogue, pair, int) {
	p, n, err := parseID(id)
	if err != nil {
		return nil, p, 0
	}
	d := h.pairs[p]
	if d == nil || n < 0 || n >= len(d.messages) {
		return nil, p, n
	}
	return d, p, n
}

func (h *History) acked(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note("acked", id)
	if d, _, n := h.of(id); d != nil {
		d.messages[n].isAcked, d.messages[n].acked = true, h.now()
		h.counts.Acked++
	}
}

func (h *History) repeated(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note("repeated", id)
	if d, _, n := h.of(id); d != nil {
		d.messages[n].repeated = true
	} else if q := h.questions[id]; q != nil {
		q.repeated = true
	}
}

// refused is a stanza error that a sender was answered with.
func (h *History) refused(id, condition string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note("refused "+condition, id)
	if d, _, n := h.of(id); d != nil {
		d.messages[n].refused = true
		h.counts.Refused++
		h.refusals[condition]++
	}
}

// received is a message with an id that came to client to, of client from by
// its address.
func (h *History) received(to int, from, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.now()
	h.note(fmt.Sprintf("received %d.%d", to, h.sessions[to]), id)
	d, p, n := h.of(id)
	if d == nil || p.to != to || user(p.from) != from {
		h.nowhere = append(h.nowhere, fmt.Sprintf("%s, of %s, came to %s", id, from, user(to)))
		return
	}
	d.arrived = append(d.arrived, arrival{n: n, session: h.sessions[to], at: at})
	h.counts.Delivered++
	h.longest = max(h.longest, at-h.last)
	h.last = at
}

// connection is a change of a client's connection.
func (h *History) connection(who int, what, addr string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(what, fmt.Sprintf("%s %s %v", user(who), addr, err))
	switch what {
	case "bound":
		h.sessions[who]++
		h.counts.Bound++
	case "resumed":
		h.counts.Resumed++
	case "lost":
		h.counts.Lost++
		if errors.Is(err, client.ErrPassword) {
			h.turnedAway = append(h.turnedAway, fmt.Sprintf("%s at %s, at %.3f s", user(who), addr, h.now().Seconds()))
		}
	}
}

// silence returns the longest time without a delivery since the last call.
func (h *History) silence() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	longest := max(h.longest, now-h.last)
	h.longest = 0
	h.last = now
	return longest
}

// missing counts the messages that were acknowledged, not refused, and have
// not arrived.
func (h *History) missing() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	missing := 0
	for _, d := range h.pairs {
		missing += len(d.lost())
	}
	return missing
}

// lost are the numbers of messages that should have arrived and have not.
func (d *dialogue) lost() []int {
	arrived := make([]bool, len(d.messages))
	for _, a := range d.arrived {
		arrived[a.n] = true
	}
	var lost []int
	for n, m := range d.messages {
		if m.isAcked && !m.refused && !arrived[n] {
			lost = append(lost, n)
		}
	}
	return lost
}

// flush writes out what has been noted.
func (h *History) flush() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.out == nil {
		return nil
	}
	return h.out.Flush()
}
