// Package phrasetest finds texts in Go files that a table of sentences lacks. It
// is for tests only: whoever writes a new sentence for people is told that it
// wants another language.
package phrasetest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/phrase"
)

// Covers checks that each text in the files is part of a sentence of the tables.
// Texts are string literals with blanks. Those that no page shows match skip, or
// are said to errors, logs and as commands: see silent.
func Covers(t *testing.T, skip *regexp.Regexp, files []string, tables ...map[string]string) {
	t.Helper()
	var known []string
	for _, table := range tables {
		for english := range table {
			known = append(known, placeholder.ReplaceAllString(english, "\x00"))
		}
	}
	for _, file := range files {
		for _, text := range literals(t, file) {
			pieces := strings.Split(verb.ReplaceAllString(strings.TrimPrefix(text, "; "), "\x00"), "\x00")
			if !skip.MatchString(text) && !slices.ContainsFunc(known, func(k string) bool { return hasPieces(k, pieces) }) {
				t.Errorf("%s: %q is in no sentence of the tables; want one with German", file, text)
			}
		}
	}
}

// SameValues checks that translations have the values and the commands, which
// are what stands in quotes, of what they translate.
func SameValues(t *testing.T, table map[string]string) {
	t.Helper()
	for english, other := range table {
		if diff := cmp.Diff(sorted(phrase.Names(english)), sorted(phrase.Names(other))); diff != "" {
			t.Errorf("values of %q in %q (-English +other):\n%s", english, other, diff)
		}
		if diff := cmp.Diff(Quoted(english), Quoted(other)); diff != "" {
			t.Errorf("what is quoted of %q in %q (-English +other):\n%s", english, other, diff)
		}
	}
}

// Quoted is what stands in quotes, in order of the alphabet and once.
func Quoted(text string) []string {
	all := quoted.FindAllString(text, -1)
	for i := range all {
		all[i] = strings.TrimLeft(all[i], " (")
	}
	return sorted(all)
}

var (
	placeholder = regexp.MustCompile(`\{[^}]*\}`)
	verb        = regexp.MustCompile(`%(\.\d)?[a-z]`)
	letters     = regexp.MustCompile(`[A-Za-z]{3}`)
	// quoted: an apostrophe that opens stands at the beginning of a word.
	quoted = regexp.MustCompile(`(?:^|[ (])'[^']+'`)
)

func sorted(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

func hasPieces(sentence string, pieces []string) bool {
	for _, p := range pieces {
		p = strings.ReplaceAll(p, "%%", "%")
		i := strings.Index(sentence, p)
		if i < 0 {
			return false
		}
		sentence = sentence[i+len(p):]
	}
	return true
}

// literals are the texts with blanks of a file.
func literals(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	var look func(n ast.Node) bool
	look = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			return n.Tag == nil
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && silent(s) {
				ast.Inspect(s.X, look)
				return false
			}
		case *ast.BasicLit:
			text, err := strconv.Unquote(n.Value)
			if err == nil && n.Kind == token.STRING && strings.Contains(text, " ") && letters.MatchString(text) {
				all = append(all, text)
			}
		}
		return true
	}
	ast.Inspect(f, look)
	return all
}

// silent says whether a method takes nothing that a page shows: lines of the
// log, and the commands of a finding.
func silent(s *ast.SelectorExpr) bool {
	return slices.Contains([]string{"by", "Debug", "Info", "Warn", "Error"}, s.Sel.Name)
}
