package account

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"parley/services/problem"
)

// Bounds of a password: characters at least, bytes at most.
const (
	minPassword = 8
	maxPassword = 128
)

// CheckPassword says whether password will do for the user of that name.
func CheckPassword(name, password string) error {
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return problem.New(problem.PasswordShort, "min", strconv.Itoa(minPassword))
	case len(password) > maxPassword:
		return problem.New(problem.PasswordLong, "max", strconv.Itoa(maxPassword))
	case !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl):
		return problem.New(problem.PasswordCharacters)
	case strings.EqualFold(password, name):
		return problem.New(problem.PasswordIsName)
	}
	return nil
}

// SetPassword gives a user the new password of the user's own choice, and so
// fulfils MustChange. The new one must differ from the old one.
func (s *Store) SetPassword(name, password string) error {
	if err := CheckPassword(name, password); err != nil {
		return err
	}
	d, err := s.load()
	if err != nil {
		return err
	}
	r := d.Users[name]
	if r == nil {
		return errUnknown(name)
	}
	if s.check(r.Hash, password) {
		return problem.New(problem.PasswordSame)
	}
	return s.store(name, s.hash(password), false)
}

// ResetPassword gives a user a password that somebody else chose: the user
// must change it at the next login, and a lock is lifted.
func (s *Store) ResetPassword(name, password string) error {
	if _, err := s.Lookup(name); err != nil {
		return err
	}
	if err := CheckPassword(name, password); err != nil {
		return err
	}
	return s.store(name, s.hash(password), true)
}

func (s *Store) store(name, hash string, mustChange bool) error {
	return s.change(name, func(_ *document, r *record) error {
		r.Hash, r.MustChange, r.Changed = hash, mustChange && r.Role != API, s.clock().UTC()
		r.Remote, r.Local = failures{}, failures{}
		return nil
	})
}

func (s *Store) hash(password string) string {
	s.hashing <- struct{}{}
	defer func() { <-s.hashing }()
	return newHash(password)
}

func (s *Store) check(hash, password string) bool {
	s.hashing <- struct{}{}
	defer func() { <-s.hashing }()
	return checkHash(hash, password)
}
