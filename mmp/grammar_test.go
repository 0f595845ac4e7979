package mmp

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"parley/services/account"
	"parley/services/problem"
)

func TestEveryCommandIsExplained(t *testing.T) {
	g := newGrammar(families())
	for _, f := range g.families {
		if f.about == "" || len(f.commands) == 0 {
			t.Errorf("family %s: about %q, %d commands; want both", f.name, f.about, len(f.commands))
		}
		for i := range f.commands {
			c := &f.commands[i]
			t.Run(c.usage, func(t *testing.T) {
				if !strings.HasPrefix(c.usage, f.name) {
					t.Errorf("usage = %q; want it to begin with %s", c.usage, f.name)
				}
				if c.summary == "" || strings.HasSuffix(c.summary, ".") || strings.Contains(c.summary, "\n") || len(c.summary) > 50 {
					t.Errorf("summary = %q; want one short line without a full stop", c.summary)
				}
				if !strings.HasSuffix(c.help, ".") || c.help == c.summary {
					t.Errorf("help = %q; want sentences", c.help)
				}
				words, err := split(c.example)
				if err != nil {
					t.Fatalf("example %q: %v", c.example, err)
				}
				got, _, _, err := g.match(words)
				if err != nil || got != c {
					t.Errorf("match(%q) = %v, %v; want this command", c.example, got, err)
				}
				if c.run == nil {
					t.Error("run = nil")
				}
			})
		}
	}
}

// TestHelpTextsAreForTerminals: ASCII only, since a serial console may know no
// more, and no line wider than 80 columns.
func TestHelpTextsAreForTerminals(t *testing.T) {
	n := newNode(t, t.TempDir())
	for _, f := range n.grammar.families {
		for _, c := range f.commands {
			out := n.must(t, "help "+plainWords(c.usage))
			if !strings.Contains(out, c.usage) {
				t.Errorf("help %s:\n%s\nwant it to tell of %s", plainWords(c.usage), out, c.usage)
			}
			for line := range strings.Lines(out) {
				if len(line) > 81 && !strings.HasPrefix(line, "Example: ") || strings.ContainsFunc(line, func(r rune) bool { return r > unicode.MaxASCII }) {
					t.Errorf("help %s has the line %q; want ASCII of 80 columns", plainWords(c.usage), line)
				}
			}
		}
	}
}

func TestComplete(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.certs()
	n.put("my file.csv", "x")
	n.must(t, "user add ben crypto", "Sommer2026!", "Sommer2026!")
	n.must(t, "xmpp callbridge add cb1")
	n.must(t, "xmpp user add jürgen", "Sommer2026!", "Sommer2026!")
	n.must(t, "dns add forwardzone tptac9.com 10.0.0.53")
	tests := []struct {
		line  string
		start int
		want  []string
	}{
		{"", 0, []string{"alarms", "callbridge", "database", "date", "dns", "eventlog", "exit", "help", "hostname", "iface", "ipv4", "logout", "passwd", "ping", "pki", "reboot", "rm", "ls", "shutdown", "syslog", "uptime", "user", "version", "webadmin", "xmpp"}},
		{"xm", 0, []string{"xmpp"}},
		{"xmpp callbridge a", 16, []string{"add", "add-secret"}},
		{"ipv4 ", 5, []string{"a", "b"}},
		{"ipv4 a d", 7, []string{"default", "del", "dhcp", "disable"}},
		{"xmpp listen ", 12, []string{"a", "b", "none"}},
		{"xmpp listen a ", 14, []string{"a", "b"}},
		{"xmpp certs ab", 11, []string{"abhiall.key"}},
		{"xmpp certs abhiall.key ab", 23, []string{"abhiall.cer"}},
		{"xmpp callbridge del ", 20, []string{"cb1"}},
		{"xmpp user del j", 14, []string{"jürgen"}},
		{"xmpp user import ", 17, []string{`"my file.csv"`}},
		{`xmpp user import "my`, 17, []string{`"my file.csv"`}},
		{"user del ", 9, []string{"admin", "ben"}},
		{"user add eve a", 13, []string{"admin", "api", "appadmin", "audit"}},
		{"pki csr x CN:a su", 15, []string{"subjectAltName:"}},
		{"dns del forwardzone ", 20, []string{"tptac9.com"}},
		{"dns del forwardzone tptac9.com ", 31, []string{"10.0.0.53"}},
		{"dns lookup ", 11, []string{"a", "aaaa", "srv"}},
		{"help xmpp ca", 10, []string{"callbridge"}},
		{"version x", 8, nil},
		{"quark ", 6, nil},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			got := n.complete(&call{ctx: t.Context(), user: admin}, tt.line)
			var texts []string
			for _, c := range got.candidates {
				texts = append(texts, c.text)
			}
			sorted := cmp.Transformer("sort", func(s []string) map[string]bool {
				m := map[string]bool{}
				for _, v := range s {
					m[v] = true
				}
				return m
			})
			if d := cmp.Diff(tt.want, texts, sorted); d != "" || got.start != tt.start {
				t.Errorf("complete(%q) from %d, want %d (-want +got):\n%s", tt.line, got.start, tt.start, d)
			}
		})
	}
}

func TestCompleteShowsWhatTheRolePermits(t *testing.T) {
	n := newNode(t, t.TempDir())
	got := n.complete(&call{ctx: t.Context(), user: account.User{Name: "aude", Role: account.Audit}}, "xmpp ")
	if d := cmp.Diff([]candidate{{"cluster", false}, {"diagnose", false}, {"status", false}}, got.candidates, cmp.AllowUnexported(candidate{})); d != "" {
		t.Errorf("complete for audit (-want +got):\n%s", d)
	}
	got = n.complete(&call{ctx: t.Context(), user: account.User{Name: "aude", Role: account.Audit}}, "xmpp cluster ")
	if len(got.candidates) != 1 || got.candidates[0].text != "status" {
		t.Errorf("complete for audit = %v; want status alone", got.candidates)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"xmpp", "ipv4", "iface", "syslog", "version"}
	tests := []struct{ word, want string }{
		{"xmp", "xmpp"}, {"xmmp", "xmpp"}, {"xpmp", "xmpp"}, {"ipv6", "ipv4"}, {"verison", "version"}, {"sylsog", "syslog"},
		{"quark", ""}, {"", ""}, {"x", ""},
	}
	for _, tt := range tests {
		if got := nearest(tt.word, words); got != tt.want {
			t.Errorf("nearest(%q) = %q; want %q", tt.word, got, tt.want)
		}
	}
}

// FuzzLine: whatever is typed either is a command or is refused with a problem
// whose text names a fix.
func FuzzLine(f *testing.F) {
	g := newGrammar(families())
	for _, fam := range g.families {
		for _, c := range fam.commands {
			f.Add(c.example)
			f.Add(c.usage)
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := split(line)
		if err == nil && len(words) == 0 {
			return
		}
		var known int
		if err == nil {
			_, _, known, err = g.match(words)
		}
		if known > len(words) {
			t.Fatalf("match(%q): %d known words of %d", line, known, len(words))
		}
		if err == nil {
			return
		}
		if problem.CodeOf(err) == "" {
			t.Fatalf("%q = %v; want a problem", line, err)
		}
		if s := text(err); !strings.Contains(s, "; ") || strings.ContainsFunc(s, unicode.IsControl) {
			t.Fatalf("%q: text %q; want one line with a fix", line, s)
		}
	})
}
