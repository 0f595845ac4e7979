package directory

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"parley/services/callbridge/directory/openldap"
	"parley/services/config"
	"parley/services/pki/opensslca"
	"parley/services/problem"
)

// TestMistakes has what can be set wrongly, here or on the server, and what the
// operator reads of it.
func TestMistakes(t *testing.T) {
	good := openldap.Start(t, openldap.Config{LDIF: people})
	noTLS := openldap.Start(t, openldap.Config{LDIF: people, NoTLS: true})
	strict := openldap.Start(t, openldap.Config{LDIF: people, CA: good.CA, Lines: "security simple_bind=128"})
	misnamed := openldap.Start(t, openldap.Config{LDIF: people, CA: good.CA, Names: "DNS:dc1.corp.example,IP:10.0.0.9"})
	limited := openldap.Start(t, openldap.Config{LDIF: people, CA: good.CA, Lines: "sizelimit 2"})
	other := opensslca.New(t)

	for _, tt := range []struct {
		name   string
		server *openldap.Server
		change func(*Config, *Deps, *dnsServer)
		// want is the text, with ADDRESS for host and port; "" is none.
		want string
	}{
		{"none", good, func(*Config, *Deps, *dnsServer) {}, ""},
		{"the server's own certificate as trust", misnamed, func(c *Config, d *Deps, _ *dnsServer) { c.Settings.Trust = "server.crt" }, ""},
		{"name unknown", good, func(_ *Config, _ *Deps, n *dnsServer) { n.hosts = nil },
			"the LDAP server ldap.example.com has no address (A: NXDOMAIN from 10.0.0.53, AAAA: NXDOMAIN from 10.0.0.53); see 'dns lookup a ldap.example.com', or correct 'callbridge directory address'"},
		{"name without addresses", good, func(_ *Config, _ *Deps, n *dnsServer) { n.hosts["ldap.example.com"] = nil },
			"the LDAP server ldap.example.com has no address (A: NOERROR from 10.0.0.53, AAAA: NOERROR from 10.0.0.53); see 'dns lookup a ldap.example.com', or correct 'callbridge directory address'"},
		{"nothing listens", good, func(_ *Config, _ *Deps, n *dnsServer) { n.hosts["ldap.example.com"] = []string{"127.0.0.2"} },
			"no connection to the LDAP server ADDRESS (127.0.0.2): connection refused; check 'callbridge directory address' and 'port', that the server runs, and 'ping ldap.example.com'"},
		{"trust file not there", good, func(c *Config, _ *Deps, _ *dnsServer) { c.Settings.Trust = "gone.crt" },
			"there is no file gone.crt; 'ls' shows all, and SFTP puts it there"},
		{"trust file of another kind", good, func(c *Config, d *Deps, _ *dnsServer) {
			c.Settings.Trust = "a.ldif"
			d.Files.(folder)["a.ldif"] = "/etc/ldap/schema/core.ldif"
		}, "a.ldif holds no certificate that can be read; put the authority's certificate, in PEM or DER form, and see 'pki inspect a.ldif'"},
		{"trust in another authority", good, func(_ *Config, d *Deps, _ *dnsServer) { d.Files.(folder)["ca.crt"] = misnamed.Certificate() },
			"the certificate CN=Test Directory (SHA-256 …) of the LDAP server ADDRESS is not in ca.crt and is of CN=Test CA, which is not in it either; add the authority's certificate to ca.crt"},
		{"trust in an authority of the same name", good, func(_ *Config, d *Deps, _ *dnsServer) { d.Files.(folder)["ca.crt"] = other.Certificate() },
			"the certificate CN=Test Directory (SHA-256 …) of the LDAP server ADDRESS is not in ca.crt and is of CN=Test CA, which is not in it either; add the authority's certificate to ca.crt"},
		{"no trust file", good, func(c *Config, _ *Deps, _ *dnsServer) { c.Settings.Trust = "" },
			"the certificate CN=Test Directory (SHA-256 …) of the LDAP server ADDRESS is of CN=Test CA, which the system does not know; put the authority's certificate by SFTP, and run 'callbridge directory trust <bundle>'"},
		{"certificate of another host", misnamed, func(*Config, *Deps, *dnsServer) {},
			"the certificate CN=Test Directory (SHA-256 …) of the LDAP server ADDRESS names dc1.corp.example, 10.0.0.9 and not ldap.example.com; give 'callbridge directory address' a name in it, or have it made anew with ldap.example.com among its names"},
		{"certificate of another host, LDAPS", misnamed, func(c *Config, _ *Deps, _ *dnsServer) { c.Settings.TLS, c.Settings.Port = "ldaps", misnamed.Secure },
			"the certificate CN=Test Directory (SHA-256 …) of the LDAP server ADDRESS names dc1.corp.example, 10.0.0.9 and not ldap.example.com; give 'callbridge directory address' a name in it, or have it made anew with ldap.example.com among its names"},
		{"server without StartTLS", noTLS, func(c *Config, _ *Deps, _ *dnsServer) { c.Settings.Trust = "" },
			"the LDAP server ADDRESS does not do StartTLS (protocol error: unsupported extended operation); 'callbridge directory port 636' with 'tls ldaps' may do, or switch StartTLS on there"},
		{"LDAPS on the port of StartTLS", good, func(c *Config, _ *Deps, _ *dnsServer) { c.Settings.TLS = "ldaps" },
			"no TLS with the LDAP server ADDRESS: …; use 'callbridge directory tls starttls' if the port is 389, or check the server's certificate"},
		{"StartTLS on the port of LDAPS", good, func(c *Config, _ *Deps, _ *dnsServer) { c.Settings.Port = good.Secure },
			"no TLS with the LDAP server ADDRESS: …; use 'callbridge directory tls ldaps' if the port is 636, or check the server's certificate"},
		{"server wants TLS", strict, func(c *Config, _ *Deps, _ *dnsServer) { c.Settings.TLS = "none" },
			"the LDAP server ADDRESS wants TLS (confidentiality required: confidentiality required); use 'callbridge directory tls starttls' or 'tls ldaps'"},
		{"wrong password", good, func(c *Config, _ *Deps, _ *dnsServer) { c.Settings.Password = "x" },
			"the LDAP server ADDRESS refused the log-in of cn=reader,dc=example,dc=com: user name or password is wrong; correct 'callbridge directory username' and 'callbridge directory password'"},
		{"user name that is none", good, func(c *Config, _ *Deps, _ *dnsServer) { c.Settings.Username = "reader" },
			"the LDAP server ADDRESS refused the log-in of reader: the user name is not written as this server wants it, like cn=reader,dc=example,dc=com; correct 'callbridge directory username' and 'callbridge directory password'"},
		{"no service account", good, func(c *Config, _ *Deps, _ *dnsServer) { c.Settings.Username, c.Settings.Password = "", "" },
			"'dc=example,dc=com' is not on the LDAP server ADDRESS: nothing of it is there, or the service account may not see it; correct 'callbridge directory basedn'"},
		{"base below what is there", good, func(c *Config, _ *Deps, _ *dnsServer) { c.Settings.BaseDN = "ou=peeple,dc=example,dc=com" },
			"'ou=peeple,dc=example,dc=com' is not on the LDAP server ADDRESS: only dc=example,dc=com is there; correct 'callbridge directory basedn'"},
		{"base of another domain", good, func(c *Config, _ *Deps, _ *dnsServer) { c.Settings.BaseDN = "dc=tptac9,dc=com" },
			"'dc=tptac9,dc=com' is not on the LDAP server ADDRESS: nothing of it is there, or the service account may not see it; correct 'callbridge directory basedn'"},
		{"filter for nobody", good, func(c *Config, _ *Deps, _ *dnsServer) { c.Settings.Filter = "(uid=nobody)" },
			"Filter and Username mapping select nobody on the LDAP server ADDRESS: below 'dc=example,dc=com' no entry that passes (uid=nobody) has $uid$; correct 'callbridge directory filter', 'callbridge directory user' or 'callbridge directory basedn', or let cn=reader,dc=example,dc=com read there"},
		{"server lists too few", limited, func(*Config, *Deps, *dnsServer) {},
			"the LDAP server ADDRESS does not list all users (size limit exceeded); narrow 'callbridge directory filter', or raise the limit for the service account there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, deps, names := setting(tt.server)
			tt.change(&cfg, &deps, names)
			d := open(t, cfg, deps)
			_, err := d.Users(t.Context())
			got := ""
			if err != nil {
				if problem.CodeOf(err) == "" {
					t.Errorf("Users = %v; want a problem", err)
				}
				got = regexp.MustCompile(`SHA-256 ([0-9A-F]{2}:){6}…`).ReplaceAllString(problem.Text(err), "SHA-256 …")
				got = strings.ReplaceAll(got, fmt.Sprintf("ldap.example.com:%d", cfg.Settings.Port), "ADDRESS")
			}
			// The walk ends where Users does.
			steps := d.Walk(t.Context())
			if last := steps[len(steps)-1]; problem.CodeOf(last.Err) != problem.CodeOf(err) || tt.want == "" && last.What != "users" {
				t.Errorf("Walk ends with %s, %v; want %v", last.What, last.Err, err)
			}
			for _, s := range steps[:len(steps)-1] {
				if s.Err != nil {
					t.Errorf("Walk goes on after %s, %v", s.What, s.Err)
				}
			}
			want := regexp.QuoteMeta(tt.want)
			// What a failed handshake looks like is up to the server.
			want = strings.ReplaceAll(want, "ADDRESS: …;", "ADDRESS: [^;]+;")
			if !regexp.MustCompile("^" + want + "$").MatchString(got) {
				t.Errorf("Users:\n got %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestPeriod has certificates out of their time.
func TestPeriod(t *testing.T) {
	server := openldap.Start(t, openldap.Config{})
	files := folder{"ca.crt": server.CA.Certificate(), "server.crt": server.Certificate()}
	load := func(name string) trust {
		tr, err := loadTrust(files, name)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	ca, own := load("ca.crt"), load("server.crt")
	day := 24 * time.Hour
	for _, tt := range []struct {
		name  string
		trust trust
		after time.Duration
		want  string
	}{
		{"by its authority", ca, day, ""},
		{"by itself", own, day, ""},
		{"expired, by its authority", ca, 25 * day, "expired on "},
		{"expired, by itself", own, 25 * day, "expired on "},
		{"not yet", own, -day, "is valid only from "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.trust.check(own.certs, openldap.Host, "ldap.example.com:389", time.Now().Add(tt.after))
			got := ""
			if err != nil {
				got = problem.Text(err)
			}
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("check = %q; want %q", got, tt.want)
			}
		})
	}
}

// TestWhy has the words of Active Directory, which slapd does not say.
func TestWhy(t *testing.T) {
	for data, want := range map[string]string{
		"525": "there is no such user", "52e": "the password is wrong", "775": "the account is locked", "533": "the account is disabled",
		"9999": "user name or password is wrong",
	} {
		err := refused(49, "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data "+data+", v4563\x00")
		if got := why(err); got != want {
			t.Errorf("why(data %s) = %q; want %q", data, got, want)
		}
	}
	if got, want := said(refused(53, "no\x1b[31m\x00")), "unwilling to perform: no [31m"; got != want {
		t.Errorf("said = %q; want %q", got, want)
	}
}

func refused(code uint16, text string) error {
	return &ldap.Error{ResultCode: code, Err: errors.New(text)}
}

// TestWalkToAnAddress: nothing is looked up, and the walk says so.
func TestWalkToAnAddress(t *testing.T) {
	for _, host := range []string{"127.0.0.2", "[::1]"} {
		d := open(t, Config{Settings: config.Directory{Address: host, Port: 1, TLS: "none", BaseDN: "dc=x", User: "$uid$"}}, Deps{Log: slog.New(slog.DiscardHandler)})
		steps := d.Walk(t.Context())
		if want := strings.Trim(host, "[]") + " is an address"; len(steps) != 2 || steps[0].Detail != want || problem.CodeOf(steps[1].Err) != problem.DirectoryUnreachable {
			t.Errorf("Walk to %s = %+v; want %q, then a connection that fails", host, steps, want)
		}
	}
}
