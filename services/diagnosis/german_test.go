package diagnosis

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"parley/services/phrase/phrasetest"
)

// TestSentencesAreGerman: each text of this package that a person reads is part
// of a sentence that has a German one.
func TestSentencesAreGerman(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(name string) bool {
		// Those put findings together, or are the table itself.
		return strings.HasSuffix(name, "_test.go") || slices.Contains([]string{"german.go", "fix.go", "finding.go"}, name)
	})
	// Commands, layouts, and what a program reads.
	skip := regexp.MustCompile(`^(xmpp |dns (add|del)|hostname |callbridge (xmpp name|directory sync)|\. 86400|2006-|%d %s|<| CNAME|statfs |ping |there is no such call|the (salt|server$))`)
	phrasetest.Covers(t, skip, files, Sentences())
}

func TestGermanHasTheSameValues(t *testing.T) {
	phrasetest.SameValues(t, Sentences())
}

func TestFixInGerman(t *testing.T) {
	say := func(advice string) string { return Sentences()[advice] }
	for name, tt := range map[string]struct {
		finding Finding
		want    string
	}{
		"command":             {warn("x", "").by("date"), "'date' eingeben"},
		"commands":            {warn("x", "").by("xmpp disable", "xmpp cluster enable"), "'xmpp disable', dann 'xmpp cluster enable' eingeben"},
		"elsewhere":           {Finding{Node: "10.0.0.2", Commands: []string{"date"}}, "auf 10.0.0.2 'date' eingeben"},
		"advice":              {warn("x", "").first("add a card to the machine"), "der Maschine eine Karte hinzufügen"},
		"advice and command":  {warn("x", "").first("set the clock").by("date"), "die Uhr stellen, dann 'date' eingeben"},
		"advice or command":   {warn("x", "").first("where it stays so,").by("xmpp cluster remove"), "wenn es so bleibt, 'xmpp cluster remove' eingeben"},
		"on others":           {Finding{Commands: []string{"date"}, Also: []string{"cb2", "cb3"}}, "'date' eingeben, ebenso auf cb2 und cb3"},
		"advice for others":   {Finding{Advice: "set the clock", Also: []string{"cb2"}}, "die Uhr stellen, ebenso auf cb2"},
		"there is none to do": {},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.finding.FixIn(German, say); got != tt.want {
				t.Errorf("FixIn(%+v) = %q; want %q", tt.finding, got, tt.want)
			}
		})
	}
}
