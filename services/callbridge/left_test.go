package callbridge

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/services/callbridge/directory"
	"parley/services/callbridge/directory/openldap"
	"parley/services/config"
	"parley/services/problem"
	"parley/services/xmpp/client"
)

const ldapBob = `dn: uid=bob,dc=example,dc=com
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Star
userPassword: Star-light1
`

// TestWhoLeft: who is no longer in the directory is sent away, and whatever
// else may go wrong with its lists sends nobody away.
func TestWhoLeft(t *testing.T) {
	people := strings.Split(ldapPeople, "\n\n")[0] + "\n\n" + ldapBob
	w := newStaffed(t, people)
	s, ldap, good := w.server, w.ldap, w.good
	// This one lists alice and no more.
	short := openldap.Start(t, openldap.Config{LDIF: people, Lines: "sizelimit size.soft=1 size.hard=1 size.prtotal=1\n", NoTLS: true})
	w.run()
	list := func(users int) {
		t.Helper()
		if d, err := w.SyncDirectory(t.Context()); err != nil || d.Users != users {
			t.Fatalf("SyncDirectory = %+v, %v; want %d users", d, err, users)
		}
	}
	// heard waits until the server has been told of a list: of one more user.
	heard := func(t *testing.T, name string) {
		t.Helper()
		ldap.Modify("dn: uid=" + name + ",dc=example,dc=com\nchangetype: add\nobjectClass: inetOrgPerson\nuid: " + name + "\ncn: x\nsn: x\n")
		if _, err := w.SyncDirectory(t.Context()); err != nil {
			t.Fatal(err)
		}
		await(t, "account of "+name, func() bool { _, there := s.user(t, name); return there })
	}
	w.set(good)
	list(2)
	await(t, "bob's account", func() bool { u, _ := s.user(t, "bob"); return u.Directory })
	lost := s.stay(t, "bob", "Star-light1")

	wrong := func(change func(*config.Directory), want problem.Code) func() {
		return func() {
			bad := good
			change(&bad)
			w.set(bad)
			if _, err := w.SyncDirectory(t.Context()); problem.CodeOf(err) != want {
				t.Errorf("SyncDirectory = %v; want %q", err, want)
			}
			w.attended()
			w.set(good)
		}
	}
	for i, tt := range []struct {
		name string
		do   func()
	}{
		{"server down", func() {
			ldap.Stop()
			if _, err := w.SyncDirectory(t.Context()); problem.CodeOf(err) != problem.DirectoryUnreachable {
				t.Errorf("SyncDirectory = %v; want it refused", err)
			}
			w.attended()
			ldap.Restart()
		}},
		{"wrong password", wrong(func(d *config.Directory) { d.Password = "x" }, problem.DirectoryBind)},
		{"wrong base", wrong(func(d *config.Directory) { d.BaseDN = "dc=example,dc=org" }, problem.DirectoryBase)},
		{"cut short", wrong(func(d *config.Directory) { d.Port, d.TLS = short.Plain, "none" }, problem.DirectoryLimit)},
		{"filter for nobody", wrong(func(d *config.Directory) { d.Filter = "(uid=nobody)" }, problem.DirectoryNobody)},
		{"no server", func() {
			w.set(config.Directory{})
			w.attended()
			w.set(good)
		}},
		{"a list of long ago, after a loss of the connection", func() {
			p := w.people
			await(t, "a list", func() bool { _, last, _ := p.look(); return len(last.names) > 0 })
			p.mu.Lock()
			p.last.number++
			p.last.at, p.last.names = time.Now().Add(-fresh), []string{"alice", "ghost"}
			p.mu.Unlock()
			_, old, _ := p.look()
			if err := w.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			await(t, "a new list", func() bool { _, last, _ := p.look(); return last.number > old.number })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.do()
			heard(t, fmt.Sprintf("new%d", i))
			select {
			case err := <-lost:
				t.Fatalf("bob is sent away: %v", err)
			default:
			}
			if u, _ := s.user(t, "bob"); u.Left || len(u.Sessions) != 1 {
				t.Errorf("bob is %+v; want him connected", u)
			}
		})
	}
	if _, there := s.user(t, "ghost"); there {
		t.Error("who was in a list of long ago has an account")
	}
	if t.Failed() {
		return
	}

	ldap.Modify("dn: uid=bob," + openldap.Base + "\nchangetype: delete\n")
	list(8)
	if err := <-lost; err == nil || !strings.Contains(err.Error(), "not-authorized") {
		t.Errorf("bob's session ended with %v; want not-authorized", err)
	}
	await(t, "bob's mark", func() bool { u, _ := s.user(t, "bob"); return u.Left && u.Directory })
	if err := s.login(t, "bob", "Star-light1"); !errors.Is(err, client.ErrPassword) {
		t.Errorf("login of who has left = %v; want %v", err, client.ErrPassword)
	}
	ldap.Modify(strings.Replace(ldapBob, "\n", "\nchangetype: add\n", 1))
	if err := s.login(t, "bob", "Star-light1"); err != nil {
		t.Errorf("login of who is back, before a list = %v", err)
	}
	if u, _ := s.user(t, "bob"); u.Left {
		t.Error("who has logged in is marked as gone still")
	}
	// The log-in is remembered as this bridge's word.
	ldap.Modify("dn: uid=bob," + openldap.Base + "\nchangetype: delete\n")
	list(8)
	await(t, "bob's mark again", func() bool { u, _ := s.user(t, "bob"); return u.Left })
	ldap.Modify(strings.Replace(ldapBob, "\n", "\nchangetype: add\n", 1))
	list(9)
	await(t, "the mark's end", func() bool { u, _ := s.user(t, "bob"); return !u.Left })
}

func TestSource(t *testing.T) {
	one := config.Directory{Address: "ldap.example.com", Username: "cn=reader", Password: "one", BaseDN: "dc=example", User: "$uid$", Trust: "one.cer", DisplayName: "$cn$"}
	for _, tt := range []struct {
		name   string
		change func(*config.Directory)
		same   bool
	}{
		{"another password", func(d *config.Directory) { d.Password = "two" }, true},
		{"another trust file", func(d *config.Directory) { d.Trust = "two.cer" }, true},
		{"the usual port", func(d *config.Directory) { d.Port = 389 }, true},
		{"in capitals", func(d *config.Directory) { d.Address = "LDAP.example.com" }, true},
		{"another port", func(d *config.Directory) { d.Port = 3268 }, false},
		{"another server", func(d *config.Directory) { d.Address = "ldap2.example.com" }, false},
		{"another account", func(d *config.Directory) { d.Username = "cn=other" }, false},
		{"another base", func(d *config.Directory) { d.BaseDN = "dc=other" }, false},
		{"a filter", func(d *config.Directory) { d.Filter = "(objectClass=person)" }, false},
		{"another name", func(d *config.Directory) { d.User = "$mail$" }, false},
		{"base and account mixed up", func(d *config.Directory) { d.Username, d.BaseDN = "cn=readerdc=", "example" }, false},
	} {
		other := one
		tt.change(&other)
		if got := directory.Source(other) == directory.Source(one); got != tt.same {
			t.Errorf("%s: the same source is %v; want %v", tt.name, got, tt.same)
		}
	}
}
