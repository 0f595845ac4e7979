package qemu_test

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"parley/services/callbridge/directory/openldap"
	"parley/services/xmpp/realclient"
)

const ldapUsers = `dn: uid=alice,dc=example,dc=com
objectClass: inetOrgPerson
uid: alice
cn: Alice
sn: Liddell
userPassword: secret of alice

dn: uid=carol,dc=example,dc=com
objectClass: inetOrgPerson
uid: carol
cn: Carol
sn: Star
userPassword: secret of carol
`

// directory has the nodes share a database, and the settings of an LDAP server
// by it, whose users log in through each node.
func (r *rack) directory(dir string, b bindings) {
	t := r.t
	t.Helper()
	began := time.Now()
	r.serveUsers(dir)
	r.play("database.txt", dir, b)
	r.play("directory.txt", dir, b)
	ca := filepath.Join(dir, "certall.cer")
	clients := r.logInEverywhere("alice", ca)
	carol := r.node("cb3").client(realclient.Aioxmpp, "carol", ca)
	carol.AwaitOnline()
	clients[0].Do("send", "carol@tptac9.com", "from one LDAP user to another", "d1")
	carol.Await("alice's message", said("from one LDAP user to another"))
	wrong := r.node("cb2").start(realclient.Config{
		Library: realclient.Slixmpp, JID: "alice@tptac9.com", Password: "secret of carol", Host: r.node("cb2").address, Port: 5222, CA: ca,
	})
	if e := wrong.AwaitKind("failed"); e.Reason != "auth" {
		t.Errorf("with a wrong password: failed for %s; want auth", e.Reason)
	}
	r.play("directory-without-cb1.txt", dir, b)
	r.leave(append(clients, r.logInEverywhere("carol", ca)...)...)
	r.leave(carol)
	r.play("directory-with-cb1.txt", dir, b)
	t.Logf("a database of three, and users of an LDAP server: %.1f s", time.Since(began).Seconds())
	r.shared = true
}

// serveUsers has the operator's machine be the LDAP server: Debian's slapd. The
// authority of its certificate is put into the folder.
func (r *rack) serveUsers(dir string) {
	r.t.Helper()
	var server *openldap.Server
	if err := r.host.Do(func() error {
		server = openldap.Start(r.t, openldap.Config{LDIF: ldapUsers, Names: "DNS:ldap.tptac9.com", Address: operatorAddress})
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
	ca, err := os.ReadFile(server.CA.Certificate())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "ldap-ca.cer"), ca, 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// awaitDatabase waits until a node's database is in sync with both others.
func (n *node) awaitDatabase() {
	n.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(300 * time.Millisecond) {
		output, _ := n.exec("database cluster status")
		if strings.Count(output, "Connected Primary") == 1 && strings.Count(output, "Connected Replica ( In Sync )") == 2 {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s> database cluster status\n%s\nwant three nodes in sync", n.name, output)
		}
	}
}

// logInEverywhere has a user's clients log in on each node, all at once.
func (r *rack) logInEverywhere(user, ca string) []*realclient.Client {
	r.t.Helper()
	began := time.Now()
	var clients []*realclient.Client
	for _, n := range r.nodes {
		clients = append(clients, n.client(realclient.Slixmpp, user, ca))
	}
	for _, c := range clients {
		c.AwaitOnline()
	}
	r.t.Logf("%s is logged in on three nodes after %.1f s", user, time.Since(began).Seconds())
	return clients
}

// leave has clients log out.
func (r *rack) leave(clients ...*realclient.Client) {
	r.t.Helper()
	for _, c := range clients {
		c.Do("quit")
	}
	for _, c := range clients {
		c.AwaitKind("disconnected")
	}
}
