package store

import (
	"bytes"
	"encoding/binary"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/link"
)

// Message waits in an inbox.
type Message struct {
	Item link.Item
	// Resource that it is addressed to, "" for the bare JID.
	Resource string
	// Stamp is when it was taken.
	Stamp  time.Time
	Stanza []byte
}

// messageVersion is the first byte of a record of the inbox.
const messageVersion = 1

func inboxKey(account string, item link.Item) []byte {
	return binary.BigEndian.AppendUint64(under(account), uint64(item))
}

// messagePut gives the message the next number: numbers follow the order of
// the log on every node, and are never used again.
func (t *tables) messagePut(o *MessagePut, last *link.Item) (Result, error) {
	if !t.account(o.Account) {
		return Result{Err: problem.New(problem.UserUnknown, "name", o.Account)}, nil
	}
	*last++
	e := encoder{b: make([]byte, 0, len(o.Stanza)+len(o.Resource)+16)}
	e.b = append(e.b, messageVersion)
	e.str(o.Resource)
	e.time(o.Stamp)
	e.b = append(e.b, o.Stanza...)
	if err := t.inbox.Put(inboxKey(o.Account, *last), e.b); err != nil {
		return Result{}, err
	}
	_, err := add(t.pending, o.Account, 1)
	return Result{Item: *last}, err
}

func (t *tables) delivered(o *Delivered) (Result, error) {
	if !t.account(o.Account) {
		return Result{}, nil
	}
	gone := 0
	for _, item := range o.Items {
		k := inboxKey(o.Account, item)
		if t.inbox.Get(k) == nil {
			continue
		}
		if err := t.inbox.Delete(k); err != nil {
			return Result{}, err
		}
		gone++
	}
	if gone == 0 {
		return Result{}, nil
	}
	_, err := add(t.pending, o.Account, -gone)
	return Result{}, err
}

// messages reads up to limit messages after an item, and no more than about
// maxRead bytes of them.
func (t *tables) messages(account string, after link.Item, limit int) ([]Message, error) {
	prefix := under(account)
	var ms []Message
	size := 0
	c := t.inbox.Cursor()
	for k, v := c.Seek(inboxKey(account, after+1)); bytes.HasPrefix(k, prefix) && len(ms) < limit && size < maxRead; k, v = c.Next() {
		if len(v) == 0 || v[0] != messageVersion || len(k) != len(prefix)+8 {
			return nil, ErrRecord
		}
		d := decoder{b: v[1:]}
		m := Message{Item: link.Item(number(k[len(prefix):])), Resource: d.str(), Stamp: d.time()}
		if d.bad {
			return nil, ErrRecord
		}
		m.Stanza = bytes.Clone(d.b)
		ms = append(ms, m)
		size += len(v)
	}
	return ms, nil
}

// maxRead bounds what one read of an inbox takes of memory.
const maxRead = 1 << 20
