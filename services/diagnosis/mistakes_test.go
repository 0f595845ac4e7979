package diagnosis_test

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/diagnosis"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

// mistakes are made on the first of three members, unless w says otherwise.
// What is then found is in testdata/mistakes.txt.
var mistakes = []struct {
	name string
	make func(w *world, n *node)
}{
	{"XMPP disabled", func(_ *world, n *node) { n.doc.XMPP.Enabled = false }},
	{"XMPP in trouble", func(_ *world, n *node) {
		n.status = func(s *xmppapi.Status) {
			s.Running, s.Trouble = false, "cannot listen on 10.106.81.30 of interface a: in use; see 'ipv4 a'"
		}
	}},
	{"XMPP service silent", func(_ *world, n *node) { n.silent = true }},
	{"no domain", func(_ *world, n *node) { n.doc.XMPP.Domain = "" }},
	{"nowhere listened", func(_ *world, n *node) { n.doc.XMPP.Listen = nil }},
	{"interface without card", func(_ *world, n *node) { n.doc.XMPP.Listen = []string{"c"} }},
	{"cable out", func(_ *world, n *node) { n.nics[0].Up = false }},
	{"interface disabled", func(_ *world, n *node) {
		n.nics[0].Addresses = nil
		n.doc.Interfaces["a"] = config.Interface{}
	}},
	{"no lease", func(_ *world, n *node) {
		n.nics[0].Addresses = nil
		n.doc.Interfaces["a"] = config.Interface{IPv4: config.IPv4{Enabled: true, DHCP: true}}
	}},
	{"no address", func(_ *world, n *node) {
		n.nics[0].Addresses = nil
		n.doc.Interfaces["a"] = config.Interface{IPv4: config.IPv4{Enabled: true}}
	}},

	{"no certificate", func(_ *world, n *node) { n.doc.XMPP.Key, n.doc.XMPP.Certificate, n.doc.XMPP.Bundle = "", "", "" }},
	{"key gone", func(_ *world, n *node) { delete(n.files, "abhiall.key") }},
	{"certificate is none", func(_ *world, n *node) { n.files["abhiall.cer"] = n.files["notes.txt"] }},
	{"wrong key", func(_ *world, n *node) { n.doc.XMPP.Key = "other.key" }},
	{"no key fits", func(_ *world, n *node) { n.files["abhiall.key"] = n.files["other.key"] }},
	{"certificate expired", func(_ *world, n *node) { n.files["abhiall.cer"] = n.files["expired.cer"] }},
	{"certificate expires soon", func(_ *world, n *node) { n.files["abhiall.cer"] = n.files["soon.cer"] }},
	{"certificate not yet valid", func(_ *world, n *node) { n.files["abhiall.cer"] = n.files["future.cer"] }},
	{"domain not in certificate", func(_ *world, n *node) { n.files["abhiall.cer"] = n.files["nodomain.cer"] }},
	{"host not in certificate", func(_ *world, n *node) { n.files["abhiall.cer"] = n.files["nohost.cer"] }},
	{"bundle out of order", func(_ *world, n *node) { n.files["certall.cer"] = n.files["disorder.cer"] }},
	{"bundle lacks the intermediate", func(_ *world, n *node) { n.files["certall.cer"] = n.files["root.cer"] }},
	{"no bundle", func(_ *world, n *node) { n.doc.XMPP.Bundle = "" }},
	{"certificate replaced and not loaded", func(_ *world, n *node) {
		n.status = func(s *xmppapi.Status) { s.Expires = now.AddDate(0, 1, 0) }
	}},
	{"no trust bundle", func(_ *world, n *node) { n.doc.XMPP.Cluster.Trust = "" }},
	{"trust bundle gone", func(_ *world, n *node) { n.doc.XMPP.Cluster.Trust = "gone.crt" }},
	{"trust bundle is none", func(_ *world, n *node) { n.doc.XMPP.Cluster.Trust = "notes.txt" }},
	{"trust bundle of others", func(_ *world, n *node) { n.doc.XMPP.Cluster.Trust = "other.cer" }},
	{"trust bundle has an expired one", func(_ *world, n *node) {
		n.files["both.crt"] = n.files["abhiall.cer"] + n.files["expired.cer"] + n.files["soon.cer"] + n.files["future.cer"]
		n.doc.XMPP.Cluster.Trust = "both.crt"
	}},

	{"no records for Call Bridges", func(w *world, _ *node) { w.without("_xmpp-component") }},
	{"no records for clients", func(w *world, _ *node) { w.without("_xmpp-client") }},
	{"component record with the client port", func(w *world, _ *node) { w.rewrite("0 0 5223 cb2", "0 0 5222 cb2") }},
	{"client record with the article's port", func(w *world, _ *node) { w.rewrite("10 50 5222 cb2", "10 50 522 cb2") }},
	{"client record with the component port", func(w *world, _ *node) { w.rewrite("10 50 5222 cb2", "10 50 5223 cb2") }},
	{"target without address", func(w *world, _ *node) { w.without("cb2.tptac9.com. 86400 IN A") }},
	{"target is an alias", func(w *world, _ *node) {
		w.rewrite("cb2.tptac9.com. 86400 IN A 10.106.81.31", "cb2.tptac9.com. 86400 IN CNAME chat.tptac9.com.")
		w.dns = append(w.dns, "chat.tptac9.com. 86400 IN A 10.106.81.31")
	}},
	{"target elsewhere", func(w *world, _ *node) { w.rewrite("A 10.106.81.31", "A 10.106.81.99") }},
	{"a member without record", func(w *world, _ *node) { w.without("_xmpp-component._tcp.tptac9.com. 86400 IN SRV 0 0 5223 cb3") }},
	{"no such service", func(w *world, _ *node) {
		w.without("_xmpp-client")
		w.dns = append(w.dns, "_xmpp-client._tcp.tptac9.com. 60 IN SRV 0 0 0 .")
	}},
	{"name servers silent", func(_ *world, n *node) { n.mute = true }},
	{"many name servers silent", func(_ *world, n *node) {
		server := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
		n.stalled = true
		n.doc.DNS.Zones = []config.ForwardZone{{Domain: ".", Server: server("10.106.81.9:53")}, {Domain: "tptac9.com", Server: server("10.106.81.2:53")},
			{Domain: "other.com", Server: server("10.106.81.8:53")}, {Domain: "tptac9.com", Server: server("10.106.81.3:53")}}
	}},
	{"own record wrong", func(_ *world, n *node) {
		n.doc.DNS.Records = []string{"_xmpp-component._tcp.tptac9.com. 86400 IN SRV 0 0 5222 cb1.tptac9.com."}
	}},
	{"own address record wrong", func(_ *world, n *node) { n.doc.DNS.Records = []string{"cb3.tptac9.com. 86400 IN A 10.106.81.23"} }},
	{"own record wrong on another", func(w *world, _ *node) {
		w.nodes[1].doc.DNS.Records = []string{"_xmpp-client._tcp.tptac9.com. 86400 IN SRV 10 50 522 cb1.tptac9.com."}
	}},

	{"member down", func(w *world, _ *node) { w.nodes[2].down = true }},
	{"member restarted", func(w *world, n *node) {
		w.nodes[2].down = true
		n.cluster = func(c *xmppapi.Cluster) { c.Nodes[2].Since = w.now.Add(-time.Second) }
	}},
	{"majority down", func(w *world, _ *node) { w.nodes[1].down, w.nodes[2].down = true, true }},
	{"address twice", func(_ *world, n *node) {
		n.cluster = func(c *xmppapi.Cluster) { c.Nodes = append(c.Nodes, c.Nodes[1]) }
	}},
	{"four members", func(_ *world, n *node) {
		n.cluster = func(c *xmppapi.Cluster) {
			c.Nodes = append(c.Nodes, xmppapi.Node{Address: "10.106.81.33:5222", Reachable: true, Version: "1.0"})
		}
	}},
	{"two members", func(_ *world, n *node) { n.cluster = func(c *xmppapi.Cluster) { c.Nodes = c.Nodes[:2] } }},
	{"no leader", func(_ *world, n *node) { n.cluster = func(c *xmppapi.Cluster) { c.Leader = false } }},
	{"member behind", func(_ *world, n *node) {
		n.cluster = func(c *xmppapi.Cluster) { c.Nodes[1].Lag, c.Nodes[1].Learner = 5000, true }
	}},
	{"clock behind", func(_ *world, n *node) { n.cluster = func(c *xmppapi.Cluster) { c.Nodes[1].Clock = -5 * time.Second } }},
	{"clock far ahead", func(_ *world, n *node) { n.cluster = func(c *xmppapi.Cluster) { c.Nodes[2].Clock = 61 * time.Second } }},
	{"clock of this node behind", func(_ *world, n *node) {
		n.cluster = func(c *xmppapi.Cluster) { c.Nodes[1].Clock, c.Nodes[2].Clock = 40*time.Second, 41*time.Second }
	}},
	{"three clocks", func(_ *world, n *node) {
		n.cluster = func(c *xmppapi.Cluster) { c.Nodes[1].Clock, c.Nodes[2].Clock = -10*time.Second, 9*time.Second }
	}},
	{"versions", func(_ *world, n *node) { n.cluster = func(c *xmppapi.Cluster) { c.Nodes[2].Version = "1.1" } }},
	{"taken out and untold", func(w *world, n *node) {
		w.nodes[1].down, w.nodes[2].down = true, true
		n.status = func(s *xmppapi.Status) {
			s.Running, s.Trouble = false, problem.Text(problem.New(problem.ClusterOutside))
		}
		n.cluster = func(c *xmppapi.Cluster) { c.Nodes, c.Outside, c.Leader = c.Nodes[1:], true, false }
	}},
	{"no member", func(_ *world, n *node) { n.cluster = func(c *xmppapi.Cluster) { *c = xmppapi.Cluster{} } }},
	{"joining", func(_ *world, n *node) {
		n.cluster = func(c *xmppapi.Cluster) {
			*c = xmppapi.Cluster{Activity: "catching up with the leader 10.106.81.31:5222, at entry 7"}
		}
	}},
	{"firewall on the way of one", func(w *world, _ *node) { w.nodes[1].closed = []string{"10.106.81.32:5223"} }},
	{"firewall before this node", func(w *world, n *node) {
		w.nodes[1].closed, w.nodes[2].closed = []string{n.addr + ":5223"}, []string{n.addr + ":5223"}
	}},
	{"firewall before one member's client port", func(w *world, _ *node) { w.block("5222", 2, 0, 1) }},
	{"firewall before one member's client port, on the way from here", func(w *world, _ *node) { w.block("5222", 2, 0) }},
	{"firewall before one member's client port, on the way from there", func(w *world, _ *node) { w.block("5222", 2, 1) }},
	{"firewall before this node's client port", func(w *world, _ *node) { w.block("5222", 0, 1, 2) }},
	{"firewall around this node", func(w *world, _ *node) {
		w.block("5222", 0, 1, 2)
		w.block("5222", 1, 0)
		w.block("5222", 2, 0)
	}},
	{"firewall that refuses before one member's client port", func(w *world, _ *node) {
		for _, n := range w.nodes[:2] {
			n.refuses = []string{w.nodes[2].addr + ":5222"}
		}
	}},
	{"member whose process is down", func(w *world, _ *node) {
		for _, n := range w.nodes[:2] {
			n.refuses = []string{w.nodes[2].addr + ":5222", w.nodes[2].addr + ":5223"}
		}
	}},
	{"member that hangs", func(w *world, _ *node) { w.nodes[2].hung = true }},
	{"firewall before one that is disabled", func(w *world, _ *node) {
		w.block("5222", 2, 0, 1)
		w.nodes[2].doc.XMPP.Enabled = false
	}},
	{"XMPP disabled on another", func(w *world, _ *node) { w.nodes[1].doc.XMPP.Enabled = false }},
	{"other domain on another", func(w *world, _ *node) { w.nodes[1].doc.XMPP.Domain = "tptac8.com" }},
	{"another trusts others only", func(w *world, _ *node) {
		n := w.nodes[1]
		n.doc.XMPP.Key, n.doc.XMPP.Certificate, n.doc.XMPP.Cluster.Trust = "other.key", "other.cer", "other.cer"
	}},
	{"another does not examine itself", func(w *world, _ *node) { w.nodes[1].deaf = true }},
	{"another does not examine itself in time", func(w *world, _ *node) { w.nodes[1].late = true }},
	{"another's disk is full", func(w *world, _ *node) { w.nodes[1].disk = full }},
	{"host name twice", func(w *world, _ *node) { w.nodes[2].doc.Hostname = "cb2" }},

	{"no Call Bridge", func(w *world, _ *node) {
		w.bridges = nil
		for _, n := range w.nodes {
			n.doc.CallBridge = config.CallBridge{}
		}
	}},
	{"two secrets alike", func(w *world, _ *node) { w.bridges[2].Secret = w.bridges[0].Secret }},
	{"secrets differ on another", func(w *world, _ *node) {
		w.nodes[1].secrets = slices.Clone(w.bridges)
		w.nodes[1].secrets[2].Secret = "secret of old"
	}},
	{"Call Bridge not connected", func(w *world, _ *node) { w.bridges[1].Connected = false }},
	{"Call Bridge disabled", func(w *world, _ *node) { w.bridges[1].Connected, w.nodes[1].doc.CallBridge.Enabled = false, false }},
	{"Call Bridge of no member", func(w *world, _ *node) {
		w.bridges = append(w.bridges, xmppapi.CallBridge{Name: "cb9", Secret: "secret of cb9"})
	}},
	{"Call Bridge without name", func(_ *world, n *node) { n.doc.CallBridge.XMPP.Name = "" }},
	{"Call Bridge without domain", func(_ *world, n *node) { n.doc.CallBridge.XMPP.Domain = "" }},
	{"Call Bridge without secret", func(_ *world, n *node) { n.doc.CallBridge.XMPP.Secret = "" }},
	{"Call Bridge of another domain", func(_ *world, n *node) { n.doc.CallBridge.XMPP.Domain = "tptac8.com" }},
	{"Call Bridge to the client port", func(_ *world, n *node) { n.doc.CallBridge.XMPP.Server = "cb1.tptac9.com:5222" }},
	{"Call Bridge unregistered", func(_ *world, n *node) { n.doc.CallBridge.XMPP.Name = "cb7" }},
	{"Call Bridge with another's secret", func(_ *world, n *node) { n.doc.CallBridge.XMPP.Secret = "secret of cb3" }},
	{"Call Bridge with a wrong secret", func(_ *world, n *node) { n.doc.CallBridge.XMPP.Secret = "typed wrong" }},
	{"Call Bridge failed", func(_ *world, n *node) {
		n.bridge = callbridgeapi.Status{State: callbridgeapi.Failed, Reason: callbridgeapi.DNSError, Hint: "SRV points to 5222, the client port",
			XMPPRow: "failed to connect due to dns error (2 seconds ago)"}
	}},
	{"Call Bridge that trusts others", func(_ *world, n *node) {
		n.bridge = callbridgeapi.Status{State: callbridgeapi.Failed, Reason: callbridgeapi.TLSFailure, Hint: "give the certificate of the XMPP server",
			XMPPRow: "failed to connect to cb1.tptac9.com due to certificate failure (2 seconds ago)"}
	}},
	{"Call Bridge that trusts nobody", func(_ *world, n *node) {
		n.bridge = callbridgeapi.Status{State: callbridgeapi.Failed, Reason: callbridgeapi.TLSFailure, Hint: "give the certificate of the XMPP server",
			XMPPRow: "failed to connect to cb1.tptac9.com due to certificate failure (2 seconds ago)"}
		n.doc.XMPP = config.XMPP{}
	}},
	{"Call Bridge to a server that is down", func(_ *world, n *node) {
		n.doc.CallBridge.XMPP.Server = "cb7.tptac9.com"
		n.bridge = callbridgeapi.Status{State: callbridgeapi.Failed, Reason: callbridgeapi.ConnectionFailure, Hint: "see 'xmpp status' on cb7.tptac9.com",
			XMPPRow: "failed to connect to cb7.tptac9.com due to connection failure (2 seconds ago)"}
	}},
	{"Call Bridge connecting", func(_ *world, n *node) { n.bridge.State = callbridgeapi.Connecting }},
	{"two Call Bridges of one name", func(w *world, _ *node) {
		w.nodes[2].doc.CallBridge.XMPP.Name, w.nodes[2].doc.CallBridge.XMPP.Secret = "cb2", "secret of cb2"
		w.nodes[1].bridge = callbridgeapi.Status{State: callbridgeapi.Failed, Reason: callbridgeapi.ServiceUnavailable, Hint: "see there"}
	}},
	{"Call Bridge with another's name", func(w *world, n *node) {
		n.doc.CallBridge.XMPP.Name, w.bridges[0].Connected = "cb2", false
		n.bridge = callbridgeapi.Status{State: callbridgeapi.Failed, Reason: callbridgeapi.AuthenticationFailure, Hint: "see there"}
	}},
	{"another Call Bridge with this one's name", func(w *world, _ *node) {
		w.nodes[2].doc.CallBridge.XMPP.Name, w.bridges[2].Connected = "cb1", false
	}},
	{"Call Bridge with another's name and no secret of any", func(w *world, n *node) {
		n.doc.CallBridge.XMPP.Name, n.doc.CallBridge.XMPP.Secret = "cb2", "typed wrong"
	}},

	{"a node of the database is down", func(_ *world, n *node) {
		n.database.Nodes = slices.Clone(n.database.Nodes)
		n.database.Nodes[2].Connected = false
	}},
	{"the database has no primary", func(_ *world, n *node) {
		n.database.InUse = ""
		n.database.Trouble = "the database takes no changes at the moment, since it has no primary; try again in a few seconds"
	}},
	{"the database does not answer", func(_ *world, n *node) { n.databaseErr = problem.New(problem.NotReachable, "service", "database") }},

	{"LDAP server down", func(w *world, n *node) {
		w.withDirectory()
		n.probe = problem.New(problem.DirectoryUnreachable, "address", "ldap.tptac9.com:389 (10.106.81.5)", "host", "ldap.tptac9.com", "reason", "connection refused")
	}},
	{"LDAP server down for all", func(w *world, _ *node) {
		w.withDirectory()
		for i, n := range w.nodes {
			w.bridges[i].Authenticates = i == 1
			n.cannotAsk(problem.New(problem.DirectorySilent, "address", "ldap.tptac9.com:389", "what", "the list of users"))
		}
	}},
	{"LDAP server unknown on another", func(w *world, _ *node) {
		w.withDirectory()
		w.nodes[1].cannotAsk(problem.New(problem.DirectoryUnknown, "host", "ldap.tptac9.com", "answers", "A: NXDOMAIN from 10.106.81.2:53"))
	}},
	{"LDAP server with a wrong password", func(w *world, n *node) {
		w.withDirectory()
		n.cannotAsk(problem.New(problem.DirectoryBind, "address", "ldap.tptac9.com:389", "username", "cn=reader,dc=tptac9,dc=com", "reason", "user name or password is wrong"))
	}},
	{"LDAP server with a wrong base", func(w *world, n *node) {
		w.withDirectory()
		n.cannotAsk(problem.New(problem.DirectoryBase, "address", "ldap.tptac9.com:389", "base", "dc=tptac8,dc=com", "reason", "nothing of it is there, or the service account may not see it"))
	}},
	{"LDAP server without base", func(w *world, n *node) {
		w.withDirectory()
		n.cannotAsk(problem.New(problem.DirectoryIncomplete, "missing", "Base distinguished name", "command", "callbridge directory basedn <dn>"))
	}},
	{"LDAP server with a wrong mapping", func(w *world, n *node) {
		w.withDirectory()
		n.cannotAsk(problem.New(problem.DirectorySetting, "field", "Username mapping", "value", "uid", "reason", "it names one attribute, as in $uid$", "command", "callbridge directory user"))
	}},
	{"LDAP server whose trust file is gone", func(w *world, n *node) {
		w.withDirectory()
		n.probe = problem.New(problem.DirectoryTrustFile, "file", "ldap.cer")
	}},
	{"LDAP server whose trust file is none", func(w *world, n *node) {
		w.withDirectory()
		n.probe = problem.New(problem.DirectoryTrust, "file", "ldap.cer")
	}},
	{"LDAP server with another's certificate", func(w *world, n *node) {
		w.withDirectory()
		n.probe = problem.New(problem.DirectoryCertificate, "address", "ldap.tptac9.com:389", "certificate", "CN=ldap", "reason", "has expired", "fix", "have it renewed")
	}},
	{"LDAP server that wants TLS", func(w *world, n *node) {
		w.withDirectory()
		n.cannotAsk(problem.New(problem.DirectoryInsecure, "address", "ldap.tptac9.com:389", "reason", "confidentiality required"))
	}},
	{"LDAP server that does not list all", func(w *world, n *node) {
		w.withDirectory()
		n.cannotAsk(problem.New(problem.DirectoryLimit, "address", "ldap.tptac9.com:389", "reason", "size limit exceeded"))
	}},
	{"LDAP server that refuses the list", func(w *world, n *node) {
		w.withDirectory()
		n.cannotAsk(problem.New(problem.DirectoryRefused, "address", "ldap.tptac9.com:389", "what", "the list of users", "reason", "insufficient access rights"))
	}},
	{"LDAP server's settings not known", func(w *world, n *node) {
		w.withDirectory()
		n.directory = callbridgeapi.Directory{Configured: true}
		n.cannotAsk(problem.New(problem.NotReachable, "service", "database"))
	}},
	{"LDAP server that was not asked yet", func(w *world, n *node) {
		w.withDirectory()
		n.directory.Synced, n.directory.Users = time.Time{}, 0
	}},
	{"LDAP server without users", func(w *world, n *node) {
		w.withDirectory()
		n.cannotAsk(problem.New(problem.DirectoryNobody, "address", "ldap.tptac9.com:389", "base", "dc=tptac9,dc=com", "filter", "(uid=nobody)", "mapping", "$uid$", "username", "the service account"))
	}},
	{"LDAP server with names that chat cannot have", func(w *world, n *node) {
		w.withDirectory()
		n.cannotAsk(problem.New(problem.DirectoryNames, "address", "ldap.tptac9.com:389", "mapping", "$cn$", "like", "Bert Ü"))
	}},
	{"directory users and no LDAP server", func(w *world, _ *node) {
		w.withDirectory()
		for i, n := range w.nodes {
			w.bridges[i].Authenticates, n.directory = false, callbridgeapi.Directory{}
		}
	}},
	{"directory users and their Call Bridge disabled", func(w *world, _ *node) {
		w.withDirectory()
		for i, n := range w.nodes {
			w.bridges[i].Authenticates = false
			n.doc.CallBridge.Enabled = i != 1
			n.directory.Configured = i == 1
		}
	}},
	{"directory users and their Call Bridge away", func(w *world, _ *node) {
		w.withDirectory()
		for i, n := range w.nodes {
			w.bridges[i].Authenticates, w.bridges[i].Connected = false, i != 1
			n.directory.Configured = i == 1
		}
	}},

	{"disk nearly full", func(_ *world, n *node) { n.disk.Used, n.disk.Takes, n.disk.Largest = 93<<30, 6<<30, "notes.txt" }},
	{"disk as good as full", func(_ *world, n *node) { n.disk.Used, n.disk.Takes, n.disk.Largest = 98<<30, 6<<30, "notes.txt" }},
	{"disk full", func(_ *world, n *node) { n.disk = full }},
	{"small disk full", func(_ *world, n *node) {
		n.disk = diagnosis.Disk{Size: 256 << 20, Used: 226 << 20, Largest: "old recording.bin", Takes: 100 << 20}
	}},
	{"disk full of messages", func(_ *world, n *node) { n.disk.Used, n.disk.Takes, n.disk.Largest = 98<<30, 4<<30, "notes.txt" }},
	{"disk full of what cannot be listed", func(_ *world, n *node) { n.disk.Used, n.disk.Takes = 98<<30, -1 }},
}

// full is a disk on which somebody has left a large file.
var full = diagnosis.Disk{Size: 100 << 30, Used: 100 << 30, Largest: "recording.bin", Takes: 80 << 30}

// block has no node of from reach that port of another.
func (w *world) block(port string, of int, from ...int) {
	for _, i := range from {
		w.nodes[i].closed = append(w.nodes[i].closed, w.nodes[of].addr+":"+port)
	}
}

// without takes the records away that begin so.
func (w *world) without(prefix string) {
	w.dns = slices.DeleteFunc(w.dns, func(r string) bool { return strings.HasPrefix(r, prefix) })
}

// rewrite changes what stands in one record.
func (w *world) rewrite(old, by string) {
	for i, r := range w.dns {
		w.dns[i] = strings.Replace(r, old, by, 1)
	}
}
