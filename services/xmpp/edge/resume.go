package edge

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// maxKeep is how long a session waits for its client to resume it.
const maxKeep = 300 * time.Second

// keepOf is the time that an <enable/> asks for, 0 where the session cannot be
// resumed.
func keepOf(enable *stanza.Element) time.Duration {
	if r := enable.Attr("resume"); r != "true" && r != "1" {
		return 0
	}
	if n, err := strconv.ParseUint(enable.Attr("max"), 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, maxKeep)
	}
	return maxKeep
}

// enabled answers an <enable/>.
func (s *session) enabled(keep time.Duration) *stanza.Element {
	answer := stanza.New(stanza.NSSM, "enabled")
	if keep == 0 {
		return answer
	}
	answer.SetAttr("id", s.ref.ID.String())
	answer.SetAttr("resume", "true")
	answer.SetAttr("max", strconv.Itoa(int(keep/time.Second)))
	if location := s.peer.edge.location; location != nil {
		answer.SetAttr("location", location())
	}
	return answer
}

// smFailed refuses to enable or to resume (XEP-0198 §3, §5).
func smFailed(why stanza.Condition) *stanza.Element {
	return stanza.New(stanza.NSSM, "failed").Add(stanza.New(stanza.NSStanzas, string(why)))
}

// remoteServerTimeout says that the leader cannot be asked; the session may
// still be there.
const remoteServerTimeout stanza.Condition = "remote-server-timeout"

// resume goes on with a session that was bound on another connection, maybe of
// another node. Where it cannot be had, failed is what to tell the client,
// which may bind then, or try again.
func (p *peer) resume(account jid.JID, request *stanza.Element, lang string) (s *session, failed stanza.Condition, err error) {
	h, err := strconv.ParseUint(request.Attr("h"), 10, 32)
	if err != nil {
		return nil, stanza.BadRequest, nil
	}
	id, err := link.ParseSessionID(request.Attr("previd"))
	if err != nil {
		return nil, stanza.ItemNotFound, nil
	}
	p.edge.sessions.await(id)
	var state link.Session
	err = p.ask(func(ctx context.Context) (err error) {
		state, err = p.edge.deps.Leader.Resume(ctx, link.Resume{ID: id, Account: account, H: uint32(h)}, p.edge)
		return err
	})
	if err != nil {
		p.edge.sessions.forsake(id)
		failed, err := p.unresumed(err, uint32(h))
		return nil, failed, err
	}
	s = newSession(p, link.Client, lang)
	s.ref = state.Ref
	fault := s.restore(state, uint32(h))
	p.edge.sessions.arrive(s)
	if fault == nil {
		fault = p.bound(s)
	}
	if fault != nil {
		p.edge.sessions.remove(s)
		p.edge.deps.Leader.Detach(s.ref)
		return nil, "", fault
	}
	s.begin(state.JID, s.resumed(state))
	return s, "", nil
}

// unresumed tells what becomes of a client whose session is not to be had.
func (p *peer) unresumed(err error, h uint32) (stanza.Condition, error) {
	var over *stream.Error
	switch {
	case errors.As(err, &over):
		return "", over
	case err == errGone:
		return "", err
	case errors.Is(err, link.ErrNoSession):
		return stanza.ItemNotFound, nil
	case errors.Is(err, link.ErrCount):
		return "", tooHigh("h", strconv.FormatUint(uint64(h), 10))
	}
	p.edge.log.Warn("session not resumed", "addr", p.addr, "err", err)
	return remoteServerTimeout, nil
}

// tooHigh is the stream error of XEP-0198 §5.
func tooHigh(attrs ...string) *stream.Error {
	return &stream.Error{Condition: stream.UndefinedCondition, Text: "more acknowledged than was sent",
		Specific: stanza.New(stanza.NSSM, "handled-count-too-high", attrs...)}
}

// restore sets the counters to where the leader has them. The session is not
// known to others yet.
func (s *session) restore(state link.Session, h uint32) error {
	en := state.Enable
	s.jid = state.JID
	s.sent, s.confirmed = state.Confirmed, state.Confirmed
	a := &acks{in: en.In, out: en.Out, acked: state.Last - uint64(len(state.Queue)), keep: en.Keep}
	s.acks = a
	s.last, s.done, s.reported = state.Last, a.acked, a.acked
	for i, d := range state.Queue {
		if d.N != a.acked+uint64(i)+1 {
			return s.inconsistent(fmt.Errorf("delivery %d stands at %d of a queue that ends with %d", d.N, i, state.Last))
		}
		if d.Item != 0 {
			a.lastItem = d.N
		}
		s.backlog += len(d.Bytes)
	}
	s.allowed = state.Last
	if !state.Enabled || s.confirmed < a.in || a.acked < a.out || uint32(a.acked-a.out) != h {
		return s.inconsistent(fmt.Errorf("counts do not agree: h=%d, %+v", h, state.Enable))
	}
	return nil
}

// inconsistent is for a state that no right leader tells: to go on with it would
// be to miscount, and to lose.
func (s *session) inconsistent(err error) error {
	s.peer.edge.log.Error("session not resumed: its state is not consistent", "jid", s.jid.String(), "err", err)
	return &stream.Error{Condition: stream.InternalServerError}
}

// resumed is the answer to a <resume/>, and what is sent again after it.
func (s *session) resumed(state link.Session) []byte {
	s.mu.Lock()
	h := s.handledCount()
	s.acks.told = s.confirmed
	s.mu.Unlock()
	answer := stanza.New(stanza.NSSM, "resumed", "previd", state.Ref.ID.String(), "h", strconv.FormatUint(uint64(h), 10))
	b := answer.Append(make([]byte, 0, 256+s.backlog), stanza.NSClient)
	for _, d := range state.Queue {
		b = append(b, d.Bytes...)
	}
	return b
}
