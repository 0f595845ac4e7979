package mmp

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"parley/services/problem"
)

func TestSplit(t *testing.T) {
	tests := []struct {
		name, line string
		want       []string
	}{
		{"empty", "", []string{}},
		{"blanks", " \t ", []string{}},
		{"words", "xmpp  listen\ta ", []string{"xmpp", "listen", "a"}},
		{"quotes", `rm "my cert.pem"`, []string{"rm", "my cert.pem"}},
		{"quotes inside a word", `CN:"tptac9 com"x`, []string{"CN:tptac9 comx"}},
		{"empty quotes", `rm ""`, []string{"rm", ""}},
		{"backslash blank", `rm my\ cert.pem`, []string{"rm", "my cert.pem"}},
		{"backslash in quotes", `rm "a\"b\\c"`, []string{"rm", `a"b\c`}},
		{"other script", `user add Jürgen`, []string{"user", "add", "Jürgen"}},
		{"no-break space", "xmpp\u00a0status", []string{"xmpp", "status"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := split(tt.line)
			if err != nil {
				t.Fatalf("split(%q) = %v; want %q", tt.line, err, tt.want)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("split(%q) (-want +got):\n%s", tt.line, d)
			}
		})
	}
}

func TestSplitRefuses(t *testing.T) {
	tests := []struct {
		name, line string
		want       problem.Code
	}{
		{"open quote", `rm "a`, problem.QuoteOpen},
		{"last backslash", `rm a\`, problem.BackslashLast},
		{"last backslash in quotes", `rm "a\`, problem.BackslashLast},
		{"control character", "rm \x1b[2J", problem.LineNotText},
		{"not UTF-8", "rm \xff", problem.LineNotText},
		{"long", strings.Repeat("x", maxLine+1), problem.LineTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := split(tt.line); problem.CodeOf(err) != tt.want {
				t.Errorf("split(%q) = %v; want %s", tt.line, err, tt.want)
			}
		})
	}
}

// FuzzSplit checks that quoting and splitting are each other's inverse, and
// that the places of words are within the line and in order.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "pki list", `a "b c" d\ e`, `"`, `\`, "ü\u2028x", `"\""`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		end := 0
		for _, w := range lex(line).words {
			if w.start < end || w.end <= w.start || w.end > len(line) {
				t.Fatalf("lex(%q): word %+v after %d", line, w, end)
			}
			end = w.end
		}
		words, err := split(line)
		if err != nil {
			return
		}
		quoted := make([]string, len(words))
		for i, w := range words {
			quoted[i] = quote(w)
		}
		again, err := split(strings.Join(quoted, " "))
		if len(strings.Join(quoted, " ")) > maxLine {
			return
		}
		if err != nil {
			t.Fatalf("split(%q) = %v; want %q", quoted, err, words)
		}
		if d := cmp.Diff(words, again); d != "" {
			t.Fatalf("split of quoted %q (-want +got):\n%s", words, d)
		}
		if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) {
			t.Fatalf("split(%q) took what is not text", line)
		}
	})
}

func TestLine(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"xmpp status"}, "xmpp status"},
		{[]string{"rm", "my file"}, `rm "my file"`},
		{[]string{"pki", "csr", "x", `O:a"b`}, `pki csr x "O:a\"b"`},
		{nil, ""},
	}
	for _, tt := range tests {
		if got := Line(tt.args); got != tt.want {
			t.Errorf("Line(%q) = %q; want %q", tt.args, got, tt.want)
		}
	}
}
