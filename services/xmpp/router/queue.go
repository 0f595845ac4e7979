package router

import (
	"slices"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

// Bounds of a queue; a session that has more is ended.
const (
	maxQueue      = 16 << 10
	maxQueueBytes = 4 << 20
)

// queue is what was delivered to a session and is not known to have come to its
// peer, numbered without a gap up to last.
type queue struct {
	// list[head:] are the deliveries.
	list []link.Delivery
	head int
	size int
	last uint64
}

// Bounds of late stanzas; of more the oldest are dropped.
const (
	maxLate      = 1024
	maxLateBytes = 1 << 20
)

// late are stanzas for an orphan that are not kept, and have no numbers yet.
type late struct {
	list []link.Delivery
	size int
}

func (l *late) add(d link.Delivery) {
	l.list = append(l.list, d)
	l.size += len(d.Bytes)
	for len(l.list) > maxLate || l.size > maxLateBytes {
		l.size -= len(l.list[0].Bytes)
		l.list[0] = link.Delivery{}
		l.list = l.list[1:]
	}
}

func (q *queue) deliveries() []link.Delivery { return q.list[q.head:] }

// had is the last delivery that the peer is known to have.
func (q *queue) had() uint64 {
	if q.head < len(q.list) {
		return q.list[q.head].N - 1
	}
	return q.last
}

func (q *queue) fits(n int) bool {
	waiting := len(q.list) - q.head
	return waiting == 0 || waiting < maxQueue && q.size+n <= maxQueueBytes
}

func (q *queue) add(d link.Delivery) {
	if q.head > len(q.list)/2 && len(q.list) == cap(q.list) {
		q.list = slices.Delete(q.list, 0, q.head)
		q.head = 0
	}
	q.list = append(q.list, d)
	q.size += len(d.Bytes)
}

func (q *queue) pop() link.Delivery {
	d := q.list[q.head]
	q.list[q.head] = link.Delivery{}
	q.head++
	q.size -= len(d.Bytes)
	if q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
	}
	return d
}

// wire is a stanza as it is delivered. Make it once for all its recipients.
func wire(e *stanza.Element) []byte { return e.Append(nil, stanza.NSClient) }

// deliver sends a stanza to one session.
func (r *Router) deliver(s *session, e *stanza.Element) { r.send(s, link.Delivery{Bytes: wire(e)}) }

// send numbers a delivery, queues it, and hands it to the session's edge. A
// session whose queue is full is ended at the end of the batch, when nobody is
// in the middle of a loop over sessions.
// What cannot be held for a component is dropped: who tells the sender asks
// before.
func (r *Router) send(s *session, d link.Delivery) {
	if s.kind == link.Component && !s.takes(len(d.Bytes)) {
		return
	}
	if s.orphan {
		s.late.add(d)
		return
	}
	if !s.overfull && !s.fits(len(d.Bytes)) {
		s.overfull = true
		r.overfull = append(r.overfull, s)
	}
	s.last++
	d.N = s.last
	s.queue.add(d)
	if s.edge != nil && !s.overfull {
		s.edge.Deliver(s.ref, d)
	}
}

// found delivers what has waited for an orphan.
func (r *Router) found(s *session) {
	waited := s.late.list
	s.orphan, s.late = false, late{}
	for _, d := range waited {
		r.send(s, d)
	}
	if s.behind && s.room() {
		r.hungry[s] = struct{}{}
	}
}

// reap ends sessions whose queue is full. Their ends may fill others'.
func (r *Router) reap() {
	for i := 0; i < len(r.overfull); i++ {
		s := r.overfull[i]
		r.log.Warn("session ended: it does not take what it is sent", "jid", s.jid.String(), "waiting", len(s.deliveries()), "bytes", s.size)
		r.end(s, "resource-constraint")
	}
	clear(r.overfull)
	r.overfull = r.overfull[:0]
}

// delivered takes a session's word that it has all up to n.
func (r *Router) delivered(s *session, n uint64) {
	for s.head < len(s.list) && s.list[s.head].N <= n {
		d := s.queue.pop()
		if d.Item != 0 && s.user != nil {
			r.taken(s, d)
		}
	}
	if s.behind && s.room() {
		r.hungry[s] = struct{}{}
	}
}
