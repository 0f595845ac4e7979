// Package link is the contract between the edge, which holds a client's or
// component's connection, and the leader, which alone routes. Between them
// stands the relay, which has both faces: it hands the calls on, directly
// where this node leads and as messages where another does, keeps what a new
// leader has to be told, and tells it. So none of the calls may depend on
// shared memory, or on an answer in the same call but for Open and Resume.
package link

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/stanza"
)

// SessionID names a session in the whole cluster for all its life, over
// resumptions and leaders; it is random, and its text is the XEP-0198 id.
type SessionID [16]byte

// String returns the id in hexadecimal.
func (id SessionID) String() string { return hex.EncodeToString(id[:]) }

// ParseSessionID reads what String has written.
func ParseSessionID(s string) (id SessionID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("session id %q is not one of ours", s)
	}
	copy(id[:], b)
	return id, nil
}

// Ref names a session on one connection. Each resumption raises Epoch, so what
// a connection that has lost the session still says about it is told apart.
type Ref struct {
	ID    SessionID
	Epoch uint32
}

// Kind tells clients from components.
type Kind uint8

// The kinds of session.
const (
	Client Kind = iota
	Component
)

// Open announces a session that has authenticated and now binds.
type Open struct {
	// Ref is new: a random ID, Epoch 0.
	Ref  Ref
	Kind Kind
	// JID is the bare JID of the account, or the component's domain.
	JID jid.JID
	// Resource that the client asks for; "" leaves it to the leader.
	Resource string
}

// HoldTime is how long a component that has lost its connection is waited for.
const HoldTime = 30 * time.Second

// Keep is how long a session waits for its peer after Detach, 0 not at all. A
// client's does as Enable has it; a component's always does: what it is sent
// meanwhile is for the next connection of the same component.
func Keep(k Kind, enabled bool, en Enable) time.Duration {
	switch {
	case k == Component:
		return HoldTime
	case enabled:
		return en.Keep
	}
	return 0
}

// Enable begins XEP-0198 on a session.
type Enable struct {
	// In and Out are the numbers of the last stanza sent and of the last
	// delivery before it; they are not counted.
	In, Out uint64
	// Keep is how long a client's session waits for it after Detach; 0 is
	// not at all.
	Keep time.Duration
}

// Resume asks for a session that may be on any node.
type Resume struct {
	ID SessionID
	// Account has authenticated; the session must be its own.
	Account jid.JID
	// H is what the client says to have got, modulo 2^32, since Enable.
	H uint32
}

// Session is all that has to be known to go on with a session elsewhere: what
// Resume hands to an edge, and what a relay tells a new leader.
type Session struct {
	Ref  Ref
	Kind Kind
	// JID is the full JID, or the component's domain.
	JID jid.JID
	// Enabled says that Enable counts.
	Enabled bool
	Enable  Enable
	// Confirmed is the number of the last stanza that is done with.
	Confirmed uint64
	// Last is the number of the last delivery made.
	Last uint64
	// Queue are the deliveries up to Last that the peer is not known to have.
	Queue []Delivery
	// Memo is the leader's own note; see Edge.
	Memo []byte
	// Detached: no connection has it at the moment.
	Detached bool
}

// Leader is what an edge calls, and a relay. Calls of one session are never
// concurrent, Close or Detach is the last of a Ref, and they take effect in
// their order. Send may block for a moment when the leader is overloaded,
// which is the back-pressure; a relay holds it while there is no leader.
// Calls for a Ref that is not known, or not known any more, do nothing, but
// for those that return an error.
type Leader interface {
	// Open binds and returns the full JID (a component's: its domain). An
	// older session of the same resource is ended with conflict; what an
	// older one of the same component has not been Delivered is the new
	// one's. The error is a *Refusal where the peer is to be told why.
	Open(ctx context.Context, o Open, e Edge) (jid.JID, error)
	// Enable begins XEP-0198.
	Enable(ref Ref, en Enable)
	// Resume moves a session to e, under a Ref of the next Epoch; its queue
	// has lost what H covers, and all deliveries after it go to e. The edge
	// that has had it is told End with conflict. ErrNoSession where there is
	// none, or not of that account; ErrCount where H covers more than was
	// delivered, and a detached session is ended: its numbers mean nothing.
	Resume(ctx context.Context, r Resume, e Edge) (Session, error)
	// Send hands over the peer's stanza number seq, counted from 1 without
	// a gap, resumptions included. The leader sets from. The element belongs
	// to the leader. A number that was applied before is confirmed, and has
	// no further effect.
	Send(ref Ref, seq uint64, e *stanza.Element)
	// Delivered says that the peer has all deliveries up to n: it
	// acknowledged them (XEP-0198) or, where it does not, they were written.
	Delivered(ref Ref, n uint64)
	// Detach says that the connection is gone without the stream's end. The
	// session stays available and waits as long as Keep has it, then it is
	// closed.
	Detach(ref Ref)
	// Close ends a session; what was not Delivered goes back to be routed
	// anew, or, a component's, to its senders. Where the peer sent no unavailable presence the leader does.
	Close(ref Ref)
}

// Announcer is a leader that sessions of before its time are announced to.
type Announcer interface {
	Leader
	// Attach installs a session with the state that a relay has kept,
	// silently: nobody is sent presence. It replaces what the leader has of
	// the session, unless that has a higher epoch; then, and where the
	// session cannot be (no such account), e is told End.
	Attach(s Session, e Edge)
	// Lost says that the node of e is gone or not to be reached: its
	// sessions are detached, those too that cannot be resumed, for a short
	// grace in which their relay may come back and attach them. Until then
	// to, if not nil, is told of them in e's place.
	Lost(e Edge, to Keeper)
	// Settled says that no node is waited for any more that may attach
	// sessions. Until then the leader holds back what is sent (not what is
	// attached), lest it takes somebody for absent.
	Settled()
}

// Edge is what the leader calls, from one goroutine. Calls must not block: an
// edge queues, and closes a session whose queue is full. Calls for a Ref that
// it does not have, or not any more, do nothing.
type Edge interface {
	// Deliver sends a stanza to the session's peer.
	Deliver(ref Ref, d Delivery)
	// Confirm says that the leader is done with the session's stanzas up to
	// seq: what had to be durable is on a majority of disks. Only now may
	// they be counted in <a h=…/>.
	Confirm(ref Ref, seq uint64)
	// Memo replaces what the leader wants to be told of the session by
	// Attach, should another be leader then. Only a leader reads it.
	Memo(ref Ref, memo []byte)
	// End closes the session's stream with a stream error (a condition of
	// RFC 6120 §4.9.3). The leader has already forgotten the session.
	End(ref Ref, condition string)
}

// Keeper is the edge of the leader's own node, to which sessions are left whose
// node is lost: what only the leader knew would be lost with it.
type Keeper interface {
	Edge
	// Keep takes a detached session; calls for it follow.
	Keep(s Session)
}

// Item numbers a durable message that waits for its recipient, in the order of
// the log. 0 is none.
type Item uint64

// Delivery is a stanza on its way to a session.
type Delivery struct {
	// N numbers the session's deliveries from 1 without a gap.
	N uint64
	// Item of a durable message, 0 where the stanza is not kept.
	Item Item
	// Cause is what a delivery that is not kept comes of, zero where it may
	// be made twice.
	Cause Cause
	// Bytes are the stanza as it stands on a stream whose default namespace
	// is the content namespace. They are shared and read-only.
	Bytes []byte
}

// Cause is the stanza that a delivery is, or answers. A session is delivered
// one thing of a stanza at most, so a leader to whom the stanza is sent again
// sees by it what the leader before has done already.
type Cause struct {
	// ID and Seq are of the sender's session.
	ID  SessionID
	Seq uint64
	// Sum is the stanza's CRC-32: some clients send again in another order
	// after a resumption, and then a number stands for another stanza.
	Sum uint32
}

// Refusal is an Open that the peer is told of.
type Refusal struct{ Condition stanza.Condition }

// Error implements error.
func (r *Refusal) Error() string { return "bind refused: " + string(r.Condition) }

// Error is a fixed error of this contract, which keeps its meaning between nodes.
type Error string

// Error implements error.
func (e Error) Error() string { return string(e) }

// The errors of Resume, and of Open and Resume while there is no leader.
const (
	ErrNoSession Error = "no such session"
	ErrCount     Error = "more acknowledged than was delivered"
	ErrNoLeader  Error = "no leader"
)
