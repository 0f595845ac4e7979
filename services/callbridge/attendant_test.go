package callbridge

import (
	"strings"
	"testing"

	"parley/services/config"
	"parley/services/xmpp/xmppapi"
)

const ldapPeople = `dn: uid=alice,dc=example,dc=com
objectClass: inetOrgPerson
uid: alice
cn: Alice
sn: Liddell
userPassword: Wonder-land1

dn: uid=dan,dc=example,dc=com
objectClass: inetOrgPerson
uid: dan
cn: Dan
sn: Twice
userPassword: Other-place1
`

// TestAuthenticationService has a bridge check the passwords of users whom an
// LDAP server has, and the accounts come and go with what it has.
func TestAuthenticationService(t *testing.T) {
	w := newStaffed(t, ldapPeople)
	s, ldap := w.server, w.ldap
	if err := s.API.AddUser(t.Context(), xmppapi.Credential{Name: "dan", Password: "My-own-word1"}); err != nil {
		t.Fatal(err)
	}
	w.run()
	row := func(beginning, end string) {
		t.Helper()
		await(t, "row "+beginning+" "+end, func() bool {
			row := w.now().AuthenticationRow
			return strings.HasPrefix(row, beginning) && strings.HasSuffix(row, end)
		})
	}
	w.until("connected")
	row("no authentication components found", "")
	if err := s.login(t, "alice", "Wonder-land1"); err == nil {
		t.Error("alice is let in without a directory")
	}
	w.set(w.good)
	row("registered for ", " (1 authentication component)")
	if d, err := w.SyncDirectory(t.Context()); err != nil || d.Users != 2 || !d.Offered {
		t.Errorf("SyncDirectory = %+v, %v; want 2 users, offered", d, err)
	}
	accounts := func() map[string]bool {
		us, err := s.API.Users(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := map[string]bool{}
		for _, u := range us {
			elsewhere[u.Name] = u.Directory
		}
		return elsewhere
	}
	await(t, "alice's account", func() bool { return accounts()["alice"] })
	for _, tt := range []struct {
		name, user, password string
		ok                   bool
	}{
		{"right", "alice", "Wonder-land1", true},
		{"wrong", "alice", "Wonder-land2", false},
		{"no such user", "eve", "Wonder-land1", false},
		{"own password", "dan", "My-own-word1", true},
		{"the directory's of one who has an own", "dan", "Other-place1", false},
	} {
		if err := s.login(t, tt.user, tt.password); (err == nil) != tt.ok {
			t.Errorf("%s: login(%s) = %v; want ok %v", tt.name, tt.user, err, tt.ok)
		}
	}
	// Who is new has an account by the first log-in, or by the next list.
	ldap.Modify("dn: uid=fay,dc=example,dc=com\nchangetype: add\nobjectClass: inetOrgPerson\nuid: fay\ncn: Fay\nsn: New\nuserPassword: Brand-new1\n")
	if err := s.login(t, "fay", "Brand-new1"); err != nil {
		t.Errorf("login of one who is new = %v", err)
	}
	if !accounts()["fay"] {
		t.Error("fay has no account of the directory")
	}
	// Who exists has an account again after the next list.
	if err := s.API.DelUser(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if d, err := w.SyncDirectory(t.Context()); err != nil || d.Users != 3 {
		t.Errorf("SyncDirectory = %+v, %v; want 3 users", d, err)
	}
	await(t, "alice's account again", func() bool { return accounts()["alice"] })
	// An own password ends the directory's say.
	if err := s.API.SetPassword(t.Context(), xmppapi.Credential{Name: "fay", Password: "My-own-word2"}); err != nil {
		t.Fatal(err)
	}
	if err := s.login(t, "fay", "My-own-word2"); err != nil {
		t.Errorf("login with the own password = %v", err)
	}
	if err := s.login(t, "fay", "Brand-new1"); err == nil {
		t.Error("fay is let in with the directory's password still")
	}

	ldap.Stop()
	if err := s.login(t, "alice", "Wonder-land1"); err == nil || !strings.Contains(err.Error(), "temporary-auth-failure") {
		t.Errorf("login without the LDAP server = %v; want temporary-auth-failure", err)
	}
	if _, err := w.SyncDirectory(t.Context()); err == nil {
		t.Error("SyncDirectory works without the LDAP server")
	}
	await(t, "the fault", func() bool { return w.log.faultOf(directoryFault).Key != "" })
	ldap.Restart()
	if err := s.login(t, "alice", "Wonder-land1"); err != nil {
		t.Errorf("login when the LDAP server is back = %v", err)
	}
	if _, err := w.SyncDirectory(t.Context()); err != nil {
		t.Errorf("SyncDirectory when it is back = %v", err)
	}
	await(t, "the end of the fault", func() bool { return w.log.faultOf(directoryFault).Key == "" })
	w.set(config.Directory{})
	row("no authentication components found", "")
	if err := s.login(t, "alice", "Wonder-land1"); err == nil || !strings.Contains(err.Error(), "temporary-auth-failure") {
		t.Errorf("login with no directory any more = %v; want temporary-auth-failure", err)
	}
}
