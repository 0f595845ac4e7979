package store

import (
	"parley/services/xmpp/link"
)

// Account says whether there is an account of that name. It never waits.
func (s *Store) Account(name string) bool {
	s.m.namesMu.RLock()
	defer s.m.namesMu.RUnlock()
	_, ok := s.m.names[name]
	return ok
}

// Elsewhere is how many accounts have their passwords elsewhere. It never waits.
func (s *Store) Elsewhere() int {
	s.m.namesMu.RLock()
	defer s.m.namesMu.RUnlock()
	return s.m.counts[elsewhere] + s.m.counts[gone]
}

// Gone is how many of those are not listed there any more. It never waits.
func (s *Store) Gone() int {
	s.m.namesMu.RLock()
	defer s.m.namesMu.RUnlock()
	return s.m.counts[gone]
}

// MayLogIn says whether there is an account of that name that is not gone from
// where its password is kept. It never waits.
func (s *Store) MayLogIn(name string) bool {
	s.m.namesMu.RLock()
	defer s.m.namesMu.RUnlock()
	w, ok := s.m.names[name]
	return ok && w != gone
}

// Accounts returns all accounts, ordered by name.
func (s *Store) Accounts() (as []Account, err error) {
	err = s.m.view(func(t *tables) error {
		return t.accounts.ForEach(func(k, v []byte) error {
			w := whoseOf(v)
			as = append(as, Account{Name: string(k), Pending: int(number(t.pending.Get(k))), Elsewhere: w != ownPassword, Gone: w == gone})
			return nil
		})
	})
	return as, err
}

// Verifiers returns an account's, as they were added.
func (s *Store) Verifiers(name string) (v []byte, ok bool, err error) {
	err = s.m.view(func(t *tables) error {
		if ok = t.account(name); ok {
			v = append([]byte{}, t.accounts.Get([]byte(name))...)
		}
		return nil
	})
	return v, ok, err
}

// CallBridges returns all Call Bridges, ordered by name.
func (s *Store) CallBridges() (bs []CallBridge, err error) {
	err = s.m.view(func(t *tables) error {
		return t.bridges.ForEach(func(k, v []byte) error {
			bs = append(bs, CallBridge{string(k), string(v)})
			return nil
		})
	})
	return bs, err
}

// CallBridge returns one Call Bridge.
func (s *Store) CallBridge(name string) (b CallBridge, ok bool, err error) {
	if checkKeys(name) != nil {
		return b, false, nil
	}
	err = s.m.view(func(t *tables) error {
		v := t.bridges.Get([]byte(name))
		b, ok = CallBridge{name, string(v)}, v != nil
		return nil
	})
	return b, ok, err
}

// Roster returns all of an account's entries, ordered by contact, those that
// are mere requests too, and the version that its pushes have reached.
func (s *Store) Roster(account string) (es []Entry, ver uint64, err error) {
	err = s.m.view(func(t *tables) error {
		if es, err = t.entries(account); err == nil {
			ver = number(t.versions.Get([]byte(account)))
		}
		return err
	})
	return es, ver, err
}

// Entry returns an account's entry of a contact, an empty one where there is none.
func (s *Store) Entry(account, contact string) (e Entry, err error) {
	if checkKeys(account, contact) != nil {
		return Entry{Contact: contact}, nil
	}
	err = s.m.view(func(t *tables) error {
		e, err = t.entry(account, contact)
		return err
	})
	return e, err
}

// Inbox returns up to limit messages of an account after an item, in the order
// of the log, and fewer where they are large; none means that there are none.
func (s *Store) Inbox(account string, after link.Item, limit int) (ms []Message, err error) {
	err = s.m.view(func(t *tables) error {
		ms, err = t.messages(account, after, limit)
		return err
	})
	return ms, err
}

// Pending is the number of messages in an account's inbox.
func (s *Store) Pending(account string) (n int, err error) {
	err = s.m.view(func(t *tables) error {
		n = int(number(t.pending.Get([]byte(account))))
		return nil
	})
	return n, err
}

// Counts returns the number of accounts and of messages in all inboxes.
func (s *Store) Counts() (accounts, pending int, err error) {
	s.m.namesMu.RLock()
	accounts = len(s.m.names)
	s.m.namesMu.RUnlock()
	err = s.m.view(func(t *tables) error {
		return t.pending.ForEach(func(_, v []byte) error {
			pending += int(number(v))
			return nil
		})
	})
	return accounts, pending, err
}
