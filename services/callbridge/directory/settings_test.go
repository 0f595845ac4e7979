package directory

import (
	"strings"
	"testing"

	"parley/services/config"
	"parley/services/problem"
)

func TestSettings(t *testing.T) {
	good := config.Directory{Address: "ldap.example.com", BaseDN: "dc=example,dc=com", User: "$uid$"}
	for _, tt := range []struct {
		name   string
		change func(*config.Directory)
		// want is the address and mode, or what the problem's text begins with.
		want string
	}{
		{"least", func(*config.Directory) {}, "ldap.example.com:389 starttls"},
		{"port of LDAPS", func(c *config.Directory) { c.Port = 636 }, "ldap.example.com:636 ldaps"},
		{"LDAPS", func(c *config.Directory) { c.TLS = "ldaps" }, "ldap.example.com:636 ldaps"},
		{"StartTLS on a port of its own", func(c *config.Directory) { c.TLS, c.Port = "starttls", 1389 }, "ldap.example.com:1389 starttls"},
		{"none", func(c *config.Directory) { c.TLS = "none" }, "ldap.example.com:389 none"},
		{"IPv6", func(c *config.Directory) { c.Address = "fd00::5" }, "[fd00::5]:389 starttls"},
		{"IPv6 as in a URL", func(c *config.Directory) { c.Address = "[fd00::5]" }, "[fd00::5]:389 starttls"},
		{"IPv6 with a port", func(c *config.Directory) { c.Address = "[fd00::5]:636" }, "'[fd00::5]:636' cannot be the directory's Address"},
		{"IPv6 with half of the brackets", func(c *config.Directory) { c.Address = "[fd00::5" }, "'[fd00::5' cannot be the directory's Address"},
		{"name in brackets", func(c *config.Directory) { c.Address = "[ldap]" }, "'[ldap]' cannot be the directory's Address"},
		{"no address", func(c *config.Directory) { c.Address = "" }, "no LDAP server is set"},
		{"URL", func(c *config.Directory) { c.Address = "ldap://x" }, "'ldap://x' cannot be the directory's Address"},
		{"TLS", func(c *config.Directory) { c.TLS = "ssl" }, "'ssl' cannot be the directory's TLS"},
		{"port", func(c *config.Directory) { c.Port = 70000 }, "'70000' cannot be the directory's Port"},
		{"user without password", func(c *config.Directory) { c.Username = "cn=x" }, "'' cannot be the directory's Password"},
		{"no base", func(c *config.Directory) { c.BaseDN = "" }, "'' cannot be the directory's Base distinguished name"},
		{"base", func(c *config.Directory) { c.BaseDN = "example.com" }, "'example.com' cannot be the directory's Base distinguished name"},
		{"filter", func(c *config.Directory) { c.Filter = "(objectClass=person" }, "'(objectClass=person' cannot be the directory's Filter"},
		{"filter without brackets", func(c *config.Directory) { c.Filter = "uid=*" }, "'uid=*' cannot be the directory's Filter"},
		{"two filters", func(c *config.Directory) { c.Filter = "(uid=*)(cn=*)" }, "'(uid=*)(cn=*)' cannot be the directory's Filter"},
		{"no user", func(c *config.Directory) { c.User = "" }, "'' cannot be the directory's Username mapping"},
		{"user of two attributes", func(c *config.Directory) { c.User = "$a$$b$" }, "'$a$$b$' cannot be the directory's Username mapping"},
		{"one dollar", func(c *config.Directory) { c.User = "$uid" }, "'$uid' cannot be the directory's Username mapping: attributes stand between two $"},
		{"user after the domain", func(c *config.Directory) { c.User = "x@$uid$" }, "'x@$uid$' cannot be the directory's Username mapping"},
		{"a name that XMPP has not", func(c *config.Directory) { c.User = "a b$uid$" }, "'a b$uid$' cannot be the directory's Username mapping"},
		{"regular expression", func(c *config.Directory) { c.DisplayName = "$cn|'/x/y/'$" }, "'$cn|'/x/y/'$' cannot be the directory's Display name: it may hold attributes, as in $cn$, but no"},
		{"attribute", func(c *config.Directory) { c.DisplayName = "$c)n$" }, "'$c)n$' cannot be the directory's Display name: 'c)n' is no attribute"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.change(&c)
			s, err := readSettings(c)
			got := s.address() + " " + string(s.mode)
			if err != nil {
				got = problem.Text(err)
			}
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("readSettings = %q; want %q", got, tt.want)
			}
		})
	}
}

// TestCheckSettings: what is not set yet is no mistake, but is named before the
// server is asked.
func TestCheckSettings(t *testing.T) {
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return problem.Text(err)
	}
	for _, tt := range []struct {
		name string
		conf config.Directory
		// settings and complete are what the problems' texts begin with.
		settings, complete string
	}{
		{"nothing", config.Directory{}, "", "no LDAP server is set"},
		{"address alone", config.Directory{Address: "ldap.example.com"}, "", "the LDAP server's Base distinguished name is not set; type 'callbridge directory basedn <dn>'"},
		{"no user", config.Directory{Address: "ldap.example.com", BaseDN: "dc=x"}, "", "the LDAP server's Username mapping is not set; type 'callbridge directory user <mapping>'"},
		{"no password", config.Directory{Address: "ldap.example.com", BaseDN: "dc=x", User: "$uid$", Username: "cn=x"}, "", "the LDAP server's Password is not set; type 'callbridge directory password'"},
		{"all", config.Directory{Address: "ldap.example.com", BaseDN: "dc=x", User: "$uid$", Username: "cn=x", Password: "y"}, "", ""},
		{"wrong port alone", config.Directory{Port: -1}, "'-1' cannot be the directory's Port", "no LDAP server is set"},
		{"wrong filter alone", config.Directory{Filter: "("}, "'(' cannot be the directory's Filter", "no LDAP server is set"},
	} {
		if got := text(CheckSettings(tt.conf)); !strings.HasPrefix(got, tt.settings) || (got == "") != (tt.settings == "") {
			t.Errorf("%s: CheckSettings = %q; want %q", tt.name, got, tt.settings)
		}
		if got := text(CheckComplete(tt.conf)); !strings.HasPrefix(got, tt.complete) || (got == "") != (tt.complete == "") {
			t.Errorf("%s: CheckComplete = %q; want %q", tt.name, got, tt.complete)
		}
	}
	for _, tt := range []struct {
		conf         config.Directory
		address, tls string
	}{
		{config.Directory{Address: "ldap.example.com"}, "ldap.example.com:389", "starttls"},
		{config.Directory{Address: "ldap.example.com", Port: 636, Username: "cn=x"}, "ldap.example.com:636", "ldaps"},
		{config.Directory{Address: "fd00::5", TLS: "none"}, "[fd00::5]:389", "none"},
	} {
		if address, tls := Server(tt.conf); address != tt.address || tls != tt.tls {
			t.Errorf("Server(%s) = %s, %s; want %s, %s", tt.conf.Address, address, tls, tt.address, tt.tls)
		}
	}
}
