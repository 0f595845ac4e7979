package router

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"

	"parley/services/xmpp/authenticator"
	"parley/services/xmpp/jid"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// lease names one hold of one edge on a session, by Open, Attach or Resume. An
// edge that attaches a session with the lease that was last given for it has
// counted the deliveries as this router has; no other has, after its origin.
type lease struct{ router, n uint64 }

// leases gives them out.
type leases struct{ last lease }

func newLeases() leases {
	var b [8]byte
	rand.Read(b[:])
	return leases{lease{router: binary.BigEndian.Uint64(b[:])}}
}

// lend gives a session a new lease, of which its edge is told before any
// delivery that is numbered under it.
func (r *Router) lend(s *session) {
	r.leases.last.n++
	s.lease = r.leases.last
	s.edge.Memo(s.ref, s.memo())
}

// remember has the session's memo told before the batch's Confirms.
func (r *Router) remember(s *session) {
	if !s.noted {
		s.noted = true
		r.noted = append(r.noted, s)
	}
}

// note tells the memos that have changed.
func (r *Router) note() {
	for i, s := range r.noted {
		r.noted[i] = nil
		s.noted = false
		if r.lives(s) && s.edge != nil {
			s.edge.Memo(s.ref, s.memo())
		}
	}
	r.noted = r.noted[:0]
}

// memo is what the next leader has to know of a session: the leader's own note
// in link.Session.
type memo struct {
	lease      lease
	interested bool
	// presence is nil for a resource that is not available.
	presence *stanza.Element
	directed map[jid.JID]struct{}
	// offer is as in session.
	offer string
}

// memoVersion is the first byte. A leader that does not know it takes the
// session for one that has said nothing yet.
const memoVersion = 1

const (
	memoInterested = 1 << iota
	memoAvailable
	memoOffer
)

// errMemo: these bytes are not a memo.
var errMemo = errors.New("memo not readable")

func (s *session) memo() []byte {
	return memo{s.lease, s.interested, s.presence, s.directed, s.offer}.encode()
}

func (m memo) encode() []byte {
	b := []byte{memoVersion, 0}
	b = binary.BigEndian.AppendUint64(b, m.lease.router)
	b = binary.BigEndian.AppendUint64(b, m.lease.n)
	if m.interested {
		b[1] |= memoInterested
	}
	if m.presence != nil {
		b[1] |= memoAvailable
		b = appendPart(b, m.presence.Append(nil, ""))
	}
	if m.offer != "" {
		b[1] |= memoOffer
		b = appendPart(b, []byte(m.offer))
	}
	for _, to := range slices.SortedFunc(maps.Keys(m.directed), func(a, b jid.JID) int { return strings.Compare(a.String(), b.String()) }) {
		b = appendPart(b, []byte(to.String()))
	}
	return b
}

func appendPart(b, part []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}

func decodeMemo(b []byte) (m memo, err error) {
	if len(b) < 18 || b[0] != memoVersion {
		return memo{}, errMemo
	}
	flags := b[1]
	m.lease = lease{binary.BigEndian.Uint64(b[2:]), binary.BigEndian.Uint64(b[10:])}
	m.interested = flags&memoInterested != 0
	m.directed = map[jid.JID]struct{}{}
	b = b[18:]
	part := func() (p []byte, ok bool) {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return nil, false
		}
		p, b = b[w:w+int(n)], b[w+int(n):]
		return p, true
	}
	if flags&memoAvailable != 0 {
		p, ok := part()
		if !ok {
			return memo{}, errMemo
		}
		// The tree must not hold on to the memo.
		if m.presence, err = stream.Parse(bytes.Clone(p)); err != nil {
			return memo{}, err
		}
		if _, ok := priority(m.presence); !ok || !m.presence.Is(stanza.NSClient, "presence") || m.presence.Attr("type") != "" {
			return memo{}, errMemo
		}
	}
	if flags&memoOffer != 0 {
		p, ok := part()
		if !ok || authenticator.CheckKey(string(p)) != nil {
			return memo{}, errMemo
		}
		m.offer = string(p)
	}
	for len(b) > 0 && len(m.directed) < maxDirected {
		p, ok := part()
		if !ok {
			return memo{}, errMemo
		}
		to, err := jid.Parse(string(p))
		if err != nil {
			return memo{}, err
		}
		m.directed[to] = struct{}{}
	}
	return m, nil
}
