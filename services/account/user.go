package account

import (
	"maps"
	"slices"
	"strings"
	"time"

	"parley/services/problem"
)

// User is who somebody is after logging in.
type User struct {
	Name string
	Role Role
	// MustChange means that nothing but setting a new password is allowed.
	MustChange bool
}

// Info is what can be told of an account.
type Info struct {
	User
	Created time.Time
	// Changed is when the password was last set.
	Changed time.Time
	// LastLogin is zero where there was none.
	LastLogin  time.Time
	LastSource string
	// FailedSince counts failed logins since LastLogin.
	FailedSince int
	// LockedUntil is zero where the account is not locked.
	LockedUntil time.Time
	Keys        int
}

const maxUsers = 100

// Authenticate checks a password that came from source: an address, with or
// without port, or a local terminal's name. After MaxFailures wrong ones the
// name is locked there for LockTime, whether it exists or not. What it returns
// otherwise are the problems AccountDenied and AccountLocked.
//
// The check itself runs outside the lock. That is safe against guessing in
// parallel: the outcomes are taken one after the other, and one that comes
// after the lock closed is refused, right or wrong.
func (s *Store) Authenticate(name, password, source string) (User, error) {
	d, err := s.load()
	if err != nil {
		return User{}, err
	}
	if f := d.counter(name, source); f.locked(s.clock()) {
		return User{}, errLocked(f.Until)
	}
	var hash string
	if r := d.Users[name]; r != nil {
		hash = r.Hash
	}
	right := len(password) <= maxPassword && s.check(hash, password)

	var user User
	var refused error
	err = s.update(func(d *document) error {
		now := s.clock().UTC()
		f := d.counter(name, source)
		r := d.Users[name]
		switch {
		case f.locked(now):
			refused = errLocked(f.Until)
		case right && r != nil && r.Hash == hash:
			*f = failures{}
			r.login(now, source)
			user = r.user(name)
		default:
			f.fail(now)
			if r != nil {
				r.FailedSince++
			}
			refused = problem.New(problem.AccountDenied)
			if f.locked(now) {
				refused = errLocked(f.Until)
			}
		}
		return nil
	})
	if err != nil {
		return User{}, err
	}
	return user, refused
}

// LoggedIn records a login that Authenticate did not see: one by public key.
func (s *Store) LoggedIn(name, source string) error {
	return s.change(name, func(_ *document, r *record) error {
		r.login(s.clock().UTC(), source)
		return nil
	})
}

// Lookup returns the account as it is now, for a session that goes on.
func (s *Store) Lookup(name string) (User, error) {
	d, err := s.load()
	if err != nil {
		return User{}, err
	}
	r := d.Users[name]
	if r == nil {
		return User{}, errUnknown(name)
	}
	return r.user(name), nil
}

// CheckNew says whether an account of that name could be added now, so that a
// console can refuse before it asks for a password.
func (s *Store) CheckNew(name string) error {
	if !validName(name) {
		return problem.New(problem.AccountName, "name", name)
	}
	d, err := s.load()
	if err != nil {
		return err
	}
	if d.Users[name] != nil {
		return problem.New(problem.AccountExists, "name", name)
	}
	return nil
}

// Add makes an account whose owner must set a new password at the first
// login; only one of role API, which nobody could ask, need not.
func (s *Store) Add(name string, role Role, password string) error {
	if !validName(name) {
		return problem.New(problem.AccountName, "name", name)
	}
	if _, err := ParseRole(string(role)); err != nil {
		return err
	}
	if err := CheckPassword(name, password); err != nil {
		return err
	}
	hash := s.hash(password)
	return s.update(func(d *document) error {
		if d.Users[name] != nil {
			return problem.New(problem.AccountExists, "name", name)
		}
		if len(d.Users) >= maxUsers {
			return problem.New(problem.AccountsFull)
		}
		now := s.clock().UTC()
		d.Users[name] = &record{Role: role, Hash: hash, MustChange: role != API, Created: now, Changed: now}
		return nil
	})
}

// Del removes an account. by is who asks: nobody can remove the own account,
// nor anybody the last one of role Admin.
func (s *Store) Del(by, name string) error {
	return s.change(name, func(d *document, r *record) error {
		if by == name {
			return problem.New(problem.AccountSelf, "name", name)
		}
		admins := 0
		for _, o := range d.Users {
			if o.Role == Admin {
				admins++
			}
		}
		if r.Role == Admin && admins == 1 {
			return problem.New(problem.AccountLastAdmin, "name", name)
		}
		delete(d.Users, name)
		return nil
	})
}

// Unlock lifts the lock of an account.
func (s *Store) Unlock(name string) error {
	return s.change(name, func(_ *document, r *record) error {
		r.Remote, r.Local = failures{}, failures{}
		return nil
	})
}

// List returns all accounts, by name.
func (s *Store) List() ([]Info, error) {
	d, err := s.load()
	if err != nil {
		return nil, err
	}
	var list []Info
	for _, name := range slices.Sorted(maps.Keys(d.Users)) {
		list = append(list, d.Users[name].info(name, s.clock()))
	}
	return list, nil
}

// Info returns one account.
func (s *Store) Info(name string) (Info, error) {
	d, err := s.load()
	if err != nil {
		return Info{}, err
	}
	r := d.Users[name]
	if r == nil {
		return Info{}, errUnknown(name)
	}
	return r.info(name, s.clock()), nil
}

// change is update for one account that must exist.
func (s *Store) change(name string, do func(*document, *record) error) error {
	return s.update(func(d *document) error {
		r := d.Users[name]
		if r == nil {
			return errUnknown(name)
		}
		return do(d, r)
	})
}

func (r *record) login(now time.Time, source string) {
	r.LastLogin, r.LastSource, r.FailedSince = now, source, 0
}

func (r *record) user(name string) User {
	return User{Name: name, Role: r.Role, MustChange: r.MustChange}
}

func (r *record) info(name string, now time.Time) Info {
	i := Info{
		User: r.user(name), Created: r.Created, Changed: r.Changed,
		LastLogin: r.LastLogin, LastSource: r.LastSource, FailedSince: r.FailedSince, Keys: len(r.Keys),
	}
	for _, f := range []failures{r.Remote, r.Local} {
		if f.locked(now) && f.Until.After(i.LockedUntil) {
			i.LockedUntil = f.Until
		}
	}
	return i
}

// validName: 1 to 32 letters, digits, dots, dashes and underscores, a letter
// first, so that it can stand in a prompt, a log line and on a command line.
func validName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return name != "" && len(name) <= 32 &&
		strings.Trim(name, letters+"0123456789._-") == "" && strings.ContainsAny(name[:1], letters)
}

func errUnknown(name string) error { return problem.New(problem.AccountUnknown, "name", name) }

func errRole(name string) error {
	names := make([]string, 0, len(Roles()))
	for _, r := range Roles() {
		names = append(names, string(r))
	}
	return problem.New(problem.AccountRole, "role", name, "roles", strings.Join(names, ", "))
}

func errLocked(until time.Time) error {
	return problem.New(problem.AccountLocked, "until", until.UTC().Format("15:04:05 UTC"))
}
