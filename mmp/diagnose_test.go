package mmp

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDiagnosisNamesCommands: what diagnosis tells to type is a command of this
// console.
func TestDiagnosisNamesCommands(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "services", "diagnosis", "testdata", "mistakes.txt"))
	if err != nil {
		t.Fatal(err)
	}
	g := newGrammar(families())
	placeholders := strings.NewReplacer("<address>/<prefix>", "10.0.0.5/24", "<address>", "10.0.0.5", "<gateway>", "10.0.0.1", "<key>", "x.key", "<certificate>", "x.cer", "<bundle>", "x.crt",
		"<first node>", "10.0.0.5", "<file>", "x", "<dn>", "dc=x", "<filter>", "(uid=*)", "<value>", "$uid$", "<basename>", "x", "<name>", "x.example.com", "<domain>", "example.com", "<name of ", "")
	typed := regexp.MustCompile(`(?:type|then) '([^']+)'`)
	tried := 0
	for _, m := range typed.FindAllStringSubmatch(string(data), -1) {
		line := strings.TrimSuffix(placeholders.Replace(m[1]), ">.")
		if strings.HasPrefix(line, "callbridge ") && g.root.next["callbridge"] == nil {
			// That family is not here yet.
			continue
		}
		words, err := split(line)
		if err != nil {
			t.Errorf("%q: %v", m[1], err)
			continue
		}
		tried++
		if _, _, _, err := g.match(words); err != nil {
			t.Errorf("%q is no command: %s", m[1], text(err))
		}
	}
	if tried < 50 {
		t.Errorf("%d commands found; want the diagnosis' own", tried)
	}
}
