package node_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/callbridge/directory/openldap"
	"parley/services/config"
	"parley/services/pki/opensslca"
	"parley/services/xmpp/realclient"
)

const ldapAlice = `dn: uid=alice,dc=example,dc=com
objectClass: inetOrgPerson
uid: alice
cn: Alice
sn: Liddell
userPassword: Wonder-land1
`

const ldapBob = `dn: uid=bob,dc=example,dc=com
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Star
userPassword: Star-light1
`

const ldapPeople = ldapAlice + "\n" + ldapBob

// bridgeWithDirectory sets up the Call Bridge of a node, which asks an LDAP
// server.
func (c *cluster) bridgeWithDirectory(p *program, name, secret string, ldap *openldap.Server) {
	c.t.Helper()
	p.mmp("callbridge", "xmpp", "name", name)
	p.mmp("callbridge", "xmpp", "domain", domain)
	p.mmp("callbridge", "xmpp", "server", "localhost")
	p.mmp("callbridge", "trust", "certall.cer")
	p.mmpWith(secret+"\n", "callbridge", "xmpp", "secret")
	p.mmp("callbridge", "enable")
	c.setDirectory(p, "ldap-"+name+".cer", ldap)
}

// setDirectory has a node ask an LDAP server, which it trusts by a file of that
// name.
func (c *cluster) setDirectory(p *program, file string, ldap *openldap.Server) {
	c.t.Helper()
	copyFile(c.t, ldap.CA.Certificate(), c.file(file))
	p.put(c.file(file))
	p.mmp("callbridge", "directory", "address", "127.0.0.1")
	p.mmp("callbridge", "directory", "port", strconv.Itoa(ldap.Plain))
	p.mmp("callbridge", "directory", "trust", file)
	p.mmp("callbridge", "directory", "basedn", openldap.Base)
	p.mmp("callbridge", "directory", "user", "$uid$")
	p.mmp("callbridge", "directory", "username", openldap.Reader)
	p.mmpWith(openldap.ReaderSecret+"\n", "callbridge", "directory", "password")
	if out := p.mmp("callbridge", "directory", "test"); !strings.Contains(out, "users   alice, bob") {
		c.t.Errorf("callbridge directory test:\n%s\nwant the users", out)
	}
	if out := p.mmp("callbridge", "directory", "sync"); out != "SUCCESS: 2 users\n" {
		c.t.Errorf("callbridge directory sync = %q; want 2 users", out)
	}
}

// awaitAuthenticationRow waits until the row ends like that on a node.
func (p *program) awaitAuthenticationRow(t *testing.T, beginning, end string) {
	t.Helper()
	api := callbridgeapi.NewClient(config.FolderPaths(p.state).Socket("callbridge"))
	await(t, "row "+beginning+" "+end, func(ctx context.Context) error {
		s, err := api.Status(ctx)
		if row := s.AuthenticationRow; err == nil && (!strings.HasPrefix(row, beginning) || !strings.HasSuffix(row, end)) {
			err = errors.New(row)
		}
		return err
	})
}

// TestDirectoryUsers logs in users whom an LDAP server has, by clients that we
// did not write, through any node; with one of two LDAP servers silent, and
// with one of two Call Bridges dead.
func TestDirectoryUsers(t *testing.T) {
	c, secrets := newCluster(t, 3, "dan")
	one, two, three := c.nodes[0], c.nodes[1], c.nodes[2]
	names := openldap.Config{LDIF: ldapPeople, Names: "IP:127.0.0.1"}
	first, second := openldap.Start(t, names), openldap.Start(t, names)
	two.awaitAuthenticationRow(t, "no authentication components found", "")
	c.bridgeWithDirectory(one, "cb1", secrets[0], first)
	c.bridgeWithDirectory(two, "cb2", secrets[1], second)
	for _, p := range c.nodes[:2] {
		p.awaitAuthenticationRow(t, "registered for ", " (2 authentication components)")
	}
	await(t, "an account of the directory", func(ctx context.Context) error {
		us, err := three.api().Users(ctx)
		for _, u := range us {
			if u.Name == "alice" && u.Directory {
				return nil
			}
		}
		return errors.Join(err, errors.New("none"))
	})
	if out := three.mmp("xmpp", "user", "list"); !strings.Contains(out, "alice  0         directory  none") || !strings.Contains(out, "dan    0         here       none") {
		t.Errorf("xmpp user list:\n%s\nwant alice's password in the directory and dan's here", out)
	}
	login := func(library realclient.Library, user, password string, p *program) *realclient.Client {
		t.Helper()
		cfg := c.clientConfig(library, user, p)
		cfg.Password = password
		return realclient.Start(t, cfg)
	}
	alice := login(realclient.Slixmpp, "alice", "Wonder-land1", three)
	if e := alice.AwaitKind("connected"); e.Mechanism != "PLAIN" {
		t.Errorf("slixmpp logged in by %s; want PLAIN", e.Mechanism)
	}
	alice.AwaitOnline()
	bob := login(realclient.Aioxmpp, "bob", "Star-light1", one)
	bob.AwaitOnline()
	alice.Do("send", "bob@"+domain, "hello bob", "m1")
	bob.Await("alice's message", body("hello bob"))
	if out, err := c.trySendxmpp(two, "bob", "Star-light1", "alice", "by a third client"); err != nil {
		t.Errorf("go-sendxmpp: %v\n%s", err, out)
	}
	alice.Await("the third client's message", body("by a third client"))
	c.client(t, realclient.Aioxmpp, "dan", two).AwaitKind("connected")
	if e := login(realclient.Slixmpp, "alice", "Star-light1", two).AwaitKind("failed"); e.Reason != "auth" {
		t.Errorf("with a wrong password: failed for %s; want auth", e.Reason)
	}

	c.leaves(alice, bob, first, second)

	first.Freeze(true)
	for _, p := range c.nodes {
		begun := time.Now()
		login(realclient.Aioxmpp, "alice", "Wonder-land1", p).AwaitKind("connected")
		t.Logf("one of two LDAP servers silent: logged in on %s after %v", p.address, time.Since(begun))
	}
	first.Freeze(false)

	two.kill()
	one.awaitAuthenticationRow(t, "registered for ", " (1 authentication component)")
	for _, p := range []*program{one, three} {
		begun := time.Now()
		login(realclient.Slixmpp, "bob", "Star-light1", p).AwaitKind("connected")
		t.Logf("one of two Call Bridges dead: logged in on %s after %v", p.address, time.Since(begun))
	}

	one.mmpWith("My-own-word1\nMy-own-word1\n", "xmpp", "user", "passwd", "alice")
	login(realclient.Slixmpp, "alice", "My-own-word1", three).AwaitKind("connected")
	if e := login(realclient.Slixmpp, "alice", "Wonder-land1", three).AwaitKind("failed"); e.Reason != "auth" {
		t.Errorf("with the directory's password after 'xmpp user passwd': failed for %s; want auth", e.Reason)
	}
	if out := three.mmp("xmpp", "user", "list"); strings.Contains(out, "alice  0         directory") {
		t.Errorf("xmpp user list:\n%s\nwant alice's password here", out)
	}
}

// leaves has alice, who is connected to the third node, leave the directory of
// the first node's Call Bridge, and then that of the second's as well, and come back.
func (c *cluster) leaves(alice, bob *realclient.Client, first, second *openldap.Server) {
	c.t.Helper()
	one, two, three := c.nodes[0], c.nodes[1], c.nodes[2]
	leave := "dn: uid=alice," + openldap.Base + "\nchangetype: delete\n"
	back := strings.Replace(ldapAlice, "\n", "\nchangetype: add\n", 1)
	sync := func(p *program, want string) {
		c.t.Helper()
		if out := p.mmp("callbridge", "directory", "sync"); out != "SUCCESS: "+want+"\n" {
			c.t.Errorf("callbridge directory sync on %s = %q; want %s", p.address, out, want)
		}
	}
	login := func(user string) *realclient.Client {
		c.t.Helper()
		cfg := c.clientConfig(realclient.Slixmpp, user, three)
		cfg.Password = "Wonder-land1"
		return realclient.Start(c.t, cfg)
	}
	first.Modify(leave)
	sync(one, "1 user")
	bob.Do("send", "alice@"+domain, "one list has you", "m3")
	alice.Await("a message while one list has her", body("one list has you"))

	second.Modify(leave)
	sync(two, "1 user")
	begun := time.Now()
	if e := alice.AwaitKind("stream-error"); e.Condition != "not-authorized" {
		c.t.Errorf("the session of who has left ends with %q; want not-authorized", e.Condition)
	}
	c.t.Logf("session ended %v after the list", time.Since(begun))
	three.awaitUser("alice  0         no longer in the directory  none")
	if e := login("alice").AwaitKind("failed"); e.Reason != "auth" {
		c.t.Errorf("the log-in of who has left failed for %s; want auth", e.Reason)
	}
	bob.Do("send", "alice@"+domain, "until you are back", "m4")
	three.awaitUser("alice  1         no longer in the directory  none")

	second.Modify(back)
	first.Modify(back)
	sync(two, "2 users")
	three.awaitUser("alice  1         directory  none")
	login("alice").Await("what waited", body("until you are back"))
	sync(one, "2 users")
}

// awaitUser waits until 'xmpp user list' has a line.
func (p *program) awaitUser(line string) {
	p.t.Helper()
	await(p.t, "xmpp user list on "+p.address, func(context.Context) error {
		if out, _ := p.try("", "xmpp", "user", "list"); !strings.Contains(out, line+"\n") {
			return fmt.Errorf("no %q in\n%s", line, out)
		}
		return nil
	})
}

// TestDirectoryShared: what one node sets of the directory holds for the others
// that share the database, also when that node is dead, and after a restart.
func TestDirectoryShared(t *testing.T) {
	c, secrets := newCluster(t, 3, "dan")
	one, two, three := c.nodes[0], c.nodes[1], c.nodes[2]
	secrets = append(secrets, three.register("cb3"))
	ldap := openldap.Start(t, openldap.Config{LDIF: ldapPeople, Names: "IP:127.0.0.1"})
	c.bridgeWithDirectory(one, "cb1", secrets[0], ldap)
	c.databaseFiles(opensslca.New(t))
	c.databaseReady(one, two)
	one.mmp("database", "cluster", "initialize")
	two.mmpWith("Y\n", "database", "cluster", "join", one.address)
	three.mmp("database", "cluster", "certs", "dbclusterclient.key", "dbclusterclient.cer", "dbca.cer")
	three.mmp("database", "cluster", "connect", two.address)
	for i, p := range []*program{two, three} {
		p.mmp("callbridge", "xmpp", "name", []string{"cb2", "cb3"}[i])
		p.mmp("callbridge", "xmpp", "domain", domain)
		p.mmp("callbridge", "xmpp", "server", "localhost")
		p.mmp("callbridge", "trust", "certall.cer")
		p.mmpWith(secrets[i+1]+"\n", "callbridge", "xmpp", "secret")
		p.mmp("callbridge", "enable")
		p.awaitDirectory("of the database, for all nodes that share it; set on cb1 ", "name ldap-cb1.cer as trust bundle, and this node has no such file; put ldap-cb1.cer here by SFTP")
		p.put(c.file("ldap-cb1.cer"))
		if out := p.mmp("callbridge", "directory", "sync"); out != "SUCCESS: 2 users\n" {
			t.Errorf("callbridge directory sync = %q; want 2 users", out)
		}
	}
	for _, p := range c.nodes {
		p.awaitAuthenticationRow(t, "registered for ", " (3 authentication components)")
	}
	two.mmp("callbridge", "directory", "filter", "(&(uid=*)(cn=Alice))")
	three.mmp("callbridge", "directory", "displayname", "$cn$")
	for _, p := range c.nodes {
		p.awaitDirectory("(&(uid=*)(cn=Alice))", "$cn$", "set on cb3 ", ": 1, listed ")
	}
	two.mmp("callbridge", "directory", "filter", "none")

	one.kill()
	login := func(user, password string, p *program) {
		t.Helper()
		cfg := c.clientConfig(realclient.Slixmpp, user, p)
		cfg.Password = password
		realclient.Start(t, cfg).AwaitKind("connected")
	}
	two.awaitAuthenticationRow(t, "registered for ", " (2 authentication components)")
	login("alice", "Wonder-land1", two)
	if out, status := two.try("", "callbridge", "directory", "port", "636"); status == 0 || !strings.Contains(out, "the database takes no changes at the moment") {
		t.Errorf("a change without a primary: exit status %d\n%s\nwant it refused", status, out)
	}
	// Bridges of the same settings speak for each other, the dead one's too.
	for _, step := range []struct{ ldif, users, row string }{
		{"dn: uid=bob," + openldap.Base + "\nchangetype: delete\n", "1 user", "bob    0         no longer in the directory  none"},
		{strings.Replace(ldapBob, "\n", "\nchangetype: add\n", 1), "2 users", "bob    0         directory  none"},
	} {
		ldap.Modify(step.ldif)
		if out := two.mmp("callbridge", "directory", "sync"); out != "SUCCESS: "+step.users+"\n" {
			t.Errorf("callbridge directory sync = %q; want %s", out, step.users)
		}
		three.awaitUser(step.row)
	}
	// A copy is read without a majority, and whoever connects reads one.
	for _, p := range []*program{two, three} {
		p.kill()
		p.start()
		p.awaitDirectory("set on cb2 ", "checks passwords")
	}
	for _, p := range []*program{two, three} {
		p.awaitAuthenticationRow(t, "registered for ", " (2 authentication components)")
		login("bob", "Star-light1", p)
	}
}

// awaitDirectory waits until 'callbridge directory' shows all of these.
func (p *program) awaitDirectory(want ...string) {
	p.t.Helper()
	await(p.t, "callbridge directory on "+p.address, func(context.Context) error {
		out, _ := p.try("", "callbridge", "directory")
		for _, w := range want {
			if !strings.Contains(out, w) {
				return fmt.Errorf("no %q in\n%s", w, out)
			}
		}
		return nil
	})
}
