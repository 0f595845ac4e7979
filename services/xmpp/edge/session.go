package edge

import (
	"crypto/tls"
	"errors"
	"io"
	"sync"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// session is a bound client or an accepted component on one connection. One that
// was resumed is another session here, whose ref has the next epoch.
//
// One goroutine, run's, reads; write's writes while there is something to
// write. The leader's calls come from its goroutine and only take mu, which
// nobody holds while waiting for a network or for the leader.
type session struct {
	peer *peer
	ref  link.Ref
	kind link.Kind
	// jid is a client's full JID, a component's domain.
	jid jid.JID
	// lang is the stream's, which stanzas without one of their own get
	// (RFC 6120 §8.1.5).
	lang string

	// order makes the calls to the leader follow one another: Delivered comes
	// from both goroutines. It is taken before mu, never with mu held; who
	// has released it calls report.
	order sync.Mutex

	mu sync.Mutex
	// change is signalled when something that run waits for may have come.
	change sync.Cond
	// open says that the answer to the binding has been queued; until then
	// the leader's deliveries wait.
	open bool
	// closing says that the end of our stream has been queued: nothing
	// follows. ended says that the leader has forgotten the session.
	closing, ended bool
	// broken says that nothing can be written any more.
	broken bool

	outbound
	inbound
	// acks is nil until the peer enables acknowledgements.
	acks *acks
}

// inbound numbers what comes in.
type inbound struct {
	// sent is the number of the last stanza that the leader was given,
	// confirmed of the last that it is done with.
	sent, confirmed uint64
}

func newSession(p *peer, kind link.Kind, lang string) *session {
	// RFC 5646 §4.4.1: what is longer is no language anybody has.
	if len(lang) > 35 {
		lang = ""
	}
	s := &session{peer: p, kind: kind, lang: lang}
	s.change.L = &s.mu
	return s
}

// begin queues the answer to the binding or resumption, before all that the
// leader has delivered by now.
func (s *session) begin(full jid.JID, answer []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jid = full
	if s.closing {
		s.peer.conn.SetWriteDeadline(time.Now().Add(s.peer.edge.limits.Close))
	}
	s.open = true
	s.out = append(answer, s.out...)
	s.kick()
}

// run reads until the stream ends, and parts. It owns the connection.
func (s *session) run() {
	e := s.peer.edge
	e.log.Debug("session opened", "jid", s.jid.String(), "addr", s.peer.addr)
	err := s.read()
	last := s.part(err)
	e.sessions.remove(s)
	s.leave(err)
	if last {
		s.linger()
	}
	s.peer.scanner.Release()
	s.peer.wire.Close()
	e.log.Debug("session closed", "jid", s.jid.String(), "reason", err)
}

// leave makes the last call to the leader: nobody writes any more, so no
// Delivered can follow. A session whose peer may come back for it stays, but
// where the peer has closed its stream, or broken its rules, by read's err.
func (s *session) leave(err error) {
	var fault *stream.Error
	over := err == io.EOF || errors.As(err, &fault) && fault.Condition != stream.ConnectionTimeout
	s.mu.Lock()
	s.stopAckTimer()
	ended := s.ended
	kept := !over && (s.kind == link.Component || s.acks != nil && s.acks.keep > 0)
	s.mu.Unlock()
	if ended {
		return
	}
	s.order.Lock()
	defer s.order.Unlock()
	s.reportNow()
	if kept {
		s.peer.edge.deps.Leader.Detach(s.ref)
	} else {
		s.peer.edge.deps.Leader.Close(s.ref)
	}
}

// errClosing is read's answer once our side is closed.
var errClosing = errors.New("stream closed by this side")

// read handles what comes in. It returns io.EOF when the peer closed its
// stream, a *stream.Error to close ours with, errClosing when ours is closed,
// another error when the connection is gone.
func (s *session) read() error {
	poked := false
	for {
		wait := s.peer.edge.limits.Silence
		if poked {
			wait = s.peer.edge.limits.Answer
		}
		if err := s.ready(wait); err != nil {
			return err
		}
		e, err := s.peer.scanner.Next()
		switch {
		case err == nil:
			poked = false
			if err := s.handle(e); err != nil {
				return err
			}
		case !isTimeout(err):
			return err
		case poked && (s.expectsAck() || s.peer.scanner.Buffered() > 0):
			return &stream.Error{Condition: stream.ConnectionTimeout}
		default:
			s.poke()
			poked = true
		}
	}
}

// componentPoke is how often a component whose window is full is shown that the
// node lives: Call Bridges give up one that says nothing for a second and a bit.
const componentPoke = 500 * time.Millisecond

// ready waits until one more stanza may be taken in, and sets the time for it
// to come.
//
// The window is the bound on what the leader holds of a session before it is
// durable: a peer that sends faster than a majority of disks can write is no
// longer read from, and TCP holds it back.
func (s *session) ready(wait time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full() {
		// Nothing is read, so nothing pokes; the peer is to see that this
		// side is there.
		pause := s.peer.edge.limits.Silence
		if s.kind == link.Component && s.acks != nil {
			pause = componentPoke
		}
		var t *time.Timer
		t = time.AfterFunc(pause, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.full() {
				s.pokeNow()
				t.Reset(pause)
			}
		})
		for s.full() {
			s.change.Wait()
		}
		t.Stop()
	}
	if s.closing || s.broken {
		return errClosing
	}
	return s.peer.conn.SetReadDeadline(time.Now().Add(wait))
}

// full says that the window is. The caller holds mu.
func (s *session) full() bool {
	return s.sent-s.confirmed >= uint64(s.peer.edge.limits.Window) && !s.closing && !s.broken
}

// handle takes one element of the open stream.
func (s *session) handle(e *stanza.Element) error {
	if e.Name.Space == stanza.NSSM {
		return s.handleSM(e)
	}
	if e.Name.Space == stanza.NSStreams && e.Name.Local == "error" {
		// The peer's stream error is its last word (RFC 6120 §4.9.1.1).
		if c := e.First(); c != nil {
			s.peer.edge.log.Debug("stream error in", "session", s.jid.String(), "condition", clip(c.Name.Local))
		}
		return io.EOF
	}
	if e.Name.Space != stanza.NSClient || e.Name.Local != "message" && e.Name.Local != "presence" && e.Name.Local != "iq" {
		return &stream.Error{Condition: stream.UnsupportedStanzaType}
	}
	s.traceIn(e)
	if err := s.checkFrom(e); err != nil {
		return err
	}
	s.setLang(e)
	s.mu.Lock()
	s.sent++
	seq := s.sent
	s.mu.Unlock()
	s.order.Lock()
	s.peer.edge.deps.Leader.Send(s.ref, seq, e)
	s.order.Unlock()
	s.report()
	return nil
}

// checkFrom lets nobody send as another: RFC 6120 §8.1.2.1 for clients,
// XEP-0114 §3 for components.
func (s *session) checkFrom(e *stanza.Element) error {
	text := e.Attr("from")
	if text == "" && s.kind == link.Client {
		return nil
	}
	from, err := jid.Parse(text)
	if err == nil && s.kind == link.Component && from.Domain() == s.jid.Domain() {
		return nil
	}
	if err == nil && s.kind == link.Client && (from == s.jid || from == s.jid.Bare()) {
		return nil
	}
	return &stream.Error{Condition: stream.InvalidFrom}
}

func (s *session) setLang(e *stanza.Element) {
	if s.lang == "" {
		return
	}
	name := stanza.Name{Space: stanza.NSXML, Local: "lang"}
	for _, a := range e.Attrs {
		if a.Name == name {
			return
		}
	}
	e.Attrs = append(e.Attrs, stanza.Attr{Name: name, Value: s.lang})
}

// poke has a peer that was silent show that it is there: by an <a/>, or, where
// it has no XEP-0198, by the kernel, whose TCP_USER_TIMEOUT ends a connection
// that does not take a byte.
func (s *session) poke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pokeNow()
}

// pokeNow is poke for callers that hold mu.
func (s *session) pokeNow() {
	if s.closing || s.broken {
		return
	}
	if s.acks != nil {
		s.ask()
	} else if len(s.out) == 0 {
		s.out = append(s.out, ' ')
	}
	s.kick()
}

// end closes our side of the stream from any goroutine; run does the rest.
// forgotten says that the leader wants no Close.
func (s *session) end(why *stream.Error, forgotten bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = s.ended || forgotten
	s.closeStream(why)
}

// dismiss is end for reasons of this side. What the peer has not been told of is
// counted first: not every client that could resume does after an error.
func (s *session) dismiss(why *stream.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.acks; a != nil && s.confirmed > max(a.told, a.in) {
		s.sendAck()
	}
	s.closeStream(why)
}

// closeStream queues a stream error, unless it is nil, and the end of our
// stream, and wakes run. The caller holds mu.
func (s *session) closeStream(why *stream.Error) {
	if s.closing {
		return
	}
	s.closing = true
	if why != nil {
		s.peer.edge.log.Debug("stream error out", "session", s.jid.String(), "condition", string(why.Condition))
		s.out = appendFault(s.out, why)
	}
	s.out = append(s.out, stream.End...)
	now := time.Now()
	s.peer.conn.SetReadDeadline(now)
	s.peer.conn.SetWriteDeadline(now.Add(s.peer.edge.limits.Close))
	s.kick()
	s.change.Broadcast()
}

// part ends the stream after read has, for the reason err. Nothing is written
// after it. It says whether the peer may still be reading.
func (s *session) part(err error) bool {
	var fault *stream.Error
	switch {
	case errors.As(err, &fault):
		s.end(fault, false)
	case err == io.EOF:
		s.lastAck()
		s.end(nil, false)
	case err != errClosing:
		s.mu.Lock()
		s.fail()
		s.mu.Unlock()
	}
	if !s.flush() {
		return false
	}
	if t, ok := s.peer.conn.(*tls.Conn); ok {
		t.CloseWrite()
	}
	s.peer.wire.closeWrite()
	if err != errClosing {
		return true
	}
	// The peer did not end this; what it acknowledges on its way still counts.
	s.peer.conn.SetReadDeadline(time.Now().Add(s.peer.edge.limits.Close))
	for {
		e, err := s.peer.scanner.Next()
		if err != nil {
			return err == io.EOF
		}
		if e.Is(stanza.NSSM, "a") && s.handleSM(e) != nil {
			return true
		}
	}
}

// linger waits for the peer to close its side: a close before that resets the
// connection, and our last word may be lost.
func (s *session) linger() {
	s.peer.wire.SetReadDeadline(time.Now().Add(s.peer.edge.limits.Close))
	io.CopyN(io.Discard, s.peer.wire.Conn, lingerBytes)
}
