package node_test

import (
	"strings"

	"parley/services/callbridge/directory/openldap"
)

// withDirectory has the third node's Call Bridge ask the LDAP server, unless it
// does already.
func (d *deployment) withDirectory() *program {
	d.t.Helper()
	p := d.third
	if strings.Contains(p.mmp("callbridge", "directory"), "State                   : not configured") {
		d.setDirectory(p, "ldap.cer", d.ldap)
	}
	d.awaitWell(p, "users of a directory are listed")
	return p
}

// What is done wrong with the LDAP server of the users.
var directoryMistakes = []mistake{
	{
		name: "a wrong password of the service account", what: "user name or password is wrong", command: "callbridge directory password",
		make: func(d *deployment) {
			d.withDirectory().mmpWith("wrong-Secret1\n", "callbridge", "directory", "password")
		},
	}, {
		name: "an LDAP server that is down", what: "connection refused", command: "callbridge directory sync",
		make: func(d *deployment) {
			d.withDirectory()
			d.ldap.Stop()
		},
		hand: func(d *deployment) { d.ldap.Restart() },
	}, {
		name: "an LDAP server that is silent", what: "gave no answer", command: "callbridge directory sync",
		make: func(d *deployment) {
			d.withDirectory()
			d.ldap.Freeze(true)
		},
		hand: func(d *deployment) { d.ldap.Freeze(false) },
	}, {
		name: "a trust file of the LDAP server that is lost", what: "name ldap.cer as trust bundle, and this node has no such file", command: "callbridge directory sync",
		make: func(d *deployment) { d.lose(d.withDirectory(), "ldap.cer") },
		hand: func(d *deployment) { d.third.put(d.file("ldap.cer")) },
	}, {
		name: "a trust file of the LDAP server that is none", what: "ldap.cer holds no certificate", command: "callbridge directory sync",
		make: func(d *deployment) {
			d.withDirectory().put(d.write("ldap.cer", "Dear operator, please find attached"))
		},
		hand: func(d *deployment) { d.third.put(d.file("ldap.cer")) },
	}, {
		name: "a trust file of another LDAP server", what: "of the LDAP server 127.0.0.1", command: "callbridge directory sync",
		make: func(d *deployment) { d.withDirectory().put(d.copyOf(d.root, "ldap.cer")) },
		hand: func(d *deployment) { d.third.put(d.file("ldap.cer")) },
	}, {
		name: "a wrong base", what: "'dc=example,dc=org' is not on the LDAP server", command: "callbridge directory basedn <dn>",
		make:  func(d *deployment) { d.withDirectory().mmp("callbridge", "directory", "basedn", "dc=example,dc=org") },
		words: map[string]string{"<dn>": openldap.Base},
	}, {
		name: "a filter that selects nobody", what: "Filter and Username mapping select nobody on the LDAP server 127.0.0.1", command: "callbridge directory filter <filter>",
		make:  func(d *deployment) { d.withDirectory().mmp("callbridge", "directory", "filter", "(uid=nobody)") },
		words: map[string]string{"<filter>": "(objectClass=inetOrgPerson)"},
	}, {
		name: "the one Call Bridge that checks passwords disabled", what: "no Call Bridge checks the passwords of 2 accounts", command: "callbridge enable",
		make: func(d *deployment) { d.withDirectory().mmp("callbridge", "disable") },
	}, {
		name: "users of a directory and no LDAP server", what: "no Call Bridge checks the passwords of 2 accounts", command: "callbridge directory address <address>",
		make:  func(d *deployment) { d.withDirectory().mmp("callbridge", "directory", "address", "none") },
		words: map[string]string{"<address>": "127.0.0.1"},
		// The command is for whichever node is to have it; here one has the rest.
		from: func(d *deployment) *program { return d.third },
	},
}
