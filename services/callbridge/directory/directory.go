// Package directory asks an LDAP server, such as Active Directory or OpenLDAP,
// who its users are and whether a password is a user's. It keeps connections,
// and nothing of what it was told: neither users nor passwords. Who is let in
// to XMPP is not decided here.
package directory

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"parley/services/config"
	"parley/services/network/networkapi"
	"parley/services/problem"
	"parley/services/xmpp/jid"
)

// Names looks up host names as the node does; *networkapi.Client is one.
type Names interface {
	Lookup(ctx context.Context, kind, name string) (networkapi.Answer, error)
}

// Files reads the trust file; *files.Store is one.
type Files interface {
	Read(name string) ([]byte, error)
}

// Config says which server, and what may be spent on it.
type Config struct {
	Settings config.Directory
	// Limits that are zero as a whole are DefaultLimits.
	Limits Limits
}

// Limits bound what a server can cost. All must be set.
type Limits struct {
	// Connect is for a connection in all: names, TCP, TLS and the bind.
	Connect time.Duration
	// Address is for TCP to one of the server's addresses.
	Address time.Duration
	// Request is for one answer, or one page of it.
	Request time.Duration
	// Idle is how long an unused connection is trusted to be still there.
	Idle time.Duration
	// Connections of a kind that are in use at once; the others wait.
	Connections int
	// Page is how many entries are asked for at once, and Users how many
	// Users returns at most.
	Page, Users int
	// Answer is the most octets of one answer, or one page of it. Its parser
	// recurses, so this bounds the stack as well.
	Answer int
}

// DefaultLimits are for a server near by: XMPP asks another Call Bridge when
// one has not answered within two seconds.
func DefaultLimits() Limits {
	return Limits{
		Connect: 5 * time.Second, Address: 2 * time.Second, Request: 10 * time.Second, Idle: 30 * time.Second,
		Connections: 8, Page: 250, Users: 100_000, Answer: 1 << 20,
	}
}

// Deps are what a Directory works with.
type Deps struct {
	Names Names
	Files Files
	Log   *slog.Logger
}

// User is somebody whom the settings' filter selects.
type User struct {
	// Name is the local part of the XMPP address, prepared.
	Name string
	// DisplayName may be "".
	DisplayName string
	// DN is the entry's name.
	DN string
}

// List is who is there.
type List struct {
	// Users are by name.
	Users []User
	// Unfit counts those who are not among them, since no chat address can be
	// made of their names; Like is one of these names.
	Unfit int
	Like  string
}

// LeftOut says of the unfit who is left out, "" for nobody.
func LeftOut(unfit int, like string) string {
	if unfit == 0 {
		return ""
	}
	return fmt.Sprintf("%d left out, as no chat address can be made of names like '%s'", unfit, like)
}

// Directory is one server. Its methods may be called from any goroutine.
// Errors that a person can mend are problems.
type Directory struct {
	settings settings
	limits   Limits
	deps     Deps
	log      *slog.Logger
	// searches are connections bound as the service account. binds change
	// whom they are bound as each time, and are used for nothing else.
	searches, binds *pool

	mu sync.Mutex
	// good is the address that took the last connection.
	good netip.AddrPort
}

// New returns the directory of cfg, or the problem that its settings have. It
// does no I/O.
func New(cfg Config, deps Deps) (*Directory, error) {
	s, err := readSettings(cfg.Settings)
	if err != nil {
		return nil, err
	}
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits()
	}
	d := &Directory{settings: s, limits: cfg.Limits, deps: deps, log: deps.Log.With("component", "directory")}
	d.searches = newPool(cfg.Limits, func(ctx context.Context) (*conn, error) { return d.connect(ctx, d.bindService) })
	d.binds = newPool(cfg.Limits, func(ctx context.Context) (*conn, error) { return d.connect(ctx, nil) })
	return d, nil
}

// Close ends the connections that are not in use, and the others after their
// use. Later calls of the other methods fail.
func (d *Directory) Close() {
	d.searches.close()
	d.binds.close()
}

// Check says whether password is that of the user whose local part is user. It
// is false where there is no such user as well, and where the server does not
// let the user in. An error says that the server did not decide.
func (d *Directory) Check(ctx context.Context, user string, password config.Secret) (bool, error) {
	// A bind with a name and no password succeeds as nobody: RFC 4513 §5.1.2.
	if password == "" || !utf8.ValidString(password.Reveal()) {
		return false, nil
	}
	user, err := jid.Local(user)
	if err != nil || user == "" {
		return false, nil
	}
	dn, err := d.find(ctx, user)
	if err != nil || dn == "" {
		return false, err
	}
	ok := false
	err = d.binds.use(ctx, func(c *conn) error {
		err := c.bind(ctx, dn, password)
		ok = err == nil
		if declined(err) {
			return nil
		}
		return d.refusal(err, "the log-in of "+dn)
	})
	return ok, err
}

// candidates is how many entries find looks at; more than one that fits is a
// problem already.
const candidates = 20

// find returns the DN of a user, or "" where there is none.
func (d *Directory) find(ctx context.Context, user string) (dn string, err error) {
	for _, filter := range d.settings.user.filters(user) {
		var found []*ldap.Entry
		err := d.searches.use(ctx, func(c *conn) error {
			r, err := c.search(ctx, d.request(filter, candidates, d.settings.user.attribute))
			// With too many, those that came will do.
			if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
				err = nil
			}
			if r != nil {
				found = r.Entries
			}
			return d.refusal(err, "a search")
		})
		if err != nil {
			return "", err
		}
		for _, e := range found {
			if names, _ := d.settings.user.names(e); e.DN == "" || !slices.Contains(names, user) {
				continue
			}
			if dn != "" && dn != e.DN {
				return "", problem.New(problem.DirectoryAmbiguous, "user", user, "one", short(dn), "other", short(e.DN))
			}
			dn = e.DN
		}
		if dn != "" {
			return dn, nil
		}
	}
	return "", nil
}

// Users returns all users; that there is none is a problem. An entry without a name that XMPP can have
// is left out, and one whose name another entry has.
func (d *Directory) Users(ctx context.Context) (List, error) {
	var users []User
	var out List
	s := &d.settings
	err := d.searches.use(ctx, func(c *conn) error {
		users, out = users[:0], List{}
		paging := ldap.NewControlPaging(uint32(d.limits.Page))
		req := d.request("", 0, append([]string{s.user.attribute}, s.displayName.attributes()...)...)
		req.Controls = []ldap.Control{paging}
		for {
			r, err := c.search(ctx, req)
			if err := d.refusal(err, "the list of users"); err != nil {
				return err
			}
			for _, e := range r.Entries {
				names, unfit := s.user.names(e)
				if unfit = short(unfit); unfit != "" {
					// The least of them is the same each time.
					if out.Unfit++; out.Like == "" || unfit < out.Like {
						out.Like = unfit
					}
				}
				for _, name := range names {
					users = append(users, User{Name: name, DisplayName: s.displayName.text(e), DN: e.DN})
				}
			}
			if len(users) > d.limits.Users {
				return problem.New(problem.DirectoryLimit, "address", s.address(), "reason", "there are more than "+strconv.Itoa(d.limits.Users)+" users")
			}
			more, ok := ldap.FindControl(r.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
			if !ok || len(more.Cookie) == 0 {
				return nil
			}
			paging.SetCookie(more.Cookie)
		}
	})
	switch {
	case err != nil:
		return List{}, err
	case len(users) == 0 && out.Unfit > 0:
		return List{}, problem.New(problem.DirectoryNames, "address", s.address(), "mapping", "$"+s.user.attribute+"$", "like", out.Like)
	case len(users) == 0:
		return List{}, problem.New(problem.DirectoryNobody, "address", s.address(), "base", short(s.base), "filter", short(s.filter),
			"mapping", "$"+s.user.attribute+"$", "username", cmp.Or(short(s.username), "the service account"))
	}
	slices.SortStableFunc(users, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	out.Users = slices.CompactFunc(users, func(a, b User) bool {
		if a.Name == b.Name && a.DN != b.DN {
			d.log.Warn("two entries have one user name", "user", a.Name, "used", a.DN, "not used", b.DN)
		}
		return a.Name == b.Name
	})
	return out, nil
}

// request is a search of the whole base for what both the settings' filter and
// the given one, unless it is "", select.
func (d *Directory) request(filter string, limit int, attributes ...string) *ldap.SearchRequest {
	all := d.settings.filter
	if filter != "" {
		all = "(&" + all + filter + ")"
	}
	seconds := max(1, int(d.limits.Request/time.Second))
	return ldap.NewSearchRequest(d.settings.base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, limit, seconds, false, all, attributes, nil)
}
