// Package link is the contract between the edge, which holds a client's or
// component's connection, and the leader, which alone routes. On one node the
// two call each other directly; between nodes the same calls travel as
// messages, so none of them may depend on shared memory or on an answer in
// the same call, except Open.
package link

import (
	"context"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/stanza"
)

// SessionID names a session in the whole cluster; it is random.
type SessionID [16]byte

// Kind tells clients from components.
type Kind uint8

// The kinds of session.
const (
	Client Kind = iota
	Component
)

// Open announces a session that has authenticated and now binds.
type Open struct {
	ID   SessionID
	Kind Kind
	// JID is the bare JID of the account, or the component's domain.
	JID jid.JID
	// Resource that the client asks for; "" leaves it to the leader.
	Resource string
}

// Leader is what an edge calls. Calls of one session are never concurrent, Close
// is the last, and they take effect in their order. Send and Delivered may block for
// a moment when the leader is overloaded, which is the back-pressure.
type Leader interface {
	// Open binds and returns the full JID (a component's: its domain). An
	// older session of the same resource is ended with conflict. The error
	// is a *Refusal where the peer is to be told why.
	Open(ctx context.Context, o Open, edge Edge) (jid.JID, error)
	// Send hands over the peer's stanza number seq, counted from 1 without
	// a gap. The leader sets from. The element belongs to the leader.
	Send(id SessionID, seq uint64, e *stanza.Element)
	// Delivered says that the peer has these durable items: it acknowledged
	// them (XEP-0198) or, where it does not, they were written to it.
	Delivered(id SessionID, items []Item)
	// Close ends a session; items not Delivered go back to be routed anew.
	// Where the peer sent no unavailable presence the leader does for it.
	Close(id SessionID)
}

// Edge is what the leader calls, from one goroutine, never concurrently for
// one session. Calls must not block: an edge queues, and closes a session
// whose queue is full.
type Edge interface {
	// Deliver sends a stanza to the session's peer. The element is shared
	// and read-only.
	Deliver(id SessionID, d Delivery)
	// Confirm says that the leader is done with the session's stanzas up to
	// seq: what had to be durable is on a majority of disks. Only now may
	// they be counted in <a h=…/>.
	Confirm(id SessionID, seq uint64)
	// End closes the session's stream with a stream error (a condition of
	// RFC 6120 §4.9.3). The leader has already forgotten the session.
	End(id SessionID, condition string)
}

// Item numbers a durable message that waits for its recipient, in the order of
// the log. 0 is none.
type Item uint64

// Delivery is a stanza on its way to a session.
type Delivery struct {
	Stanza *stanza.Element
	// Item to report with Delivered, 0 where the stanza is not kept.
	Item Item
}

// Refusal is an Open that the peer is told of.
type Refusal struct{ Condition stanza.Condition }

// Error implements error.
func (r *Refusal) Error() string { return "bind refused: " + string(r.Condition) }
