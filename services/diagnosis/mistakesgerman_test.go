package diagnosis_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/diagnosis"
	"parley/services/phrase"
	"parley/services/problem"
)

// TestMistakesInGerman: what is found is German for whoever reads that. UPDATE=1
// writes it.
func TestMistakesInGerman(t *testing.T) {
	golden := filepath.Join("testdata", "mistakes_de.txt")
	book := phrase.New(problem.German(), diagnosis.Sentences())
	say := func(text string) string {
		said, ok := book.Say(text)
		// A Call Bridge's own words are not of this package.
		if !ok && !strings.Contains(text, "failed to connect") && !strings.HasPrefix(text, "SRV points") && strings.Contains(strings.ReplaceAll(text, ", ", ""), " ") {
			t.Errorf("%q has no German", text)
		}
		return said
	}
	certs := makeCerts(t)
	var all strings.Builder
	for _, m := range mistakes {
		w := newWorld(t, certs)
		m.make(w, w.nodes[0])
		fmt.Fprintf(&all, "== %s\n", m.name)
		for _, f := range w.nodes[0].diagnosis().Run(t.Context()) {
			line := fmt.Sprintf("%-4s  %s %s: %s; %s\n", f.Level, f.Node, say(f.What), say(f.Detail), f.FixIn(diagnosis.German, say))
			if f.Level != diagnosis.OK {
				all.WriteString(fingerprint.ReplaceAllString(line, "(…)"))
			}
		}
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), all.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
