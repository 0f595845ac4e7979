package journal

import (
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxLine bounds a line in bytes; what is longer is cut.
const maxLine = 8 << 10

// stampForm has a fixed width, so that lines sort.
const stampForm = "2006-01-02T15:04:05.000Z"

func stamp(t time.Time) string { return t.UTC().Format(stampForm) }

// cutStamp parts the time off a line; ok is false where there is none.
func cutStamp(line string) (t time.Time, rest string, ok bool) {
	first, rest, found := strings.Cut(line, " ")
	if !found {
		return t, line, false
	}
	t, err := time.Parse(stampForm, first)
	if err != nil {
		return t, line, false
	}
	return t, rest, true
}

// levelName gives the four names that lines use, whatever lies between.
func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warning"
	}
	return "error"
}

func isLevel(s string) bool {
	return s == "debug" || s == "info" || s == "warning" || s == "error"
}

// Clean makes text fit to be a line: valid UTF-8, no control characters (each
// becomes a blank), bounded. What a peer sent can so neither start a line of
// its own nor speak to the terminal that shows it.
func Clean(text string) string {
	if len(text) > maxLine {
		cut := maxLine
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "…"
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.TrimRight(text, "\r\n"))
}
