package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/callbridge/directory/openldap"
	"parley/services/config"
	"parley/services/network/networkapi"
	"parley/services/problem"
)

// dnsServer is a Names: host names and their addresses. It counts the names it
// was asked for, which is once for each connection.
type dnsServer struct {
	hosts map[string][]string
	asked atomic.Int32
}

var outside = netip.MustParseAddrPort("10.0.0.53:53")

func (s *dnsServer) Lookup(_ context.Context, kind, name string) (networkapi.Answer, error) {
	a := networkapi.Answer{Server: outside, Source: "server", Code: "NXDOMAIN"}
	if ips, ok := s.hosts[name]; ok {
		a.Code = "NOERROR"
		a.Records = append(a.Records, name+". 60 IN CNAME dc1."+name+".")
		for _, ip := range ips {
			if netip.MustParseAddr(ip).Is4() == (kind == "a") {
				a.Records = append(a.Records, "dc1."+name+". 60 IN "+strings.ToUpper(kind)+" "+ip)
			}
		}
	}
	if kind == "a" {
		s.asked.Add(1)
	}
	return a, nil
}

// folder is a Files: names and the files that they are.
type folder map[string]string

func (f folder) Read(name string) ([]byte, error) {
	path, ok := f[name]
	if !ok {
		return nil, problem.New(problem.FileUnknown, "file", name)
	}
	return os.ReadFile(path)
}

const people = `dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: uid=Alice,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: Alice
cn: Alice Liddell
givenName: Alice
sn: Liddell
mail: alice@example.com
userPassword: Wonder-land1

dn: uid=bob*,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: bob*
cn: Bob
sn: Star
mail: star@example.com
userPassword: bobs Paß 1

dn: uid=carol,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: carol
cn: Carol
sn: Nopass
mail: twin@example.com

dn: uid=dave the rave,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: dave the rave
cn: Dave
sn: Space
mail: twin@other.example
`

// entry is one more person.
func entry(uid string) string {
	return fmt.Sprintf("\ndn: uid=%[1]s,ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\nuid: %[1]s\ncn: %[1]s\nsn: x\n", uid)
}

// setting is a configuration for server, and what it works with.
func setting(server *openldap.Server) (Config, Deps, *dnsServer) {
	names := &dnsServer{hosts: map[string][]string{openldap.Host: {"127.0.0.1"}}}
	files := folder{}
	if server.CA != nil {
		files["ca.crt"], files["server.crt"] = server.CA.Certificate(), server.Certificate()
	}
	return Config{Settings: config.Directory{
		Address: openldap.Host, Port: server.Plain, TLS: "starttls", Trust: "ca.crt",
		Username: openldap.Reader, Password: openldap.ReaderSecret,
		BaseDN: openldap.Base, Filter: "(objectClass=inetOrgPerson)", User: "$uid$", DisplayName: "$cn$",
	}}, Deps{Names: names, Files: files, Log: slog.New(slog.DiscardHandler)}, names
}

func open(t *testing.T, cfg Config, deps Deps) *Directory {
	t.Helper()
	d, err := New(cfg, deps)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestCheck(t *testing.T) {
	server := openldap.Start(t, openldap.Config{LDIF: people})
	for _, mode := range []string{"starttls", "ldaps", "none"} {
		cfg, deps, names := setting(server)
		cfg.Settings.TLS = mode
		if mode == "ldaps" {
			cfg.Settings.Port = server.Secure
		}
		d := open(t, cfg, deps)
		for _, tt := range []struct {
			name, user string
			password   config.Secret
			want       bool
		}{
			{"right", "alice", "Wonder-land1", true},
			{"in capitals", "ALICE", "Wonder-land1", true},
			{"password in another case", "alice", "wonder-land1", false},
			{"wrong", "alice", "nonsense", false},
			{"empty", "alice", "", false},
			{"right again", "alice", "Wonder-land1", true},
			{"star in the name", "bob*", "bobs Paß 1", true},
			{"password of another", "bob*", "Wonder-land1", false},
			{"star is no wildcard", "bo*", "bobs Paß 1", false},
			{"filter in the name", "x)(uid=alice", "Wonder-land1", false},
			{"no password in the directory", "carol", "x", false},
			{"name that XMPP has not", "dave the rave", "x", false},
			{"nobody", "zoe", "x", false},
			{"not selected by the filter", "reader", openldap.ReaderSecret, false},
			{"no name", "", "x", false},
			{"not UTF-8", "alice", "\xff", false},
		} {
			t.Run(mode+"/"+tt.name, func(t *testing.T) {
				got, err := d.Check(t.Context(), tt.user, tt.password)
				if got != tt.want || err != nil {
					t.Errorf("Check(%q) = %v, %v; want %v, nil", tt.user, got, err, tt.want)
				}
			})
		}
		// One to search with and one to bind with did for all.
		if n := names.asked.Load(); n != 2 {
			t.Errorf("%s: %d connections; want 2", mode, n)
		}
	}
}

func TestCheckByMail(t *testing.T) {
	server := openldap.Start(t, openldap.Config{LDIF: people})
	cfg, deps, _ := setting(server)
	cfg.Settings.User = "$mail$"
	d := open(t, cfg, deps)
	for _, tt := range []struct {
		user, password string
		want           bool
	}{{"alice", "Wonder-land1", true}, {"alice", "x", false}, {"star", "bobs Paß 1", true}, {"sta", "bobs Paß 1", false}} {
		if got, err := d.Check(t.Context(), tt.user, config.Secret(tt.password)); got != tt.want || err != nil {
			t.Errorf("Check(%q) = %v, %v; want %v, nil", tt.user, got, err, tt.want)
		}
	}
	ok, err := d.Check(t.Context(), "twin", "x")
	want := "two entries of the LDAP server are user twin, "
	if ok || problem.CodeOf(err) != problem.DirectoryAmbiguous || !strings.HasPrefix(problem.Text(err), want) {
		t.Errorf("Check of two = %v, %v; want %q", ok, err, want)
	}
}

func TestUsers(t *testing.T) {
	var more strings.Builder
	more.WriteString(people)
	const n = 1203
	for i := range n {
		more.WriteString(entry(fmt.Sprintf("user%04d", i)))
	}
	server := openldap.Start(t, openldap.Config{LDIF: more.String() + entry("ALICE@other.example")})
	cfg, deps, _ := setting(server)
	d := open(t, cfg, deps)
	list, err := d.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	users := list.Users
	if list.Unfit != 1 || list.Like != "dave the rave" {
		t.Errorf("%d are left out, like %q; want 1, like %q", list.Unfit, list.Like, "dave the rave")
	}
	if len(users) != n+3 {
		t.Errorf("%d users; want %d", len(users), n+3)
	}
	var some []User
	for _, u := range users {
		if !strings.HasPrefix(u.Name, "user") || u.Name == "user0777" {
			some = append(some, u)
		}
	}
	want := []User{
		{"alice", "Alice Liddell", "uid=Alice,ou=people,dc=example,dc=com"},
		{"bob*", "Bob", "uid=bob*,ou=people,dc=example,dc=com"},
		{"carol", "Carol", "uid=carol,ou=people,dc=example,dc=com"},
		{"user0777", "user0777", "uid=user0777,ou=people,dc=example,dc=com"},
	}
	if diff := cmp.Diff(want, some); diff != "" {
		t.Errorf("Users (-want +got):\n%s", diff)
	}

	unfit := cfg
	unfit.Settings.Filter = "(cn=Dave)"
	if _, err := open(t, unfit, deps).Users(t.Context()); problem.CodeOf(err) != problem.DirectoryNames || !strings.Contains(problem.Text(err), "dave the rave") {
		t.Errorf("Users of whom none can be in XMPP = %v; want DirectoryNames, and one of them", err)
	}
	cfg.Limits = DefaultLimits()
	cfg.Limits.Users = n
	if _, err := open(t, cfg, deps).Users(t.Context()); problem.CodeOf(err) != problem.DirectoryLimit {
		t.Errorf("Users with a limit of %d = %v; want DirectoryLimit", n, err)
	}
}

// adSchema is of Active Directory what its user names need, with its OIDs:
// Debian's schema of it has no rules to compare them by.
const adSchema = `attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP inetOrgPerson MUST sAMAccountName MAY userPrincipalName )`

// TestActiveDirectory has its attributes and the mappings in use for it.
func TestActiveDirectory(t *testing.T) {
	server := openldap.Start(t, openldap.Config{Lines: adSchema, LDIF: `dn: cn=Abhi All,dc=example,dc=com
objectClass: user
cn: Abhi All
sn: All
sAMAccountName: AbhiAll
userPrincipalName: abhiall@corp.example
displayName: All, Abhi
userPassword: Abhi-All1
`})
	cfg, deps, _ := setting(server)
	cfg.Settings.Filter = "(&(objectClass=user)(!(sAMAccountName=*$)))"
	cfg.Settings.DisplayName = "$displayName$"
	for _, user := range []string{"$sAMAccountName$@tptac9.com", "$userPrincipalName$"} {
		cfg.Settings.User = user
		d := open(t, cfg, deps)
		if ok, err := d.Check(t.Context(), "abhiall", "Abhi-All1"); !ok || err != nil {
			t.Errorf("Check by %s = %v, %v; want true", user, ok, err)
		}
		list, err := d.Users(t.Context())
		if diff := cmp.Diff([]User{{"abhiall", "All, Abhi", "cn=Abhi All,dc=example,dc=com"}}, list.Users); err != nil || diff != "" {
			t.Errorf("Users by %s: %v (-want +got):\n%s", user, err, diff)
		}
	}
}

func TestServerComesBack(t *testing.T) {
	server := openldap.Start(t, openldap.Config{LDIF: people})
	cfg, deps, names := setting(server)
	// Nothing listens on the first address.
	names.hosts[openldap.Host] = []string{"127.0.0.2", "127.0.0.1"}
	d := open(t, cfg, deps)
	check := func(want string) {
		t.Helper()
		ok, err := d.Check(t.Context(), "alice", "Wonder-land1")
		got := fmt.Sprint(ok)
		if err != nil {
			got = string(problem.CodeOf(err))
		}
		if got != want {
			t.Fatalf("Check = %v, %v; want %s", ok, err, want)
		}
	}
	check("true")
	server.Stop()
	check(string(problem.DirectoryUnreachable))
	server.Restart()
	check("true")
	// What was kept is broken, and nobody notices.
	server.Stop()
	server.Restart()
	check("true")
	server.Modify("dn: uid=Alice,ou=people,dc=example,dc=com\nchangetype: modify\nreplace: userPassword\nuserPassword: new-Secret1\n")
	check("false")
	d.Close()
	if _, err := d.Check(t.Context(), "alice", "x"); !errors.Is(err, errClosed) {
		t.Errorf("Check after Close = %v; want %v", err, errClosed)
	}
}

func TestServerIsSilent(t *testing.T) {
	server := openldap.Start(t, openldap.Config{LDIF: people})
	cfg, deps, _ := setting(server)
	cfg.Limits = DefaultLimits()
	cfg.Limits.Request, cfg.Limits.Connect = 100*time.Millisecond, 100*time.Millisecond
	kept, fresh := open(t, cfg, deps), open(t, cfg, deps)
	if ok, err := kept.Check(t.Context(), "alice", "Wonder-land1"); !ok {
		t.Fatalf("Check = false, %v; want true", err)
	}
	server.Freeze(true)
	for name, d := range map[string]*Directory{"kept connection": kept, "new connection": fresh} {
		_, err := d.Check(t.Context(), "alice", "Wonder-land1")
		if text := problem.Text(err); problem.CodeOf(err) == "" || !strings.Contains(text, "no answer") {
			t.Errorf("%s: Check of a silent server = %v; want a problem that says so", name, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	mine := errors.New("the client is gone")
	cfg.Limits = DefaultLimits()
	d := open(t, cfg, deps)
	time.AfterFunc(10*time.Millisecond, func() { cancel(mine) })
	begun := time.Now()
	if _, err := d.Check(ctx, "alice", "Wonder-land1"); !errors.Is(err, mine) || time.Since(begun) > DefaultLimits().Connect {
		t.Errorf("Check of somebody who left = %v after %v; want %v at once", err, time.Since(begun), mine)
	}
	server.Freeze(false)
	if ok, err := kept.Check(t.Context(), "alice", "Wonder-land1"); !ok {
		t.Errorf("Check afterwards = false, %v; want true", err)
	}
}

// TestEndlessAnswer has servers that never stop talking.
func TestEndlessAnswer(t *testing.T) {
	for name, chunk := range map[string]string{
		"one long value": "\x30\x84\x7f\xff\xff\xf0\x04\x84\x7f\xff\xff\xe0" + strings.Repeat("x", 1<<16),
		"deeply nested":  strings.Repeat("\x30\x80", 1<<15),
		"rubbish":        strings.Repeat("GET / HTTP/1.1\r\n", 1<<12),
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var serving sync.WaitGroup
			defer serving.Wait()
			defer l.Close()
			serving.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					for err == nil {
						_, err = c.Write([]byte(chunk))
					}
					c.Close()
				}
			})
			cfg := Config{Settings: config.Directory{
				Address: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, TLS: "none", BaseDN: openldap.Base, User: "$uid$",
			}}
			d := open(t, cfg, Deps{Log: slog.New(slog.DiscardHandler)})
			if ok, err := d.Check(t.Context(), "alice", "x"); ok || problem.CodeOf(err) != problem.DirectoryUnreachable {
				t.Errorf("Check = %v, %v; want DirectoryUnreachable", ok, err)
			}
		})
	}
}

func TestManyAtOnce(t *testing.T) {
	server := openldap.Start(t, openldap.Config{LDIF: people})
	cfg, deps, names := setting(server)
	d := open(t, cfg, deps)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			password, want := config.Secret("Wonder-land1"), true
			if i%2 == 1 {
				password, want = "wrong", false
			}
			if ok, err := d.Check(t.Context(), "alice", password); ok != want || err != nil {
				t.Errorf("Check %d = %v, %v; want %v", i, ok, err, want)
			}
		})
	}
	all.Wait()
	if n := int(names.asked.Load()); n > 2*DefaultLimits().Connections {
		t.Errorf("%d connections; want at most %d of each kind", n, DefaultLimits().Connections)
	}
}
