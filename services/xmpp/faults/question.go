package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"parley/services/xmpp/stanza"
)

// question is an IQ of one client to another. It is not kept, so it may be
// lost with a session; but it must not come twice, nor be answered twice.
type question struct {
	pair
	// came and answered have the receiver's and the sender's session, of each
	// time.
	came, answered []int
	// repeated says that its sender, in a new session, sent it again.
	repeated bool
}

const questionPrefix = "q"

// stanza is what is sent.
func (q *question) stanza(id string) *stanza.Element {
	return stanza.New(stanza.NSClient, "iq", "type", "get", "id", id, "to", user(q.to)+"@"+Domain+"/"+resource).
		Add(stanza.New(stanza.NSPing, "ping"))
}

// ask numbers a question before it is sent.
func (h *History) ask(p pair) *stanza.Element {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := questionPrefix + p.id(len(h.questions))
	q := &question{pair: p}
	h.questions[id] = q
	h.counts.Asked++
	h.note("ask", id)
	return q.stanza(id)
}

// asked is a question or an answer that came to client at.
func (h *History) asked(at int, e *stanza.Element) {
	id := e.Attr("id")
	if !strings.HasPrefix(id, questionPrefix) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	request := e.Attr("type") == "get"
	h.note(fmt.Sprintf("%s %d.%d", e.Attr("type"), at, h.sessions[at]), id)
	q := h.questions[id]
	switch {
	case q == nil || request && q.to != at || !request && q.from != at:
		h.nowhere = append(h.nowhere, fmt.Sprintf("question %s came to %s", id, user(at)))
	case request:
		q.came = append(q.came, h.sessions[at])
	default:
		if len(q.answered) == 0 {
			h.counts.Answered++
		}
		q.answered = append(q.answered, h.sessions[at])
	}
}

// checkQuestions returns those that came, or were answered, more than once in
// a session, though their sender sent them once.
func (h *History) checkQuestions() []string {
	var broken []string
	for _, id := range slices.Sorted(maps.Keys(h.questions)) {
		q := h.questions[id]
		if q.repeated {
			continue
		}
		if again(q.came) {
			broken = append(broken, fmt.Sprintf("question twice: %s came in sessions %v", id, q.came))
		}
		if again(q.answered) {
			broken = append(broken, fmt.Sprintf("answer twice: %s was answered in sessions %v", id, q.answered))
		}
	}
	return broken
}

// again says that a session is among them twice.
func again(sessions []int) bool {
	s := slices.Clone(sessions)
	slices.Sort(s)
	return len(slices.Compact(s)) < len(sessions)
}
