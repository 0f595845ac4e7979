package mmp

import (
	"slices"
	"unicode"

	"golang.org/x/text/width"
)

// line is the text that is being edited and the place of the cursor in it. It
// knows nothing of the screen.
type line struct {
	text []rune
	pos  int
}

func (l *line) set(s string) {
	l.text = []rune(s)
	l.pos = len(l.text)
}

func (l *line) insert(r ...rune) {
	l.text = slices.Insert(l.text, l.pos, r...)
	l.pos += len(r)
}

// cut removes the text between two places, in either order.
func (l *line) cut(from, to int) {
	from, to = min(from, to), max(from, to)
	l.text = slices.Delete(l.text, from, to)
	l.pos = from
}

// left and right are the places one character away: a base with what combines
// with it moves as one.
func (l *line) left() int {
	i := l.pos
	for i > 0 {
		i--
		if cells(l.text[i]) > 0 {
			break
		}
	}
	return i
}

func (l *line) right() int {
	i := l.pos
	for i < len(l.text) {
		i++
		if i == len(l.text) || cells(l.text[i]) > 0 {
			break
		}
	}
	return i
}

func (l *line) wordLeft() int {
	i := l.pos
	for i > 0 && l.text[i-1] == ' ' {
		i--
	}
	for i > 0 && l.text[i-1] != ' ' {
		i--
	}
	return i
}

func (l *line) wordRight() int {
	i := l.pos
	for i < len(l.text) && l.text[i] == ' ' {
		i++
	}
	for i < len(l.text) && l.text[i] != ' ' {
		i++
	}
	return i
}

// edit does what k stands for and says whether k was its business.
func (l *line) edit(k key) bool {
	switch k {
	case keyLeft:
		l.pos = l.left()
	case keyRight:
		l.pos = l.right()
	case keyHome:
		l.pos = 0
	case keyEnd:
		l.pos = len(l.text)
	case keyWordLeft:
		l.pos = l.wordLeft()
	case keyWordRight:
		l.pos = l.wordRight()
	case keyBackspace:
		l.cut(l.left(), l.pos)
	case keyDelete:
		l.cut(l.pos, l.right())
	case keyKillToEnd:
		l.cut(l.pos, len(l.text))
	case keyKillToStart:
		l.cut(0, l.pos)
	case keyKillWord:
		l.cut(l.wordLeft(), l.pos)
	case keyKillWordRight:
		l.cut(l.pos, l.wordRight())
	default:
		if k >= keyNone || len(l.text) >= maxLine {
			return false
		}
		l.insert(rune(k))
	}
	return true
}

// cells is how many columns of a terminal a rune takes (UAX #11: wide and
// full-width take two; what combines takes none).
func cells(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
