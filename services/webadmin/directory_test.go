package webadmin

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/problem"
)

func TestDirectory(t *testing.T) {
	full := config.Directory{
		Address: "ldap.example.com", Port: 389, TLS: "starttls", Trust: "web.crt", Username: "cn=reader,dc=example,dc=com", Password: "geheim",
		BaseDN: "ou=people,dc=example,dc=com", Filter: "(mail=*)", User: "$uid$", DisplayName: "$cn$",
	}
	// form are the fields of full, with changes; those set to "-" are left out.
	form := func(changes ...string) []string {
		fields := []string{
			"address", "LDAP.example.com ", "port", "389", "tls", "starttls", "trust", "web.crt", "username", "cn=reader,dc=example,dc=com",
			"basedn", "ou=people,dc=example,dc=com", "filter", "(mail=*)", "user", "$uid$", "displayname", "$cn$",
		}
		for i := 0; i < len(changes); i += 2 {
			at := -1
			for n := 0; n < len(fields); n += 2 {
				if fields[n] == changes[i] {
					at = n
				}
			}
			if at < 0 {
				fields = append(fields, changes[i], changes[i+1])
				continue
			}
			fields[at+1] = changes[i+1]
		}
		return fields
	}
	with := func(change func(*config.Directory)) config.Directory {
		c := full
		change(&c)
		return c
	}
	for _, tt := range []struct {
		name   string
		before config.Directory
		fields []string
		want   config.Directory
		// failure is on the page where it was refused, wrong the field that is
		// marked; audit are the commands.
		failure, wrong string
		audit          []string
	}{
		{"first time", config.Directory{}, form("password", "geheim", "confirm", "geheim"), full, "", "", []string{
			"callbridge directory address ldap.example.com", "callbridge directory port 389", "callbridge directory tls starttls", "callbridge directory trust web.crt",
			"callbridge directory username cn=reader,dc=example,dc=com", "callbridge directory basedn ou=people,dc=example,dc=com", "callbridge directory filter (mail=*)",
			"callbridge directory user $uid$", "callbridge directory displayname $cn$", "callbridge directory password",
		}},
		{"the password stays", full, form("filter", "(cn=a b)"), with(func(c *config.Directory) { c.Filter = "(cn=a b)" }), "", "", []string{`callbridge directory filter "(cn=a b)"`}},
		{"new password", full, form("password", " x ", "confirm", " x "), with(func(c *config.Directory) { c.Password = " x " }), "", "", []string{"callbridge directory password"}},
		{"nobody's log-in", full, form("username", ""), with(func(c *config.Directory) { c.Username, c.Password = "", "" }), "", "", []string{"callbridge directory username none"}},
		{"empty", full, form("address", "", "port", "", "tls", "", "trust", "", "username", "", "basedn", "", "filter", "", "user", "", "displayname", ""), config.Directory{}, "", "", []string{
			"callbridge directory address none", "callbridge directory port none", "callbridge directory trust none",
			"callbridge directory username none", "callbridge directory basedn none", "callbridge directory filter none",
			"callbridge directory user none", "callbridge directory displayname none",
		}},
		{"another server has not the password", full, form("address", "evil.example.com"), full, "the password is not sent to another server", "password", nil},
		{"nor another port", full, form("port", "3890"), full, "the password is not sent to another server", "password", nil},
		{"nor one without TLS", full, form("tls", "none"), full, "the password is not sent to another server", "password", nil},
		{"nor one trusted by others", full, form("trust", ""), full, "the password is not sent to another server", "password", nil},
		{"another server and its password", full, form("address", "ldap2.example.com", "password", "x", "confirm", "x"), with(func(c *config.Directory) { c.Address, c.Password = "ldap2.example.com", "x" }), "", "",
			[]string{"callbridge directory address ldap2.example.com", "callbridge directory password"}},
		{"no address keeps the rest", full, form("address", ""), with(func(c *config.Directory) { c.Address = "" }), "", "", []string{"callbridge directory address none"}},
		{"TLS by the port", full, form("tls", "", "password", "geheim", "confirm", "geheim"), with(func(c *config.Directory) { c.TLS = "" }), "", "", nil},
		{"LDAPS by the port", full, form("tls", "", "port", "636", "password", "geheim", "confirm", "geheim"), with(func(c *config.Directory) { c.TLS, c.Port = "", 636 }), "", "", []string{"callbridge directory port 636", "callbridge directory tls ldaps"}},
		{"a URL", full, form("address", "ldap://x", "password", "x", "confirm", "x"), full, "'ldap://x' cannot be the directory's Address", "address", nil},
		{"no port", full, form("port", "ldap"), full, "'ldap' cannot be the directory's Port: ports are 1 to 65535, as a rule 389 or 636; correct it with 'callbridge directory port'", "port", nil},
		{"no way of TLS", full, form("tls", "ssl", "password", "x", "confirm", "x"), full, "'ssl' cannot be the directory's TLS", "tls", nil},
		{"no such file", full, form("trust", "gone.crt", "password", "x", "confirm", "x"), full, "gone.crt", "trust", nil},
		{"no DN", full, form("basedn", "people"), full, "'people' cannot be the directory's Base distinguished name", "basedn", nil},
		{"no filter", full, form("filter", "(mail=*"), full, "cannot be the directory's Filter", "filter", nil},
		{"no mapping", full, form("user", "uid"), full, "'uid' cannot be the directory's Username mapping", "user", nil},
		{"passwords differ", full, form("password", "x", "confirm", "y"), full, "the two passwords are not the same", "password", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			b := s.loggedIn("app")
			s.configure(func(d *config.Document) { d.Directory = tt.before })
			got := b.submit(directoryPath, tt.fields...)
			if tt.failure == "" {
				if got.location() != directoryPath+"?done=saved" || s.bridge.reloads != 1 {
					t.Errorf("leads to %q with %d reloads:\n%s", got.location(), s.bridge.reloads, got.text())
				}
			} else {
				wantText(t, got, http.StatusBadRequest, "Not done: ", tt.failure)
				if field := invalidField(got.body); field != tt.wrong {
					t.Errorf("the field %q is marked; want %q", field, tt.wrong)
				}
			}
			if diff := cmp.Diff(tt.want, s.document().Directory); diff != "" {
				t.Errorf("live.json (-want +got):\n%s", diff)
			}
			s.audited(t, "app", tt.audit...)
			if page := b.get(directoryPath); strings.Contains(page.body, "geheim") || strings.Contains(got.body, "geheim") {
				t.Error("the password is on a page")
			}
		})
	}
}

// invalidField is the name of the field that a page marks as wrong.
func invalidField(body string) string {
	before, _, ok := strings.Cut(body, ` aria-invalid="true"`)
	if !ok {
		return ""
	}
	_, after, _ := strings.Cut(before[strings.LastIndex(before, "<"):], ` name="`)
	name, _, _ := strings.Cut(after, `"`)
	return name
}

func TestDirectoryState(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("admin")
	wantText(t, b.get(directoryPath), http.StatusOK, "LDAP server none is set")
	s.configure(func(d *config.Document) { d.Directory = config.Directory{Address: "ldap.example.com"} })
	wantText(t, b.get(directoryPath), http.StatusOK, "The Call Bridge is reading these settings")
	s.bridge.directory = callbridgeapi.Directory{Configured: true, Server: "ldap.example.com:389", TLS: "starttls", Trouble: "it is down"}
	wantText(t, b.get(directoryPath), http.StatusOK, "the LDAP server's Base distinguished name is not set", "ldap.example.com:389 (StartTLS) it is down", "for passwords no", "Users not listed yet")
	s.bridge.directory = callbridgeapi.Directory{Configured: true, Server: "ldap.example.com:389", TLS: "ldaps", Offered: true, Users: 12, Synced: start}
	wantText(t, b.get(directoryPath), http.StatusOK, "(LDAPS)", "for passwords yes", "12, listed at 2026-11-22 20:00:00")
	s.bridge.directory.Unfit, s.bridge.directory.Like = 2, "Bert Ü"
	wantText(t, b.get(directoryPath), http.StatusOK, "12, listed at 2026-11-22 20:00:00 2 left out, as no chat address can be made of names like 'Bert Ü'")
	s.bridge.gone = true
	wantText(t, b.get(directoryPath), http.StatusOK, "callbridge")
}

func TestDirectoryTestAndSync(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("admin")
	s.bridge.steps = []callbridgeapi.Step{{Target: "ldap.example.com:389", What: "log-in", Detail: "invalid credentials", Hint: "correct Password", Took: 3 * time.Millisecond}}
	wantText(t, b.submit(directoryPath+"/test"), http.StatusOK, "Test of the LDAP server", "ldap.example.com:389 log-in FAILED invalid credentials correct Password 3 ms")
	if got := b.submit(directoryPath + "/sync"); got.location() != directoryPath+"?done=synced" {
		t.Errorf("sync leads to %q; want back to the page", got.location())
	}
	s.bridge.refuse = problem.New(problem.DirectoryUnset)
	for _, do := range []string{"/test", "/sync"} {
		wantText(t, b.submit(directoryPath+do), http.StatusBadRequest, "Not done: no LDAP server is set")
	}
	const test, sync = "callbridge directory test", "callbridge directory sync"
	s.audited(t, "admin", test, sync, test, sync)
}

func TestDirectoryChangePassword(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("admin")
	s.configure(func(d *config.Document) {
		d.Directory = config.Directory{Address: "ldap.example.com", Username: "cn=a", Password: "geheim"}
	})
	if got := b.get(directoryPath); strings.Contains(got.body, `id="password"`) || !strings.Contains(got.text(), "Password set [change]") {
		t.Errorf("fields for a password are shown, or no way to them:\n%s", got.text())
	}
	got := b.submit(directoryPath, "change", "password", "address", "other")
	if !strings.Contains(got.body, `id="password"`) || !strings.Contains(got.body, `value="other"`) {
		t.Errorf("[change] has no fields for a password, or loses what was typed:\n%s", got.body)
	}
	if d := s.document().Directory; d.Address != "ldap.example.com" {
		t.Errorf("[change] saved %q; want nothing changed", d.Address)
	}
}

// TestDirectoryShared: the form shows and changes the settings of the database.
func TestDirectoryShared(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("app")
	s.database.status.Mode = databaseapi.Member
	s.database.settings = []databaseapi.Record{{Key: "settings", Value: []byte(`{"settings":{"address":"ldap.example.com","username":"cn=a","password":"geheim","trust":"web.crt"},"host":"cb3","set":"2026-11-22T19:00:00Z"}`)}}
	page := b.get(directoryPath)
	wantText(t, page, http.StatusOK, "hold for all nodes that share it. They were set on cb3 at 2026-11-22 19:00:00.")
	if !strings.Contains(page.body, `value="ldap.example.com"`) || strings.Contains(page.body, "geheim") {
		t.Errorf("the form has not the settings, or the password:\n%s", page.body)
	}
	wantText(t, b.get("/configuration/certificates"), http.StatusOK, "callbridge directory trust")
	got := b.submit(directoryPath, "address", "ldap.example.com", "username", "cn=a", "trust", "web.crt", "basedn", "dc=example")
	if got.location() != directoryPath+"?done=saved" {
		t.Fatalf("leads to %q:\n%s", got.location(), got.text())
	}
	want := `{"settings":{"address":"ldap.example.com","trust":"web.crt","username":"cn=a","password":"geheim","base_dn":"dc=example"},"host":"cb1","set":"2026-11-22T20:00:00Z","change":1}`
	if diff := cmp.Diff(want, string(s.database.settings[0].Value)); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if d := s.document().Directory; d != (config.Directory{}) {
		t.Errorf("live.json has %+v; want nothing", d)
	}
	s.audited(t, "app", "callbridge directory basedn dc=example")
}
