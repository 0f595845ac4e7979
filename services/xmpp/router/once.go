package router

import (
	"hash/crc32"
	"maps"
	"slices"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

// running is the stanza whose job is run.
type running struct {
	from link.SessionID
	seq  uint64
	e    *stanza.Element
}

// once delivers what comes of the stanza that is run: the stanza itself or the
// answer to it, which is one at most for each session. Unless the leader before
// has delivered it: then the sender's relay, which does not know, has sent the
// stanza again. Messages that are kept have their numbers in the log instead.
func (r *Router) once(s *session, b []byte) {
	d := link.Delivery{Bytes: b}
	if r.running.seq != 0 {
		d.Cause = link.Cause{ID: r.running.from, Seq: r.running.seq, Sum: crc32.ChecksumIEEE(wire(r.running.e))}
		if _, done := s.earlier[d.Cause]; done {
			return
		}
	}
	r.send(s, d)
}

// learn notes what a session was delivered by the leader before.
func (s *session) learn(ds []link.Delivery) {
	for i := range ds {
		if ds[i].Cause.Seq == 0 {
			continue
		}
		if s.earlier == nil {
			s.earlier = map[link.Cause]struct{}{}
		}
		s.earlier[ds[i].Cause] = struct{}{}
	}
}

// learned is what learn was told, as deliveries that are done.
func (s *session) learned() (ds []link.Delivery) {
	for _, c := range slices.Collect(maps.Keys(s.earlier)) {
		ds = append(ds, link.Delivery{Cause: c})
	}
	return ds
}
