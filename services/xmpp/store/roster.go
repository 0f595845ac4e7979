package store

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"parley/services/problem"
)

// ErrNoEntry is a roster item that is not there.
var ErrNoEntry = errors.New("no such roster item")

// Entry is an account's relation to a contact: a roster item, or a request
// that waits for the account's answer, or both.
type Entry struct {
	// Contact is a bare JID.
	Contact string
	Name    string
	Groups  []string
	// To: the account gets the contact's presence; From: the contact gets
	// the account's.
	To, From bool
	// Ask: the account asked for the contact's presence (pending out).
	Ask bool
	// Listed items are shown in the roster whatever their subscription.
	Listed bool
	// Removed stands only in a Push.
	Removed bool
	// Request is the contact's subscribe stanza while it waits (pending
	// in); nil where there is none.
	Request []byte
	// Ver of the roster after this change, in a Push.
	Ver uint64
}

// Subscription is the attribute of a roster item (RFC 6121 §2.1.2.5).
func (e *Entry) Subscription() string {
	switch {
	case e.Removed:
		return "remove"
	case e.To && e.From:
		return "both"
	case e.To:
		return "to"
	case e.From:
		return "from"
	}
	return "none"
}

// Shown says that the item belongs in the roster that clients see; a mere
// request does not (RFC 6121 Appendix A.1).
func (e *Entry) Shown() bool { return e.Listed || e.To || e.From || e.Ask }

// shows is what clients see of the subscription.
type shows struct{ to, from, ask, shown bool }

func (e *Entry) shows() shows { return shows{e.To, e.From, e.Ask, e.Shown()} }

const entryRecord = 1

// Bits of an Entry's record.
const (
	bitTo = 1 << iota
	bitFrom
	bitAsk
	bitListed
	bitRequest
)

func (e *Entry) record() []byte {
	bits := uint64(0)
	for _, f := range []struct {
		set bool
		bit uint64
	}{{e.To, bitTo}, {e.From, bitFrom}, {e.Ask, bitAsk}, {e.Listed, bitListed}, {e.Request != nil, bitRequest}} {
		if f.set {
			bits |= f.bit
		}
	}
	enc := encoder{b: []byte{entryRecord}}
	enc.uint(bits)
	enc.str(e.Name)
	enc.strs(e.Groups)
	enc.bytes(e.Request)
	return enc.b
}

func decodeEntryRecord(contact string, v []byte) (Entry, error) {
	if len(v) == 0 || v[0] != entryRecord {
		return Entry{}, ErrRecord
	}
	d := decoder{b: v[1:]}
	bits := d.uint()
	e := Entry{
		Contact: contact,
		Name:    d.str(), Groups: d.strs(),
		To: bits&bitTo != 0, From: bits&bitFrom != 0, Ask: bits&bitAsk != 0, Listed: bits&bitListed != 0,
	}
	if request := d.bytes(); bits&bitRequest != 0 {
		e.Request = append([]byte{}, request...)
	}
	if d.bad {
		return Entry{}, ErrRecord
	}
	return e, nil
}

func rosterKey(account, contact string) []byte { return append(under(account), contact...) }

// entry reads an account's entry of a contact; an empty one where there is none.
func (t *tables) entry(account, contact string) (Entry, error) {
	v := t.roster.Get(rosterKey(account, contact))
	if v == nil {
		return Entry{Contact: contact}, nil
	}
	return decodeEntryRecord(contact, v)
}

// entries reads all of an account's, ordered by contact.
func (t *tables) entries(account string) ([]Entry, error) {
	prefix := under(account)
	var es []Entry
	c := t.roster.Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		e, err := decodeEntryRecord(string(k[len(prefix):]), v)
		if err != nil {
			return nil, err
		}
		es = append(es, e)
	}
	return es, nil
}

// putEntry stores e, or deletes it where nothing of it is left.
func (t *tables) putEntry(account string, e Entry) error {
	k := rosterKey(account, e.Contact)
	if !e.Shown() && e.Request == nil {
		return t.roster.Delete(k)
	}
	return t.roster.Put(k, e.record())
}

// push counts a visible change and returns its effect.
func (t *tables) push(account string, e Entry) (Effect, error) {
	ver, err := add(t.versions, account, 1)
	e.Ver, e.Request = ver, nil
	return Effect{Kind: Push, Account: account, Entry: e}, err
}

func (t *tables) rosterSet(o *RosterSet) (Result, error) {
	if !t.account(o.Account) {
		return Result{Err: problem.New(problem.UserUnknown, "name", o.Account)}, nil
	}
	if err := checkKeys(o.Contact); err != nil {
		return Result{Err: err}, nil
	}
	e, err := t.entry(o.Account, o.Contact)
	if err != nil {
		return Result{}, err
	}
	e.Name, e.Groups, e.Listed = o.Name, slices.Clone(o.Groups), true
	if err := t.putEntry(o.Account, e); err != nil {
		return Result{}, err
	}
	ef, err := t.push(o.Account, e)
	return Result{Effects: []Effect{ef}}, err
}

func (t *tables) rosterRemove(o *RosterRemove) (Result, error) {
	if !t.account(o.Account) {
		return Result{Err: problem.New(problem.UserUnknown, "name", o.Account)}, nil
	}
	if err := checkKeys(o.Contact); err != nil {
		return Result{Err: err}, nil
	}
	e, err := t.entry(o.Account, o.Contact)
	if err != nil {
		return Result{}, err
	}
	if !e.Shown() {
		return Result{Err: ErrNoEntry}, nil
	}
	effects, err := t.cancel(o.Domain, o.Account+"@"+o.Domain, e)
	if err != nil {
		return Result{}, err
	}
	if err := t.roster.Delete(rosterKey(o.Account, o.Contact)); err != nil {
		return Result{}, err
	}
	removed, err := t.push(o.Account, Entry{Contact: o.Contact, Removed: true})
	res := Result{Effects: []Effect{removed}}
	for _, ef := range effects {
		// The removal says all that pushes of the single steps would.
		if ef.Kind != Push || ef.Account != o.Account {
			res.Effects = append(res.Effects, ef)
		}
	}
	return res, err
}

// local returns the account name in a bare JID of the domain.
func local(bare, domain string) (string, bool) {
	name, ok := strings.CutSuffix(bare, "@"+domain)
	return name, ok && name != "" && !strings.Contains(name, "@")
}
