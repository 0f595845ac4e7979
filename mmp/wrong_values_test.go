package mmp

import (
	"strings"
	"testing"
)

// wrongValues has, for every command, what may be typed in error; what stands
// after a | is typed at prompts. TestWrongValues wants for each exactly one
// FAILURE line that names a fix, and nothing changed.
var wrongValues = map[string][]string{
	"help [<command>...]":   {"help quark", "help xmpp quark", "help xmp"},
	"exit":                  {"exit now"},
	"logout":                {"logout now"},
	"version":               {"version 2"},
	"uptime":                {"uptime x"},
	"date":                  {"date set 2026-01-01"},
	"reboot":                {"reboot now", "reboot", "reboot|y", "reboot|yes", "reboot|Yes", "reboot| Y"},
	"shutdown":              {"shutdown -h", "shutdown", "shutdown|y", "shutdown|N"},
	"ls":                    {"ls -l"},
	"rm <file>":             {"rm", "rm none.txt", "rm ../live.json", "rm /etc/passwd", "rm .live.lock", `rm ""`, "rm a b", "rm abhiall.key", "rm abhiall.cer", "rm certall.cer"},
	"hostname":              {"hostname a b"},
	"hostname <name>":       {"hostname -x", "hostname a_b", "hostname a..b", `hostname ""`, "hostname " + strings.Repeat("a", 65), "hostname cb1."},
	"ipv4":                  {"ipv 4"},
	"ipv4 <interface>":      {"ipv4 e", "ipv4 c", "ipv4 A", "ipv4 aa", "ipv4 a quark"},
	"ipv4 <interface> del":  {"ipv4 e del", "ipv4 c del", "ipv4 a del all", "ipv4 b del"},
	"ipv4 <interface> dhcp": {"ipv4 e dhcp", "ipv4 c dhcp", "ipv4 a dhcp on"},
	"ipv4 <interface> add <address/prefix> <gateway>": {
		"ipv4 a add", "ipv4 a add 10.0.0.5/24", "ipv4 a add 10.0.0.5 10.0.0.1", "ipv4 a add 10.0.0.5/33 10.0.0.1", "ipv4 a add 10.0.0/24 10.0.0.1",
		"ipv4 a add 10.0.0.256/24 10.0.0.1", "ipv4 a add fe80::1/64 fe80::2", "ipv4 a add 10.0.0.5/24 10.0.1.1", "ipv4 a add 10.0.0.5/24 10.0.0.5",
		"ipv4 a add 10.0.0.0/24 10.0.0.1", "ipv4 a add 10.0.0.255/24 10.0.0.1", "ipv4 a add 127.0.0.1/8 127.0.0.2", "ipv4 a add 224.0.0.1/24 224.0.0.2",
		"ipv4 a add 10.0.0.5/24 gateway", "ipv4 c add 10.0.0.5/24 10.0.0.1", "ipv4 x add 10.0.0.5/24 10.0.0.1", "ipv4 a add 10.0.0.5/24 10.0.0.1 10.0.0.2",
	},
	"ipv4 <interface> enable":       {"ipv4 e enable", "ipv4 c enable", "ipv4 b enable", "ipv4 a enable now"},
	"ipv4 <interface> disable":      {"ipv4 e disable", "ipv4 c disable", "ipv4 a disable x"},
	"ipv4 <interface> default":      {"ipv4 e default", "ipv4 d default", "ipv4 a default x"},
	"iface":                         {"ifaces x"},
	"iface <interface>":             {"iface e", "iface d", "iface a speed"},
	"iface <interface> mtu <bytes>": {"iface a mtu", "iface a mtu 0", "iface a mtu 575", "iface a mtu 9217", "iface a mtu 1500.5", "iface a mtu x", "iface d mtu 1500", "iface e mtu 1500", "iface a mtu 99999999999999999999"},
	"ping <host> [<count>]":         {"ping", "ping nowhere.example", "ping 10.106.81.31 0", "ping 10.106.81.31 -1", "ping 10.106.81.31 x", "ping a b c"},
	"dns":                           {"dns quark"},
	"dns add forwardzone <domain> <server>": {"dns add forwardzone", "dns add forwardzone a..b 10.0.0.1", "dns add forwardzone . server", "dns add forwardzone . 0.0.0.0",
		"dns add forwardzone . 10.0.0.1:99999", "dns add forwardzone . 224.0.0.1", "dns add forwardzone . 10.0.0.53"},
	"dns del forwardzone <domain> <server>": {"dns del forwardzone .", "dns del forwardzone . 10.9.9.9", "dns del forwardzone other.example 10.0.0.53", "dns del forwardzone . x"},
	"dns add rr <record>...": {"dns add rr", "dns add rr x", "dns add rr cb1.example. IN A", "dns add rr cb1.example. IN A 10.0.0.999", "dns add rr cb1.example. IN MX 1 x.", "dns add rr cb1.example. CH A 10.0.0.1",
		`dns add rr "$INCLUDE /etc/passwd"`, "dns add rr cb1.tptac9.com. 3600 IN A 10.106.81.30", "dns add rr cb1.tptac9.com. IN CNAME x.tptac9.com.", "dns add rr a.x. IN CNAME a.x."},
	"dns del rr <owner> <type>":            {"dns del rr", "dns del rr cb1.tptac9.com", "dns del rr cb1.tptac9.com MX", "dns del rr cb9.tptac9.com A", "dns del rr a..b A"},
	"dns lookup <type> <name>":             {"dns lookup", "dns lookup a", "dns lookup mx tptac9.com", "dns lookup a a..b", `dns lookup a "a b"`, "dns lookup a x y"},
	"dns flush":                            {"dns flush cache"},
	"dns listen <interface>...":            {"dns listen", "dns listen x", "dns listen c", "dns listen a a", "dns listen a none", "dns listen a:53", "dns listen 10.0.0.5"},
	"dns listen none":                      {"dns listen none none", "dns listen NONE"},
	"syslog tail [<lines>]":                {"syslog tail 0", "syslog tail x", "syslog tail 10001", "syslog tail -5"},
	"syslog follow":                        {"syslog follow 5"},
	"syslog audit [<lines>]":               {"syslog audit 0", "syslog audit all"},
	"alarms":                               {"alarms all"},
	"eventlog [<lines>]":                   {"eventlog 0", "eventlog 1001", "eventlog all", "eventlog 5 6", "eventlog -1"},
	"eventlog follow":                      {"eventlog follow 5", "eventlog folow"},
	"eventlog clear":                       {"eventlog clear all", "eventlog clean"},
	"eventlog trace":                       {"eventlog trace all", "eventlog trac"},
	"eventlog trace <subsystem> <minutes>": {"eventlog trace xmpp", "eventlog trace xmpp 0", "eventlog trace xmpp 1441", "eventlog trace xmpp x", "eventlog trace sip 10", `eventlog trace "Call Bridge" 10`, "eventlog trace xmpp 10 20"},
	"eventlog trace <subsystem> off":       {"eventlog trace sip off", "eventlog trace xmpp off off", "eventlog trace xmpp none"},
	"user add <name> <role>": {"user add", "user add eve", "user add eve root", "user add 9x admin", "user add a:b admin", "user add ben audit", `user add "" audit`,
		"user add eve audit", "user add eve audit|short|short", "user add eve audit|Sommer2026!|Winter2026!", "user add eve audit|Sommer2026!", "user add eve audit||", "user add longer.name audit|longer.name|longer.name"},
	"user del <name>":            {"user del", "user del nobody", "user del admin"},
	"user list":                  {"user list all"},
	"user info <name>":           {"user info", "user info nobody"},
	"user unlock <name>":         {"user unlock", "user unlock nobody"},
	"user key add <name> <file>": {"user key add", "user key add ben", "user key add nobody ben.pub", "user key add ben none.pub", "user key add ben abhiall.key", "user key add ben abhiall.cer", "user key add ben ../x"},
	"user key list <name>":       {"user key list", "user key list nobody"},
	"user key del <name> <key>":  {"user key del ben", "user key del ben nothing", "user key del nobody x"},
	"passwd":                     {"passwd", "passwd|Sommer2026!", "passwd|short|short", "passwd|Sommer2026!|Winter2026!", "passwd|admin|admin"},
	"passwd <name>":              {"passwd nobody", "passwd a b", "passwd ben", "passwd ben|short|short", "passwd ben|Sommer2026!|Winter2026!"},
	"pki":                        {"pki quark"},
	"pki list":                   {"pki list all"},
	"pki csr <basename> <attribute>...": {"pki csr", "pki csr x", "pki csr x O:nobody", "pki csr x CN:", "pki csr x CN", "pki csr x CN:a C:Germany", "pki csr x CN:a CN:b", "pki csr x CN:a colour:red",
		"pki csr x CN:a subjectAltName:", "pki csr x CN:a subjectAltName:a,,b", "pki csr x CN:a subjectAltName:-a", "pki csr x CN:a keyType:rsa-512", "pki csr abhiall CN:a", "pki csr ../x CN:a", "pki csr x.key CN:a", `pki csr "" CN:a`, "pki csr x CN:a stray"},
	"pki selfsigned <basename> [<attribute>...]": {"pki selfsigned", "pki selfsigned abhiall", "pki selfsigned a/b", "pki selfsigned x quark"},
	"pki sign <csr> <ca-key> <ca-certificate> [<days>]": {"pki sign x.csr root.key", "pki sign none.csr root.key root.cer", "pki sign abhiall.cer root.key root.cer", "pki sign req.csr abhiall.key root.cer",
		"pki sign req.csr abhiall.key abhiall.cer", "pki sign req.csr root.key root.cer 0", "pki sign req.csr root.key root.cer 7301", "pki sign req.csr root.key root.cer x"},
	"pki inspect <file>":                       {"pki inspect", "pki inspect none.crt", "pki inspect notes.txt", "pki inspect ../x"},
	"pki match <key> <certificate>":            {"pki match abhiall.key", "pki match other.key abhiall.cer", "pki match abhiall.cer abhiall.key", "pki match none.key abhiall.cer", "pki match abhiall.key notes.txt"},
	"pki verify <certificate> <bundle> [<ca>]": {"pki verify abhiall.cer", "pki verify abhiall.cer root.cer", "pki verify expired.cer certall.cer", "pki verify none.cer certall.cer", "pki verify abhiall.key certall.cer"},
	"pki lock <key>":                           {"pki lock", "pki lock none.key", "pki lock abhiall.cer", "pki lock a/b"},
	"xmpp":                                     {"xmpp quark", "xmpp cluster"},
	"xmpp status":                              {"xmpp status now"},
	"xmpp domain <name>":                       {"xmpp domain", "xmpp domain localhost", "xmpp domain 10.1.2.3", "xmpp domain a@b.com", "xmpp domain a..com", "xmpp domain -a.com", "xmpp domain a_b.com", `xmpp domain ""`, `xmpp domain "a b.com"`, "xmpp domain [fe80::1]", "xmpp domain a.com b.com", "xmpp domain " + strings.Repeat("a", 64) + ".com"},
	"xmpp listen <interface>...":               {"xmpp listen", "xmpp listen x", "xmpp listen c", "xmpp listen a a", "xmpp listen a none", "xmpp listen a,b", "xmpp listen a:5222"},
	"xmpp listen none":                         {"xmpp listen none", "xmpp listen none a"},
	"xmpp certs <key> <certificate> [<bundle>]": {"xmpp certs", "xmpp certs abhiall.key", "xmpp certs other.key abhiall.cer certall.cer", "xmpp certs abhiall.key expired.cer certall.cer",
		"xmpp certs abhiall.key abhiall.cer disorder.cer", "xmpp certs none.key abhiall.cer", "xmpp certs abhiall.key none.cer", "xmpp certs abhiall.key abhiall.cer none.cer",
		"xmpp certs abhiall.cer abhiall.key", "xmpp certs notes.txt abhiall.cer", "xmpp certs abhiall.key notes.txt", "xmpp certs ../x abhiall.cer", "xmpp certs abhiall.key abhiall.cer root.cer", "xmpp certs abhiall.key req.csr", "xmpp certs abhiall.key abhiall.cer certall.cer more"},
	"xmpp certs none": {"xmpp certs none", "xmpp certs none none none none"},
	"xmpp enable":     {"xmpp enable now"},
	"xmpp disable":    {"xmpp disable now"},
	"xmpp restart":    {"xmpp restart now"},
	"xmpp reset":      {"xmpp reset all", "xmpp reset", "xmpp reset|y", "xmpp reset|n"},
	"xmpp cluster trust <bundle>": {"xmpp cluster trust", "xmpp cluster trust gone.crt", "xmpp cluster trust notes.txt", "xmpp cluster trust abhiall.key", "xmpp cluster trust expired-bundle.crt",
		"xmpp cluster trust two.crt", "xmpp cluster trust foreign.cer", "xmpp cluster trust ../x", "xmpp cluster trust abhiall.cer root.cer", "xmpp cluster trust NONE", "xmpp cluster trust damaged.crt"},
	"xmpp cluster trust none": {"xmpp cluster trust none none"},
	"xmpp cluster enable":     {"xmpp cluster enable", "xmpp cluster enable now"},
	"xmpp cluster disable":    {"xmpp cluster disable now"},
	"xmpp cluster initialize": {"xmpp cluster initialize", "xmpp cluster initialize again"},
	"xmpp cluster join <node>": {"xmpp cluster join", "xmpp cluster join 10.106.81.31", "xmpp cluster join 10.106.81.31:5223", "xmpp cluster join 10.106.81.31:", "xmpp cluster join 10.106.81", "xmpp cluster join 10.106.81.999",
		"xmpp cluster join 0.0.0.0", "xmpp cluster join fe80::1", "xmpp cluster join -x", "xmpp cluster join a..b", "xmpp cluster join https://cb2", `xmpp cluster join ""`, `xmpp cluster join "c b"`, "xmpp cluster join cb2 cb3", "xmpp cluster join " + strings.Repeat("a", 64)},
	"xmpp cluster remove [<node>]":      {"xmpp cluster remove", "xmpp cluster remove 10.106.81.31", "xmpp cluster remove cb2:1", "xmpp cluster remove 10.106.81", "xmpp cluster remove cb2 cb3"},
	"xmpp cluster status":               {"xmpp cluster status all"},
	"xmpp callbridge add <name>":        {"xmpp callbridge add", "xmpp callbridge add cb1", "xmpp callbridge add cb9.tptac9.com", `xmpp callbridge add ""`, `xmpp callbridge add "c b"`, "xmpp callbridge add a b"},
	"xmpp callbridge add-secret <name>": {"xmpp callbridge add-secret", "xmpp callbridge add-secret cb9", "xmpp callbridge add-secret cb9|", "xmpp callbridge add-secret cb9|x", "xmpp callbridge add-secret cb1|kvgP1SRzWVabhiPVAb1", "xmpp callbridge add-secret cb9 kvgP1SRzWVabhiPVAb1"},
	"xmpp callbridge del <name>":        {"xmpp callbridge del", "xmpp callbridge del cb9"},
	"xmpp callbridge list":              {"xmpp callbridge list all"},
	"xmpp diagnose":                     {"xmpp diagnose cb2", "xmpp diagnose all"},
	"xmpp user add <name>":              {"xmpp user add", "xmpp user add a@b", `xmpp user add "a b"`, "xmpp user add ann", "xmpp user add ANN", "xmpp user add eve", "xmpp user add eve|a|b", "xmpp user add eve||", "xmpp user add a/b"},
	"xmpp user del <name>":              {"xmpp user del", "xmpp user del nobody", "xmpp user del a@b"},
	"xmpp user list":                    {"xmpp user list all"},
	"xmpp user passwd <name>":           {"xmpp user passwd", "xmpp user passwd nobody", "xmpp user passwd ann", "xmpp user passwd ann|a|b", "xmpp user passwd ann||"},
	"callbridge":                        {"callbridge quark", "callbridge xmpp"},
	"callbridge listen <interface>...":  {"callbridge listen", "callbridge listen x", "callbridge listen c", "callbridge listen a a", "callbridge listen a none"},
	"callbridge listen none":            {"callbridge listen none", "callbridge listen none a"},
	"callbridge certs <key> <certificate> [<bundle>]": {"callbridge certs", "callbridge certs abhiall.key", "callbridge certs other.key abhiall.cer", "callbridge certs abhiall.key expired.cer", "callbridge certs abhiall.key abhiall.cer disorder.cer",
		"callbridge certs none.key abhiall.cer", "callbridge certs abhiall.key abhiall.cer none.cer", "callbridge certs abhiall.key notes.txt"},
	"callbridge certs none": {"callbridge certs none", "callbridge certs none none none none"},
	"callbridge trust <bundle>": {"callbridge trust", "callbridge trust gone.crt", "callbridge trust notes.txt", "callbridge trust abhiall.key", "callbridge trust expired-bundle.crt", "callbridge trust ../x",
		"callbridge trust abhiall.cer root.cer", "callbridge trust NONE", "callbridge trust damaged.crt"},
	"callbridge trust none":         {"callbridge trust none none"},
	"callbridge enable":             {"callbridge enable now"},
	"callbridge disable":            {"callbridge disable now"},
	"callbridge restart":            {"callbridge restart now"},
	"callbridge test":               {"callbridge test cb1"},
	"callbridge xmpp name <name>":   {"callbridge xmpp name", "callbridge xmpp name cb1.tptac9.com", `callbridge xmpp name ""`, `callbridge xmpp name "c b"`, "callbridge xmpp name -cb1", "callbridge xmpp name cb1 cb2", "callbridge xmpp name " + strings.Repeat("a", 64)},
	"callbridge xmpp domain <name>": {"callbridge xmpp domain", "callbridge xmpp domain localhost", "callbridge xmpp domain 10.1.2.3", "callbridge xmpp domain a@b.com", "callbridge xmpp domain none", `callbridge xmpp domain ""`},
	"callbridge xmpp server <address>": {"callbridge xmpp server", "callbridge xmpp server https://cb1", "callbridge xmpp server cb1:0", "callbridge xmpp server cb1:65536", "callbridge xmpp server cb1:", "callbridge xmpp server 10.106.81", "callbridge xmpp server 10.106.81.999",
		"callbridge xmpp server 0.0.0.0", "callbridge xmpp server ::", "callbridge xmpp server 224.0.0.1", `callbridge xmpp server ""`, `callbridge xmpp server "c b"`, "callbridge xmpp server a..b", "callbridge xmpp server [cb1]", "callbridge xmpp server cb1 cb2"},
	"callbridge xmpp server none":                {"callbridge xmpp server none none"},
	"callbridge xmpp secret":                     {"callbridge xmpp secret", "callbridge xmpp secret|", "callbridge xmpp secret|x", "callbridge xmpp secret|two words here", "callbridge xmpp secret kvgP1SRzWVabhiPVAb1"},
	"callbridge directory":                       {"callbridge directory quark x"},
	"callbridge directory address <address>":     {"callbridge directory address", "callbridge directory address ldap://ldap.example.com", "callbridge directory address ldap.example.com:389", "callbridge directory address a@b", `callbridge directory address ""`, "callbridge directory address a b"},
	"callbridge directory address none":          {"callbridge directory address none none"},
	"callbridge directory port <port>":           {"callbridge directory port", "callbridge directory port 0", "callbridge directory port 65536", "callbridge directory port ldaps", "callbridge directory port 389 636"},
	"callbridge directory port none":             {"callbridge directory port none none"},
	"callbridge directory tls <mode>":            {"callbridge directory tls", "callbridge directory tls ssl", "callbridge directory tls on", "callbridge directory tls ldaps starttls"},
	"callbridge directory trust <bundle>":        {"callbridge directory trust", "callbridge directory trust gone.crt", "callbridge directory trust notes.txt", "callbridge directory trust abhiall.key", "callbridge directory trust damaged.crt", "callbridge directory trust ../x", "callbridge directory trust root.cer certall.cer"},
	"callbridge directory trust none":            {"callbridge directory trust none none"},
	"callbridge directory username <name>":       {"callbridge directory username", `callbridge directory username ""`, "callbridge directory username a b"},
	"callbridge directory username none":         {"callbridge directory username none none"},
	"callbridge directory password":              {"callbridge directory password", "callbridge directory password|", "callbridge directory password x"},
	"callbridge directory basedn <dn>":           {"callbridge directory basedn", "callbridge directory basedn example.com", `callbridge directory basedn ""`, "callbridge directory basedn dc=example dc=com"},
	"callbridge directory filter <filter>":       {"callbridge directory filter", "callbridge directory filter uid=*", "callbridge directory filter (uid=*", "callbridge directory filter (uid=*)(cn=*)", `callbridge directory filter ""`},
	"callbridge directory filter none":           {"callbridge directory filter none none"},
	"callbridge directory user <mapping>":        {"callbridge directory user", "callbridge directory user uid", "callbridge directory user $uid", "callbridge directory user $a$$b$", "callbridge directory user x@$uid$", `callbridge directory user ""`},
	"callbridge directory displayname <mapping>": {"callbridge directory displayname", "callbridge directory displayname $cn", "callbridge directory displayname $c)n$", "callbridge directory displayname $givenName$ $sn$", `callbridge directory displayname ""`},
	"callbridge directory displayname none":      {"callbridge directory displayname none none"},
	"callbridge directory test":                  {"callbridge directory test", "callbridge directory test now"},
	"callbridge directory sync":                  {"callbridge directory sync", "callbridge directory sync now"},
	"xmpp user import <file>":                    {"xmpp user import", "xmpp user import none.csv", "xmpp user import bad.csv", "xmpp user import taken.csv", "xmpp user import abhiall.key", "xmpp user import notes.txt", "xmpp user import big.csv"},
	"webadmin":                                   {"webadmin quark"},
	"webadmin status":                            {"webadmin status now"},
	"webadmin listen <interface> [<port>]":       {"webadmin listen", "webadmin listen e", "webadmin listen c", "webadmin listen a 0", "webadmin listen a 65536", "webadmin listen a x", "webadmin listen a 5222", "webadmin listen a 22", "webadmin listen a b", "webadmin listen a 445 446"},
	"webadmin listen none":                       {"webadmin listen none", "webadmin listen none 445"},
	"database cluster status":                    {"database cluster status now", "database", "database cluster", "database status"},
	"database cluster localnode <interface>":     {"database cluster localnode", "database cluster localnode e", "database cluster localnode c", "database cluster localnode none", "database cluster localnode a b"},
	"database cluster certs <client_key> <client_crt> <ca>": {"database cluster certs", "database cluster certs abhiall.key", "database cluster certs abhiall.key abhiall.cer certall.cer", "database cluster certs other.key abhiall.cer certall.cer",
		"database cluster certs none.key abhiall.cer certall.cer", "database cluster certs ../x abhiall.cer certall.cer", "database cluster certs dbc.key dbc.crt certall.cer", "database cluster certs dbc.key dbc.crt notes.txt", "database cluster certs dbc.key dbc.crt none.cer"},
	"database cluster certs <server_key> <server_crt> <client_key> <client_crt> <ca>": {"database cluster certs a b c d", "database cluster certs abhiall.key expired.cer dbc.key dbc.crt dbca.crt",
		"database cluster certs abhiall.key abhiall.cer dbc.key dbc.crt dbca.crt", "database cluster certs dbc.key dbc.crt abhiall.key abhiall.cer dbca.crt", "database cluster certs dbc.key dbc.crt dbc.key dbc.crt dbca.crt more"},
	"database cluster certs none":      {"database cluster certs none none", "database cluster certs none none none none none none"},
	"database cluster initialize":      {"database cluster initialize now", "database cluster initialize"},
	"database cluster join <primary>":  {"database cluster join", "database cluster join 10.106.81.31", "database cluster join 10.106.81.31|y", "database cluster join 10.106.81.31:5222", "database cluster join 10.106.81", "database cluster join 0.0.0.0", "database cluster join a..b", "database cluster join a b"},
	"database cluster connect <node>":  {"database cluster connect", "database cluster connect 10.106.81.31", "database cluster connect cb1:1", "database cluster connect fe80::1", `database cluster connect ""`},
	"database cluster remove [<node>]": {"database cluster remove", "database cluster remove 10.106.81.31", "database cluster remove cb2 cb3", "database cluster remove 10.106.81"},
	"webadmin certs <key> <certificate> [<bundle>]": {"webadmin certs", "webadmin certs abhiall.key", "webadmin certs other.key abhiall.cer", "webadmin certs abhiall.key expired.cer", "webadmin certs abhiall.key abhiall.cer disorder.cer",
		"webadmin certs none.key abhiall.cer", "webadmin certs abhiall.cer abhiall.key", "webadmin certs notes.txt abhiall.cer", "webadmin certs ../x abhiall.cer", "webadmin certs abhiall.key abhiall.cer certall.cer more"},
	"webadmin certs none":             {"webadmin certs none", "webadmin certs none none none none"},
	"webadmin enable":                 {"webadmin enable now"},
	"webadmin disable":                {"webadmin disable now"},
	"webadmin restart":                {"webadmin restart now"},
	"webadmin http-redirect enable":   {"webadmin http-redirect", "webadmin http-redirect on", "webadmin http-redirect enable 8080"},
	"webadmin http-redirect disable":  {"webadmin http-redirect disable now"},
	"callbridge status":               {"callbridge status now"},
	"database cluster clear_error":    {"database cluster clear_error now", "database cluster clear", "database cluster clear error"},
	"database cluster upgrade_schema": {"database cluster upgrade_schema now", "database cluster upgrade"},
}

func TestWrongValues(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.certs()
	n.put("notes.txt", "no certificate\n")
	n.put("damaged.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	n.put("ben.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFG5k1sJ5dV8d4cZ5mRrJ5s7bOq1m5x2o2Q0r9pQ3JqL ben@laptop\n")
	n.put("bad.csv", "finn,Sommer2026!\ngreta\n")
	n.put("taken.csv", "finn,Sommer2026!\nann,Sommer2026!\n")
	n.put("big.csv", strings.Repeat("x", 1<<20+1))
	for _, line := range []string{
		"user add ben crypto|Sommer2026!|Sommer2026!", "hostname cb1", "dns add forwardzone . 10.0.0.53", "dns add rr cb1.tptac9.com. 3600 IN A 10.106.81.30",
		"xmpp domain tptac9.com", "xmpp listen a", "xmpp certs abhiall.key abhiall.cer certall.cer", "xmpp enable", "xmpp callbridge add cb1", "callbridge listen a", "callbridge certs abhiall.key abhiall.cer certall.cer", "callbridge xmpp name cb1", "callbridge xmpp domain tptac9.com", "callbridge xmpp secret|kvgP1SRzWVabhi01Ab1", "callbridge enable",
		"xmpp user add ann|Sommer2026!|Sommer2026!", "pki csr req CN:tptac9.com keyType:ecdsa-p256",
		"pki selfsigned dbca CN:database keyType:ecdsa-p256", "pki csr dbc CN:postgres keyType:ecdsa-p256", "pki sign dbc.csr dbca.key dbca.crt",
		"webadmin listen a 445", "webadmin certs abhiall.key abhiall.cer certall.cer", "webadmin enable",
	} {
		l, typed, _ := strings.Cut(line, "|")
		n.must(t, l, typedLines(typed, typed != "")...)
	}
	for _, f := range n.grammar.families {
		for _, c := range f.commands {
			if len(wrongValues[c.usage]) == 0 {
				t.Errorf("no wrong values for %q", c.usage)
			}
			for _, wrong := range wrongValues[c.usage] {
				t.Run(wrong, func(t *testing.T) {
					before := n.fingerprint(t)
					line, typed, some := strings.Cut(wrong, "|")
					status, out := n.exec(line, typedLines(typed, some)...)
					if status != 1 || !strings.HasPrefix(out, "FAILURE: ") || strings.Count(out, "\n") != 1 || !strings.Contains(out, "; ") {
						t.Errorf("%q = %d\n%swant status 1 and one FAILURE line with a fix", wrong, status, out)
					}
					if strings.Contains(out, "internal") || strings.Contains(out, "{") || strings.Contains(out, "syslog tail") {
						t.Errorf("%q: %swant what a person can mend", wrong, out)
					}
					if n.fingerprint(t) != before {
						t.Errorf("%q changed something", wrong)
					}
				})
			}
		}
	}
	for usage := range wrongValues {
		found := false
		for _, f := range n.grammar.families {
			for _, c := range f.commands {
				found = found || c.usage == usage
			}
		}
		if !found {
			t.Errorf("wrong values for %q, which is no command", usage)
		}
	}
}

func typedLines(typed string, some bool) []string {
	if !some {
		return nil
	}
	return strings.Split(typed, "|")
}
