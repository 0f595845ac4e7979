package mmp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

func TestParseUsers(t *testing.T) {
	users := func(pairs ...string) (us []xmppapi.Credential) {
		for i := 0; i < len(pairs); i += 2 {
			us = append(us, xmppapi.Credential{Name: pairs[i], Password: pairs[i+1]})
		}
		return us
	}
	tests := []struct {
		name, text string
		want       []xmppapi.Credential
		line       string
	}{
		{"plain", "ann,one\nben,two\n", users("ann", "one", "ben", "two"), ""},
		{"no last newline", "ann,one", users("ann", "one"), ""},
		{"header", "Name,Password\nann,one\n", users("ann", "one"), ""},
		{"a user called name", "ann,one\nname,password\n", users("ann", "one", "name", "password"), ""},
		{"byte order mark, CRLF", "\ufeffname,password\r\nann,one\r\n", users("ann", "one"), ""},
		{"quotes", "\"ann\",\"a,\"\"b\"\"\"\n", users("ann", `a,"b"`), ""},
		{"blank lines", "\nann,one\n\n\nben,two\n", users("ann", "one", "ben", "two"), ""},
		{"semicolons", "ann;on,e\n", users("ann", "on,e"), ""},
		{"semicolon in a password", "ann,on;e\n", users("ann", "on;e"), ""},
		{"semicolons throughout", "name;password\nann;one\n", users("ann", "one"), ""},
		{"password with blanks", "ann, one two \n", users("ann", " one two "), ""},
		{"upper case", "Ann,one\n", users("ann", "one"), ""},
		{"one value", "ann,one\nben\n", nil, "2"},
		{"three values", "ann,one\nben,two,three\n", nil, "2"},
		{"bad after a quoted line break", "ann,\"on\ne\"\nben\n", nil, "3"},
		{"no name", ",one\n", nil, "1"},
		{"no password", "ann,one\n\nben,\n", nil, "3"},
		{"address", "ann@tptac9.com,one\n", nil, "1"},
		{"twice", "ann,one\nben,two\nANN,three\n", nil, "3"},
		{"there already", "ann,one\ntaken,two\n", nil, "2"},
		{"open quote", "ann,one\nben,\"two\n", nil, "2"},
		{"quote within", "ann,one\nben,t\"wo\n", nil, "2"},
		{"long password", "ann," + strings.Repeat("x", maxPassword+1), nil, "1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseUsers("staff.csv", []byte(tt.text), map[string]bool{"taken": true})
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("parseUsers(%q) (-want +got):\n%s", tt.text, d)
			}
			if tt.line == "" {
				if err != nil {
					t.Errorf("parseUsers(%q) = %v; want nil", tt.text, err)
				}
				return
			}
			p, ok := err.(*problem.Problem)
			if !ok || p.Code != problem.ImportLine || p.Values["line"] != tt.line {
				t.Errorf("parseUsers(%q) = %v; want line %s to be named", tt.text, err, tt.line)
			}
		})
	}
}

func TestImportOfThousands(t *testing.T) {
	n := newNode(t, t.TempDir())
	var b strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&b, "user%05d,Sommer2026!\n", i)
	}
	n.put("staff.csv", b.String())
	if got := n.must(t, "xmpp user import staff.csv"); !strings.HasPrefix(got, "SUCCESS: 20000 chat accounts added") {
		t.Errorf("xmpp user import = %s; want 20000 added", got)
	}
}

// FuzzParseUsers: what is taken has names of local parts, each once, and
// passwords; what is not names a line or that there is none.
func FuzzParseUsers(f *testing.F) {
	for _, s := range []string{"", "ann,one\n", "\ufeffname;password\r\nann;\"x\ny\"\r\n", "a,\"", "ü,ä\n\n,"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		users, err := parseUsers("f", data, nil)
		if err != nil {
			if code := problem.CodeOf(err); code != problem.ImportLine && code != problem.ImportEmpty {
				t.Fatalf("parseUsers(%q) = %v; want a problem", data, err)
			}
			return
		}
		seen := map[string]bool{}
		for _, u := range users {
			if l, err := localPart(u.Name); err != nil || l != u.Name || seen[u.Name] || u.Password == "" {
				t.Fatalf("parseUsers(%q) took %q", data, u)
			}
			seen[u.Name] = true
		}
	})
}

func TestDuration(t *testing.T) {
	tests := []struct {
		d    time.Duration
		want string
	}{
		{-time.Second, "0 seconds"},
		{time.Second + 900*time.Millisecond, "1 second"},
		{24*time.Minute + 26*time.Second, "24 minutes, 26 seconds"},
		{time.Hour, "1 hour, 0 minutes, 0 seconds"},
		{49*time.Hour + time.Minute, "2 days, 1 hour, 1 minute, 0 seconds"},
	}
	for _, tt := range tests {
		if got := duration(tt.d); got != tt.want {
			t.Errorf("duration(%v) = %q; want %q", tt.d, got, tt.want)
		}
	}
}
