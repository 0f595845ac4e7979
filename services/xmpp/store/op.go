package store

import (
	"time"

	"parley/services/xmpp/link"
)

// Op is one change. It is refused as a whole or done as a whole.
type Op interface {
	// grows says that the op needs room on the disk for long; the others
	// are let through on the reserve.
	grows() bool
	code() opCode
	encode(*encoder)
	decode(*decoder)
}

// opCode is an op's number in the log; numbers are never used again.
type opCode uint8

const (
	opAccountAdd opCode = iota + 1
	opAccountDel
	opAccountSet
	opAccountImport
	opBridgeAdd
	opBridgeDel
	opRosterSet
	opRosterRemove
	opSubscription
	opMessagePut
	opDelivered
	opMessagePutOnce
	opSessionEnd
	opClusterSet
	opRecordPut
	opRecordDelete
	opRecordSwap
	opAccountsListed
)

// newOp makes the empty op of a code, nil for one that is not known.
func newOp(c opCode) Op {
	switch c {
	case opAccountAdd:
		return &AccountAdd{}
	case opAccountDel:
		return &AccountDel{}
	case opAccountSet:
		return &AccountSet{}
	case opAccountImport:
		return &AccountImport{}
	case opBridgeAdd:
		return &BridgeAdd{}
	case opBridgeDel:
		return &BridgeDel{}
	case opRosterSet:
		return &RosterSet{}
	case opRosterRemove:
		return &RosterRemove{}
	case opSubscription:
		return &Subscription{}
	case opMessagePut:
		return &MessagePut{}
	case opDelivered:
		return &Delivered{}
	case opMessagePutOnce:
		return &MessagePut{Seq: 1}
	case opSessionEnd:
		return &SessionEnd{}
	case opClusterSet:
		return &ClusterSet{}
	case opRecordPut:
		return &RecordPut{}
	case opRecordDelete:
		return &RecordDelete{}
	case opRecordSwap:
		return &RecordSwap{}
	case opAccountsListed:
		return &AccountsListed{}
	}
	return nil
}

// AccountAdd makes an account; one that exists is a problem.UserExists.
type AccountAdd struct {
	// Name is the local part, prepared.
	Name string
	// Verifiers are what sasl made of the password, in its own encoding.
	Verifiers []byte
}

// AccountSet replaces an account's verifiers.
type AccountSet struct {
	Name      string
	Verifiers []byte
}

// AccountDel removes an account, its roster and its messages, and ends its
// subscriptions in others' rosters.
type AccountDel struct {
	Name string
	// Domain tells whose contacts are accounts here.
	Domain string
}

// AccountImport makes all accounts or, if one of them exists, none.
type AccountImport struct{ Accounts []AccountAdd }

// BridgeAdd registers a Call Bridge.
type BridgeAdd struct{ Name, Secret string }

// BridgeDel removes a Call Bridge.
type BridgeDel struct{ Name string }

// RosterSet adds or changes a roster item; it leaves the subscription alone
// (RFC 6121 §2.3, §2.4).
type RosterSet struct {
	Account string
	// Contact is a bare JID.
	Contact string
	Name    string
	Groups  []string
}

// RosterRemove removes a roster item and both subscriptions (RFC 6121 §2.5).
type RosterRemove struct{ Account, Domain, Contact string }

// Subscription is a presence stanza of type subscribe, subscribed, unsubscribe
// or unsubscribed, at the sender's side, the recipient's, or both, as their
// domain is Domain or not.
type Subscription struct {
	Domain string
	// From and To are bare JIDs.
	From, To string
	Type     string
	// Stanza is kept while a subscribe waits for its answer
	// (RFC 6121 §3.1.3).
	Stanza []byte
}

// MessagePut puts a message in an account's inbox, once: a Seq not above the
// last of its Session changes nothing (Result.Again).
type MessagePut struct {
	// Session and Seq number what a session sends; Seq 0: it is not numbered.
	Session link.SessionID
	Seq     uint64
	Account string
	// Resource that the message is addressed to, "" for the bare JID.
	Resource string
	Stamp    time.Time
	Stanza   []byte
}

// Delivered removes messages from an inbox; those not there are no error.
type Delivered struct {
	Account string
	Items   []link.Item
}

// SessionEnd forgets the numbers of sessions that will send nothing any more.
type SessionEnd struct{ IDs []link.SessionID }

// ClusterSet replaces the group's record.
type ClusterSet struct{ Cluster Cluster }

// Cluster is what all nodes of a group have in common.
type Cluster struct {
	// ID is random, made with the group.
	ID string
	// Domain that it serves.
	Domain string
	// SaltKey makes the salts shown for accounts that do not exist.
	SaltKey []byte
}

// Result is what became of one op.
type Result struct {
	// Err is why the op was refused: a *problem.Problem or one of this
	// package's errors. Nothing has changed then.
	Err error
	// Again: the message was put before; nothing has changed now.
	Again bool
	// Item is the number of a message put.
	Item link.Item
	// Gone are those of an AccountsListed's Missed that are gone now.
	Gone []string
	// Effects are what is to be sent now, in this order.
	Effects []Effect
}

// EffectKind says what an Effect asks for.
type EffectKind uint8

const (
	// Push sends Entry to Account's interested resources (RFC 6121 §2.1.6).
	Push EffectKind = iota + 1
	// Send delivers a presence stanza of Type from From to To.
	Send
	// Available sends the presence of each of From's resources to To.
	Available
	// Unavailable sends unavailable presence of each of From's available
	// resources to To.
	Unavailable
)

// Effect is something to be sent because of an op.
type Effect struct {
	Kind EffectKind
	// Account is whose roster it is, of a Push.
	Account string
	Entry   Entry
	// From and To are bare JIDs.
	From, To string
	Type     string
}
