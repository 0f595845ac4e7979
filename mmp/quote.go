package mmp

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"parley/services/problem"
)

// maxLine is the most bytes of a command line. It is far above what a command
// takes and keeps a pasted file from being one.
const maxLine = 4096

// word is one word of a command line: its text without quoting, and where it
// stands in the line.
type word struct {
	text       string
	start, end int
}

// lexed is a command line cut into words. A line that is still being typed may
// end inside a word: open is then the quote that is not closed, or a backslash
// that nothing follows.
type lexed struct {
	words []word
	open  byte
}

// lex cuts a line into words. Blanks separate them; "…" keeps blanks together;
// a backslash takes the next character as it is, within quotes and without.
func lex(line string) lexed {
	var out lexed
	var text strings.Builder
	start, quoted := -1, false
	for i := 0; i < len(line); {
		r, size := utf8.DecodeRuneInString(line[i:])
		switch {
		case r == '\\':
			if start < 0 {
				start = i
			}
			_, next := utf8.DecodeRuneInString(line[i+1:])
			if next == 0 {
				out.open = '\\'
			}
			text.WriteString(line[i+1 : i+1+next])
			size += next
		case r == '"':
			if start < 0 {
				start = i
			}
			quoted = !quoted
		case unicode.IsSpace(r) && !quoted:
			if start >= 0 {
				out.words = append(out.words, word{text.String(), start, i})
				text.Reset()
				start = -1
			}
		default:
			if start < 0 {
				start = i
			}
			text.WriteString(line[i : i+size])
		}
		i += size
	}
	if start >= 0 {
		out.words = append(out.words, word{text.String(), start, len(line)})
	}
	if quoted && out.open == 0 {
		out.open = '"'
	}
	return out
}

// split is lex for a whole line: what is not closed, or cannot be meant, is a
// problem.
func split(line string) ([]string, error) {
	if len(line) > maxLine {
		return nil, problem.New(problem.LineTooLong)
	}
	if !utf8.ValidString(line) {
		return nil, problem.New(problem.LineNotText)
	}
	for _, r := range line {
		if unicode.IsControl(r) && r != '\t' {
			return nil, problem.New(problem.LineNotText)
		}
	}
	l := lex(line)
	switch l.open {
	case '"':
		return nil, problem.New(problem.QuoteOpen)
	case '\\':
		return nil, problem.New(problem.BackslashLast)
	}
	words := make([]string, len(l.words))
	for i, w := range l.words {
		words[i] = w.text
	}
	return words, nil
}

// quote writes s so that lex gives it back as one word.
func quote(s string) string {
	plain := s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || r == '"' || r == '\\'
	})
	if plain {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Line is the command line of a program's arguments: a single one is a line as
// it stands, several are its words, which a shell has already unquoted.
func Line(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = quote(a)
	}
	return strings.Join(quoted, " ")
}
