package relay

import (
	"context"
	"errors"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

// kind of a message.
type kind uint8

// The messages. Those of the middle part are the calls of link.Leader and of
// link.Edge under their names; the bit mirrored makes one the record of a call
// for a session of the leader's own node.
const (
	kHello kind = iota + 1
	kWelcome
	kRetry

	kAttach
	kAttachEnd
	kOpen
	kResume
	kCancel
	kEnable
	kSend
	kDelivered
	kDetach
	kClose

	kOpened
	kResumed
	kPassed
	kDeliver
	kConfirm
	kMemo
	kEnd
	kDrop
	kRevive
	kKeep

	kMirrorBegin
	kMirrorWhole
	kMirrorDrop
	kMirrorBeat
	kMirrorAck

	mirrored kind = 0x40
)

// message is any of them; which fields count is a matter of the kind, and
// stands in fields.
type message struct {
	kind kind
	ref  link.Ref
	// n is the number of a stanza, delivery, question or term, m another.
	n, m    uint64
	item    link.Item
	cause   link.Cause
	bytes   []byte
	text    string
	jid     jid.JID
	session *link.Session
	enable  link.Enable
	what    link.Kind
	fault   fault
	// stanza is a Send's on the way to a leader of this node, in place of
	// bytes. It is not sent.
	stanza *stanza.Element
}

// fields says what a kind's message consists of, in the order in which it is
// written: r ref, n n, m m, i item, c cause, b bytes, t text, j jid, s session, e
// enable, w what, f fault.
var fields = [...]string{
	kHello: "nmt", kWelcome: "nm", kRetry: "t",
	kAttach: "snm", kAttachEnd: "", kOpen: "nrwjt", kResume: "nrjm", kCancel: "n",
	kEnable: "re", kSend: "rnb", kDelivered: "rn", kDetach: "r", kClose: "r",
	kOpened: "nrjft", kResumed: "nsft", kPassed: "n",
	kDeliver: "rnicb", kConfirm: "rn", kMemo: "rb", kEnd: "rt", kDrop: "r", kRevive: "r", kKeep: "s",
	kMirrorBegin: "n", kMirrorWhole: "", kMirrorDrop: "", kMirrorBeat: "n", kMirrorAck: "nm",
}

// fault is the kind of error in an answer; its words are the text.
type fault uint8

const (
	faultNone fault = iota
	// faultRefusal is a *link.Refusal.
	faultRefusal
	// faultLink is a link.Error.
	faultLink
	// faultOther may pass, so the question is put again.
	faultOther
)

func faultOf(err error) (fault, string) {
	if err == nil {
		return faultNone, ""
	}
	if r, ok := errors.AsType[*link.Refusal](err); ok {
		return faultRefusal, string(r.Condition)
	}
	if e, ok := errors.AsType[link.Error](err); ok && e != link.ErrNoLeader {
		return faultLink, string(e)
	}
	return faultOther, err.Error()
}

func (f fault) err(text string) error {
	switch f {
	case faultNone:
		return nil
	case faultRefusal:
		return &link.Refusal{Condition: stanza.Condition(text)}
	case faultLink:
		return link.Error(text)
	}
	return errors.New(text)
}

func deliverMessage(ref link.Ref, d link.Delivery) message {
	return message{kind: kDeliver, ref: ref, n: d.N, item: d.Item, cause: d.Cause, bytes: d.Bytes}
}

func (m *message) delivery() link.Delivery {
	return link.Delivery{N: m.n, Item: m.item, Cause: m.cause, Bytes: m.bytes}
}

func (m *message) open() link.Open {
	return link.Open{Ref: m.ref, Kind: m.what, JID: m.jid, Resource: m.text}
}

func (m *message) resume() link.Resume {
	return link.Resume{ID: m.ref.ID, Account: m.jid, H: uint32(m.m)}
}

// size is about what the message holds in memory.
func (m *message) size() int {
	n := 256 + len(m.bytes)
	if m.session != nil {
		for i := range m.session.Queue {
			n += len(m.session.Queue[i].Bytes)
		}
	}
	return n
}

// sleep waits for d, or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
