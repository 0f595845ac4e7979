package problem

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/phrase"
	"parley/services/phrase/phrasetest"
)

// TestEachCodeHasGerman: whatever fails is read on German pages too.
func TestEachCodeHasGerman(t *testing.T) {
	for code := range texts {
		if germanTexts[code] == "" {
			t.Errorf("%s has no text in German", code)
		}
	}
	for code := range germanTexts {
		if texts[code] == "" {
			t.Errorf("%s has a text in German, and none in English", code)
		}
	}
}

// TestGermanSaysTheSame: each half has the same values, and the same commands,
// which are what stands in quotes.
func TestGermanSaysTheSame(t *testing.T) {
	// Labels of fields are German on German pages.
	labels := strings.NewReplacer("'Gemeinsames Geheimnis'", "'Shared secret'", "'Gemeinsames Geheimnis bestätigen'", "'Confirm shared secret'", "'Kennwort'", "'Password'")
	for code, text := range texts {
		german := germanTexts[code]
		if strings.Count(german, "; ") < strings.Count(text, "; ") {
			t.Errorf("German of %s = %q; want \"what is wrong; the fix\"", code, german)
			continue
		}
		english, deutsch := halves(text), halves(german)
		for i := range english {
			if diff := cmp.Diff(set(phrase.Names(english[i])), set(phrase.Names(deutsch[i]))); diff != "" {
				t.Errorf("values of %s, half %d (-English +German):\n%s", code, i, diff)
			}
		}
		if diff := cmp.Diff(phrasetest.Quoted(text), phrasetest.Quoted(labels.Replace(german))); diff != "" {
			t.Errorf("what is quoted in %s (-English +German):\n%s", code, diff)
		}
	}
}

func halves(text string) [2]string {
	wrong, fix, _ := strings.Cut(text, "; ")
	return [2]string{wrong, fix}
}

func set(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

func TestGermanValues(t *testing.T) {
	for _, table := range []map[string]string{germanTrust, germanTroubles, germanThings, germanLDAP} {
		phrasetest.SameValues(t, table)
	}
}

// TestGermanIsRecognized: of a text that is filled in, whatever other texts are
// like it, the German of the same problem is said.
func TestGermanIsRecognized(t *testing.T) {
	book := phrase.New(German())
	for code, text := range texts {
		p := New(code)
		p.Values = map[string]string{}
		for _, name := range phrase.Names(text) {
			p.Values[name] = "xyz" + name
		}
		want := germanTexts[code]
		for name, value := range p.Values {
			want = strings.NewReplacer("{"+name+"}", value, "{"+name+"!}", value).Replace(want)
		}
		if got, ok := book.Say(Text(p)); got != want || !ok {
			t.Errorf("Say(%q) = %q, %v; want %q", Text(p), got, ok, want)
		}
	}
}
