package jid

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		ok             bool
	}{
		{"full", "ada@example.com/phone", "ada@example.com/phone", true},
		{"bare", "ada@example.com", "ada@example.com", true},
		{"domain", "example.com", "example.com", true},
		{"final dot", "ada@example.com.", "ada@example.com", true},
		{"case mapped", "Ada@Example.COM/Phone", "ada@example.com/Phone", true},
		{"resource with at and slash", "a@b/c@d/e", "a@b/c@d/e", true},
		{"umlauts", "Jürgen@müller.example", "jürgen@müller.example", true},
		{"A-label", "a@xn--mller-kva.example", "a@müller.example", true},
		{"IPv6", "a@[::1]/x", "a@[::1]/x", true},
		{"resource with space", "a@b/My Phone", "a@b/My Phone", true},
		{"empty", "", "", false},
		{"empty local", "@example.com", "", false},
		{"empty resource", "a@example.com/", "", false},
		{"empty domain", "a@/x", "", false},
		{"space in local", "a b@example.com", "", false},
		{"quote in local", `a"b@example.com`, "", false},
		{"two ats", "a@b@c", "", false},
		{"control in resource", "a@b/x\x00", "", false},
		{"bad UTF-8", "a\xff@b", "", false},
		{"too long", strings.Repeat("a", 1024) + "@b", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(tt.in)
			if got.String() != tt.want || (err == nil) != tt.ok {
				t.Errorf("Parse(%q) = %q, %v; want %q, ok %v", tt.in, got, err, tt.want, tt.ok)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("Ada@Example.com/Phone")
	f.Add("[::1]/x")
	f.Fuzz(func(t *testing.T, s string) {
		j, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(j.String())
		if err != nil || again != j {
			t.Errorf("Parse(%q) = %q, but Parse of that = %q, %v", s, j, again, err)
		}
	})
}
