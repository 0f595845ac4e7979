package store

import (
	"bytes"
	"slices"
)

// AccountsListed is news of a Call Bridge's list of those whose passwords are
// kept elsewhere. It changes no account that has a password here.
//
// An account remembers whose lists it is in. It is gone when it has been in some
// and is in none any more; it stays, with all that it has, until it is listed
// again or deleted. A bridge that is not registered any more counts for nothing,
// and bridges of one source count as one.
type AccountsListed struct {
	// Bridge has the list. Source says of what it was made: two bridges that
	// ask the same place in the same way have the same, "" is nobody's.
	Bridge, Source string
	// Listed are in the list; who has no account gets one.
	Listed []string
	// Missed are not in it.
	Missed []string
}

// Listing is what a Call Bridge lists of the names after After up to and with
// Upto, "" being the end. Without a Source it says nothing of whom it does not name.
type Listing struct {
	Bridge, Source string
	After, Upto    string
	Names          []string
}

// Elsewhere begins what stands in place of the verifiers of an account whose
// password is kept elsewhere. sasl's never begin with this octet. Alone it is an
// account of which nobody has said yet that it is in a list.
const Elsewhere = "\x00"

// IsElsewhere says whether these stand in place of verifiers.
func IsElsewhere(verifiers []byte) bool { return len(verifiers) > 0 && verifiers[0] == Elsewhere[0] }

// inLists follows Elsewhere where the lists are known that an account is in.
const inLists = 1

// list is one that an account is in.
type list struct{ bridge, source string }

// listsOf reads them; known is false where nobody has listed the account yet.
func listsOf(value []byte) (ls []list, known bool) {
	if len(value) < 2 || value[1] != inLists {
		return nil, false
	}
	d := decoder{b: value[2:]}
	for range d.count() {
		ls = append(ls, list{d.str(), d.str()})
	}
	return ls, !d.bad
}

func listsValue(ls []list) []byte {
	e := encoder{b: []byte{Elsewhere[0], inLists}}
	e.uint(uint64(len(ls)))
	for _, l := range ls {
		e.str(l.bridge)
		e.str(l.source)
	}
	return e.b
}

// whose says where an account's password is.
type whose uint8

const (
	ownPassword whose = iota
	elsewhere
	// gone is elsewhere, and in nobody's list any more.
	gone
)

func whoseOf(value []byte) whose {
	if !IsElsewhere(value) {
		return ownPassword
	}
	if ls, known := listsOf(value); known && len(ls) == 0 {
		return gone
	}
	return elsewhere
}

func (t *tables) accountsListed(o *AccountsListed) (res Result, err error) {
	if err := checkKeys(append([]string{o.Bridge}, o.Listed...)...); err != nil {
		return Result{Err: err}, nil
	}
	for _, name := range o.Listed {
		if value, changes := o.listed(t.accounts.Get([]byte(name))); changes {
			if err := t.accounts.Put([]byte(name), value); err != nil {
				return Result{}, err
			}
		}
	}
	for _, name := range o.Missed {
		value, changes := t.missed(o, t.accounts.Get([]byte(name)))
		if changes {
			if err := t.accounts.Put([]byte(name), value); err != nil {
				return Result{}, err
			}
		}
		if whoseOf(value) == gone {
			res.Gone = append(res.Gone, name)
		}
	}
	return res, nil
}

// listed is what becomes of the account in the list.
func (o *AccountsListed) listed(value []byte) (next []byte, changes bool) {
	if value != nil && !IsElsewhere(value) {
		return value, false
	}
	ls, _ := listsOf(value)
	own := list{o.Bridge, o.Source}
	if slices.Contains(ls, own) {
		return value, false
	}
	ls = slices.DeleteFunc(ls, func(l list) bool { return l.bridge == o.Bridge })
	return listsValue(append(ls, own)), true
}

// missed is what becomes of an account that is not in the list.
func (t *tables) missed(o *AccountsListed, value []byte) (next []byte, changes bool) {
	ls, known := listsOf(value)
	if !IsElsewhere(value) || !known || len(ls) == 0 {
		return value, false
	}
	left := slices.DeleteFunc(slices.Clone(ls), func(l list) bool {
		return l.bridge == o.Bridge || l.source == o.Source && o.Source != "" || t.bridges.Get([]byte(l.bridge)) == nil
	})
	if len(left) == len(ls) {
		return value, false
	}
	return listsValue(left), true
}

// News returns what of a listing would change something, nil where nothing would.
func (s *Store) News(l Listing) (news *AccountsListed, err error) {
	o := &AccountsListed{Bridge: l.Bridge, Source: l.Source}
	err = s.m.view(func(t *tables) error {
		there := make(map[string]bool, len(l.Names))
		for _, name := range l.Names {
			there[name] = true
			if checkKeys(name) != nil {
				continue
			}
			if _, changes := o.listed(t.accounts.Get([]byte(name))); changes {
				o.Listed = append(o.Listed, name)
			}
		}
		if l.Source == "" {
			return nil
		}
		c := t.accounts.Cursor()
		for k, v := c.Seek(append([]byte(l.After), 0)); k != nil && (l.Upto == "" || bytes.Compare(k, []byte(l.Upto)) <= 0); k, v = c.Next() {
			if there[string(k)] {
				continue
			}
			if _, changes := t.missed(o, v); changes {
				o.Missed = append(o.Missed, string(k))
			}
		}
		return nil
	})
	if err != nil || len(o.Listed)+len(o.Missed) == 0 {
		return nil, err
	}
	return o, nil
}
