package directory

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/jid"
)

func TestUserMapping(t *testing.T) {
	for _, tt := range []struct {
		name, mapping, value, user string
		filters                    []string
	}{
		{"plain", "$uid$", "Alice", "alice", []string{"(uid=alice)", "(uid=alice@*)"}},
		{"value with a domain", "$mail$", "Alice@Example.com", "alice", []string{"(mail=alice)", "(mail=alice@*)"}},
		{"mapping with a domain", "$sAMAccountName$@tptac9.com", "BOB", "bob", []string{"(sAMAccountName=bob)"}},
		{"prefix and suffix", "x-$uid$.Staff@tptac9.com", "bob", "x-bob.staff", []string{"(uid=bob)"}},
		{"suffix alone", "$uid$.staff", "bob", "bob.staff", []string{"(uid=bob)", "(uid=bob.staff@*)"}},
		{"not ASCII", "$uid$", "JÜRGEN", "jürgen", []string{`(uid=j\c3\bcrgen)`, `(uid=j\c3\bcrgen@*)`}},
		{"what a filter is made of", "$uid$@x", "a*(b)\\", "a*(b)\\", []string{`(uid=a\2a\28b\29\5c)`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, reason := readUserMapping(tt.mapping)
			if reason != "" {
				t.Fatalf("readUserMapping(%q): %s", tt.mapping, reason)
			}
			e := ldap.NewEntry("cn=x", map[string][]string{strings.ToUpper(u.attribute): {tt.value}})
			if got, unfit := u.names(e); !slices.Equal(got, []string{tt.user}) || unfit != "" {
				t.Errorf("names of %q = %q, %q; want %q", tt.value, got, unfit, tt.user)
			}
			if diff := cmp.Diff(tt.filters, u.filters(tt.user)); diff != "" {
				t.Errorf("filters(%q) (-want +got):\n%s", tt.user, diff)
			}
		})
	}
}

func TestUserMappingHasNoName(t *testing.T) {
	for _, tt := range []struct{ name, mapping, value string }{
		{"empty", "$uid$", ""},
		{"space", "$uid$", "al ice"},
		{"slash", "$uid$", "al/ice"},
		{"two domains", "$uid$@tptac9.com", "alice@example.com"},
		{"domain alone", "$mail$", "@example.com"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, reason := readUserMapping(tt.mapping)
			if reason != "" {
				t.Fatal(reason)
			}
			if got, unfit := u.names(ldap.NewEntry("cn=x", map[string][]string{u.attribute: {tt.value}})); got != nil || unfit != tt.value {
				t.Errorf("names of %q = %q, %q; want none, and what was unfit", tt.value, got, unfit)
			}
		})
	}
	u, _ := readUserMapping("$uid$")
	if got, unfit := u.names(ldap.NewEntry("cn=x", map[string][]string{"uid": {"al ice", "alice"}})); !slices.Equal(got, []string{"alice"}) || unfit != "" {
		t.Errorf("names of one with an unfit name besides = %q, %q; want the other name alone", got, unfit)
	}
	u, _ = readUserMapping("x-$uid$")
	if got := u.filters("alice"); got != nil {
		t.Errorf("filters of a name without the prefix = %q; want none", got)
	}
}

func TestDisplayName(t *testing.T) {
	e := ldap.NewEntry("cn=x", map[string][]string{"givenName": {"Ada", "Augusta"}, "sn": {"King\nNoel"}})
	for mapping, want := range map[string]string{
		"$cn$": "", "": "", "$givenname$ $SN$": "Ada King Noel", "$cn$ $sn$ (staff)": "King Noel (staff)",
	} {
		m, reason := readMapping(mapping)
		if reason != "" {
			t.Fatal(reason)
		}
		if got := m.text(e); got != want {
			t.Errorf("text of %q = %q; want %q", mapping, got, want)
		}
	}
}

// FuzzFilters has whatever a client sends as its name: the filter is one, it
// asks for the one attribute, and it finds the entry with that name.
func FuzzFilters(f *testing.F) {
	for _, s := range []string{"alice", "a)(uid=*", "*", "\\2a", "a\x00b", "jürgen", "x.staff", "&|!"} {
		f.Add(s)
	}
	u, reason := readUserMapping("$uid$.staff")
	if reason != "" {
		f.Fatal(reason)
	}
	f.Fuzz(func(t *testing.T, name string) {
		user, err := jid.Local(name)
		if err != nil || user == "" {
			return
		}
		for i, filter := range u.filters(user) {
			p, err := ldap.CompileFilter(filter)
			if err != nil {
				t.Fatalf("filter %q of %q: %v", filter, user, err)
			}
			want := ldap.FilterEqualityMatch
			if strings.HasSuffix(filter, "@*)") {
				want = ldap.FilterSubstrings
			}
			if int(p.Tag) != want || p.Children[0].Data.String() != "uid" {
				t.Fatalf("filter %d of %q = %q; want one for uid", i, user, filter)
			}
			if want == ldap.FilterEqualityMatch {
				value := p.Children[1].Data.String()
				if got, _ := u.names(ldap.NewEntry("cn=x", map[string][]string{"uid": {value}})); !slices.Equal(got, []string{user}) {
					t.Fatalf("the filter %q looks for %q, whose names are %q; want %q", filter, value, got, user)
				}
			}
		}
	})
}
