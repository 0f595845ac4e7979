package node_test

import (
	"context"
	"errors"
	"maps"
)

// What is done wrong in the DNS.
var recordMistakes = []mistake{
	{
		name: "component record with the client port", what: "points to port 5222 of " + hostName(0) + ", the client port",
		command: "dns del rr _xmpp-component._tcp." + domain + " SRV",
		make: func(d *deployment) {
			d.second.mmp("dns", "del", "rr", "_xmpp-component._tcp."+domain, "SRV")
			d.second.mmp("dns", "add", "rr", record("component", 5222, hostName(0)))
		},
	}, {
		name: "client record with the article's port", what: "points to port 522 of " + hostName(0), command: "dns del rr _xmpp-client._tcp." + domain + " SRV",
		make: func(d *deployment) {
			d.first.mmp("dns", "del", "rr", "_xmpp-client._tcp."+domain, "SRV")
			d.first.mmp("dns", "add", "rr", record("client", 522, hostName(0)))
		},
	}, {
		name: "client record with the component port", what: "points to port 5223 of " + hostName(2) + ", the Call Bridges' port",
		command: "dns del rr _xmpp-client._tcp." + domain + " SRV",
		make: func(d *deployment) {
			d.third.mmp("dns", "add", "rr", record("client", 5223, hostName(2)))
		},
	}, {
		name: "a member without record", what: "leads to the member 127.", command: "dns del rr _xmpp-component._tcp." + domain + " SRV",
		make: func(d *deployment) {
			d.third.mmp("dns", "del", "rr", "_xmpp-component._tcp."+domain, "SRV")
			d.third.mmp("dns", "add", "rr", record("component", 5223, hostName(0)))
			d.third.mmp("dns", "add", "rr", record("component", 5223, hostName(1)))
		},
	}, {
		name: "a record of what is no member", what: "127.9.9.9, which is no member", command: "dns del rr _xmpp-component._tcp." + domain + " SRV",
		make: func(d *deployment) {
			d.first.mmp("dns", "add", "rr", "cb9."+domain+". 86400 IN A 127.9.9.9")
			d.first.mmp("dns", "add", "rr", record("component", 5223, "cb9."+domain))
		},
	}, {
		name: "no records of the service anywhere", what: "there is no SRV record _xmpp-client._tcp." + domain, command: "dns add rr _xmpp-client._tcp." + domain + ". ",
		make: func(d *deployment) {
			for _, p := range d.nodes {
				p.mmp("dns", "del", "rr", "_xmpp-client._tcp."+domain, "SRV")
			}
		},
	}, {
		name: "neither records nor addresses", what: "there is no SRV record _xmpp-client._tcp." + domain, command: "dns add rr _xmpp-client._tcp." + domain + ". ",
		make: func(d *deployment) {
			d.second.mmp("dns", "del", "rr", "_xmpp-client._tcp."+domain, "SRV")
			for i := range d.nodes {
				d.second.mmp("dns", "del", "rr", hostName(i), "A")
			}
		},
	}, {
		name: "a service that says there is none", what: "says that there is no such service", command: "dns del rr _xmpp-component._tcp." + domain + " SRV",
		make: func(d *deployment) {
			d.second.mmp("dns", "del", "rr", "_xmpp-component._tcp."+domain, "SRV")
			d.second.mmp("dns", "add", "rr", "_xmpp-component._tcp."+domain+". 86400 IN SRV 0 0 0 .")
		},
	}, {
		name: "a wrong address", what: "it is 127.9.9.9, which is no member", command: "dns del rr " + hostName(2) + " A",
		make: func(d *deployment) {
			d.first.mmp("dns", "del", "rr", hostName(2), "A")
			d.first.mmp("dns", "add", "rr", hostName(2)+". 86400 IN A 127.9.9.9")
		},
	}, {
		name: "an alias for a target", what: "is an alias (CNAME)", command: "dns del rr " + hostName(1) + " CNAME",
		make: func(d *deployment) {
			d.first.mmp("dns", "del", "rr", hostName(1), "A")
			d.first.mmp("dns", "add", "rr", hostName(1)+". 86400 IN CNAME chat."+domain+".")
			d.first.mmp("dns", "add", "rr", "chat."+domain+". 86400 IN A "+d.second.address)
		},
	}, {
		name: "name servers that do not answer", what: "no usable answer from 127.9.9.9", command: "dns add rr _xmpp-client._tcp." + domain + ". ",
		make: func(d *deployment) {
			d.first.mmp("dns", "del", "rr", "_xmpp-client._tcp."+domain, "SRV")
			d.first.mmp("dns", "add", "forwardzone", domain, "127.9.9.9")
		},
	},
}

// What is done wrong with keys and certificates.
var certificateMistakes = []mistake{
	{
		name: "a certificate that was renewed and not taken", what: "still shows the certificate of before", command: "xmpp certs abhiall.key abhiall.cer certall.cer",
		make: func(d *deployment) {
			d.ca.Sign(d.first.file("abhiall.csr"), d.file("abhiall.cer"))
			d.second.put(d.file("abhiall.cer"))
		},
	}, {
		name: "a certificate that is none", what: "abhiall.cer is neither key nor certificate", command: "xmpp certs abhiall.key abhiall.cer certall.cer",
		make: func(d *deployment) { d.first.put(d.write("abhiall.cer", "Dear operator, please find attached")) },
		hand: func(d *deployment) { d.certify(d.first) },
	}, {
		name: "a certificate that has expired", what: "in abhiall.cer expired on", command: "xmpp certs abhiall.key abhiall.cer certall.cer",
		make: func(d *deployment) { d.third.put(d.expired("abhiall.cer", d.third)) },
		hand: func(d *deployment) { d.certify(d.third) },
	}, {
		name: "a certificate that does not name the domain", what: "does not name the domain " + domain, command: "pki csr alone-new CN:" + domain,
		make: func(d *deployment) {
			d.request(d.second, "alone", "CN:"+hostName(1))
			concatenate(d.t, d.file("trust.crt"), d.root, d.file("alone.cer"))
			for _, p := range d.nodes {
				d.trustBy(p, d.file("trust.crt"))
			}
			d.second.mmp("xmpp", "certs", "alone.key", "alone.cer", "certall.cer")
		},
		after: func(d *deployment) {
			for _, p := range d.nodes {
				p.mmp("xmpp", "certs", "abhiall.key", "abhiall.cer", "certall.cer")
				p.mmp("xmpp", "cluster", "trust", "certall.cer")
			}
		},
	}, {
		name: "a certificate that does not name the host", what: "does not name this host, " + hostName(0), command: "pki csr chat-new CN:" + domain,
		make: func(d *deployment) {
			d.request(d.first, "chat", "CN:"+domain)
			d.first.mmp("xmpp", "certs", "chat.key", "chat.cer", "certall.cer")
		},
		after: func(d *deployment) { d.first.mmp("xmpp", "certs", "abhiall.key", "abhiall.cer", "certall.cer") },
	}, {
		name: "no key", what: "there is no file abhiall.key", command: "xmpp certs abhiall.key abhiall.cer certall.cer",
		make: func(d *deployment) { d.lose(d.first, "abhiall.key") },
		hand: func(d *deployment) { d.first.put(d.file("abhiall.key")) },
	}, {
		name: "the key under another name", what: "does not belong to abhiall.cer", command: "xmpp certs right.key abhiall.cer certall.cer",
		make: func(d *deployment) {
			d.request(d.first, "other", "CN:"+domain)
			copyFile(d.t, d.file("abhiall.key"), d.file("right.key"))
			d.first.put(d.file("right.key"))
			d.overwrite(d.first, "abhiall.key", d.first.file("other.key"))
		},
		after: func(d *deployment) {
			d.overwrite(d.first, "abhiall.key", d.file("abhiall.key"))
			d.first.mmp("xmpp", "certs", "abhiall.key", "abhiall.cer", "certall.cer")
		},
	}, {
		name: "the key of another certificate", what: "does not belong to abhiall.cer", command: "xmpp certs abhiall.key abhiall.cer certall.cer",
		make: func(d *deployment) {
			d.request(d.third, "other", "CN:"+domain)
			d.overwrite(d.third, "abhiall.key", d.third.file("other.key"))
		},
		hand: func(d *deployment) { d.overwrite(d.third, "abhiall.key", d.file("abhiall.key")) },
	}, {
		name: "no bundle", what: "no bundle was given", command: "xmpp certs abhiall.key abhiall.cer <bundle>",
		make:  func(d *deployment) { d.first.mmp("xmpp", "certs", "abhiall.key", "abhiall.cer") },
		words: map[string]string{"<bundle>": "certall.cer"},
	}, {
		name: "a bundle with a stranger in it", what: "'Stranger', is not part of the chain", command: "xmpp certs abhiall.key abhiall.cer chain.cer",
		make: func(d *deployment) { d.chain(d.third, d.stranger(), d.root) },
		hand: func(d *deployment) { d.third.put(d.copyOf(d.root, "chain.cer")) },
	}, {
		name: "a bundle of another authority", what: "chain.cer does not hold the certificate of 'Test CA'", command: "xmpp certs abhiall.key abhiall.cer chain.cer",
		make: func(d *deployment) { d.chain(d.first, d.stranger()) },
		hand: func(d *deployment) { d.first.put(d.copyOf(d.root, "chain.cer")) },
	},
}

// What is done wrong with what nodes trust each other by.
var trustMistakes = []mistake{
	{
		name: "a trust bundle that is lost", what: "there is no file trust.crt", command: "xmpp cluster trust trust.crt",
		make: func(d *deployment) {
			d.trustBy(d.first, d.root)
			d.lose(d.first, "trust.crt")
		},
		hand: func(d *deployment) { d.first.put(d.copyOf(d.root, "trust.crt")) },
	}, {
		name: "a trust bundle that holds none", what: "it holds no certificate", command: "xmpp cluster trust trust.crt",
		make: func(d *deployment) {
			d.trustBy(d.third, d.root)
			d.third.put(d.write("trust.crt", "Dear operator, please find attached"))
		},
		hand: func(d *deployment) { d.third.put(d.copyOf(d.root, "trust.crt")) },
	}, {
		name: "a trust bundle of others", what: "the other nodes could not trust this one by trust.crt", command: "xmpp cluster trust trust.crt",
		make: func(d *deployment) {
			d.trustBy(d.first, d.root)
			d.first.put(d.copyOf(d.stranger(), "trust.crt"))
		},
		hand: func(d *deployment) { d.first.put(d.copyOf(d.root, "trust.crt")) },
	}, {
		name: "a trust bundle with what has expired", what: "in trust.crt expired on", command: "xmpp cluster trust trust.crt",
		make: func(d *deployment) {
			d.trustBy(d.third, d.root)
			concatenate(d.t, d.file("trust.crt"), d.root, d.expired("old.cer", d.third))
			d.third.put(d.file("trust.crt"))
		},
		hand: func(d *deployment) { d.third.put(d.copyOf(d.root, "trust.crt")) },
	},
}

// What is done wrong with the XMPP service.
var serviceMistakes = []mistake{
	{
		name: "XMPP disabled here", what: "it is disabled", command: "xmpp enable",
		make: func(d *deployment) { d.first.mmp("xmpp", "disable") },
	}, {
		name: "XMPP disabled there", what: "it is disabled", command: "xmpp enable",
		make: func(d *deployment) { d.third.mmp("xmpp", "disable") },
	}, {
		name: "two nodes of one name", what: "the same as that of 127.", command: "hostname <name>",
		make:  func(d *deployment) { d.third.mmp("hostname", "cb2") },
		words: map[string]string{"<name>": "cb3"},
	},
}

// What is done wrong with Call Bridges.
var bridgeMistakes = []mistake{
	{
		name: "two secrets alike", what: "cb1 and cb3 have the same secret", command: "xmpp callbridge del cb3",
		make: func(d *deployment) {
			d.first.mmp("xmpp", "callbridge", "del", "cb3")
			d.first.mmpWith(d.secrets["cb1"]+"\n", "xmpp", "callbridge", "add-secret", "cb3")
		},
		after: func(d *deployment) { maps.Copy(d.secrets, d.first.secrets()) },
	}, {
		name: "a Call Bridge of another domain", what: "its domain is other.example", command: "callbridge xmpp domain " + domain,
		make: func(d *deployment) { d.first.mmp("callbridge", "xmpp", "domain", "other.example") },
	}, {
		name: "a Call Bridge to the client port", what: "is the client port", command: "callbridge xmpp server " + hostName(1) + ":5223",
		make: func(d *deployment) { d.first.mmp("callbridge", "xmpp", "server", hostName(1)+":5222") },
	}, {
		name: "a Call Bridge to a server that is none", what: "failed to connect to cb9." + domain, command: "callbridge xmpp server none",
		make: func(d *deployment) { d.third.mmp("callbridge", "xmpp", "server", "cb9."+domain) },
	}, {
		name: "a Call Bridge that is not registered", what: "cb3 is not registered", command: "xmpp callbridge add-secret cb3",
		make: func(d *deployment) { d.first.mmp("xmpp", "callbridge", "del", "cb3") },
	}, {
		name: "the secret of another", what: "cb1 was given the secret of cb3", command: "xmpp callbridge list",
		make: func(d *deployment) { d.first.mmpWith(d.secrets["cb3"]+"\n", "callbridge", "xmpp", "secret") },
	}, {
		name: "a secret mistyped", what: "the secret of cb3 is not the one", command: "xmpp callbridge list",
		make: func(d *deployment) { d.third.mmpWith("kvgP1SRzWVabhiPVAb1\n", "callbridge", "xmpp", "secret") },
	}, {
		name: "two Call Bridges of one name", what: "the same as that of 127.", command: "callbridge xmpp name <name>",
		make: func(d *deployment) {
			d.third.mmp("callbridge", "xmpp", "name", "cb2")
			d.third.mmpWith(d.secrets["cb2"]+"\n", "callbridge", "xmpp", "secret")
		},
		words: map[string]string{"<name>": "cb3"},
	}, {
		name: "a Call Bridge that was given another's name", what: "rightly is, and has the secret of cb1", command: "callbridge xmpp name cb1",
		make: func(d *deployment) { d.first.mmp("callbridge", "xmpp", "name", "cb2") },
	}, {
		name: "a Call Bridge that trusts no server", what: "certificate failure", command: "callbridge trust",
		make:  func(d *deployment) { d.third.mmp("callbridge", "trust", "none") },
		words: map[string]string{"<bundle>": "certall.cer"},
	}, {
		name: "a Call Bridge that is disabled", what: "Call Bridge cb2: registered and not connected", command: "callbridge enable",
		make: func(d *deployment) { d.second.mmp("callbridge", "disable") },
	},
}

// What is done wrong with members.
var memberMistakes = []mistake{
	{
		name: "a member that is stopped", what: "where it is gone for good", command: "xmpp cluster remove 127.",
		make: func(d *deployment) { d.third.kill() },
		hand: func(d *deployment) { d.third.start() },
	}, {
		name: "the majority stopped", what: "voting nodes would be needed and fewer can be reached", command: "xmpp cluster status",
		make: func(d *deployment) {
			d.second.kill()
			d.third.kill()
		},
		hand: func(d *deployment) {
			d.second.start()
			d.third.start()
		},
	}, {
		name: "a node that has left", what: "this node is no member of a cluster", command: "xmpp cluster join <first node>",
		make: func(d *deployment) { d.third.mmpWith("Y\n", "xmpp", "cluster", "remove") },
		from: func(d *deployment) *program { return d.third },
	}, {
		name: "a cluster of two", what: "three nodes stand the failure of one", command: "xmpp cluster join 127.",
		make:  func(d *deployment) { d.third.mmpWith("Y\n", "xmpp", "cluster", "remove") },
		spare: func(d *deployment) *program { return d.third },
	}, {
		name: "a member that is gone for good", what: "where it is gone for good", command: "xmpp cluster remove 127.",
		make: func(d *deployment) { d.third.kill() },
		spare: func(d *deployment) *program {
			if d.third.cmd == nil {
				d.third.start()
				await(d.t, "it knows that it was removed", func(ctx context.Context) error {
					cl, err := d.third.api().Cluster(ctx)
					if err == nil && cl.Member {
						err = errors.New(d.third.status())
					}
					return err
				})
			}
			return d.third
		},
	},
}
