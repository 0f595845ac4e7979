package mmp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// errInterrupt is a line that was given up with Ctrl-C.
var errInterrupt = errors.New("interrupted")

// Terminal is a tty in raw mode, or an SSH channel with a pty. Size is in
// columns and rows, 0 where unknown. Resized may be nil.
type Terminal interface {
	io.ReadWriter
	Size() (width, height int)
	Resized() <-chan struct{}
}

// editor reads lines from a terminal. It is for one goroutine.
type editor struct {
	t       Terminal
	in      *input
	keys    keyDecoder
	history []string

	// The line on the screen: what is before it, and the row of the cursor
	// counted from the prompt's.
	prompt string
	line   line
	row    int
}

func newEditor(t Terminal) *editor { return &editor{t: t, in: newInput(t)} }

// maxHistory is the most lines that a session remembers.
const maxHistory = 500

// completion says how to go on from the first pos runes of a line: the
// replacement of its last word, from rune start on, by each of candidates.
type completion struct {
	start      int
	candidates []candidate
}

// candidate is one way to complete a word. A word that is not whole yet gets
// no blank after it.
type candidate struct {
	text string
	part bool
}

// readLine reads a line with editing and history; complete may be nil. It
// returns errInterrupt at Ctrl-C and io.EOF at Ctrl-D on an empty line.
func (e *editor) readLine(ctx context.Context, prompt string, complete func(line string) completion) (string, error) {
	e.start(prompt)
	at, pending := len(e.history), ""
	recall := func(to int) {
		if to < 0 || to > len(e.history) {
			return
		}
		if at == len(e.history) {
			pending = string(e.line.text)
		}
		at = to
		if at == len(e.history) {
			e.line.set(pending)
		} else {
			e.line.set(e.history[at])
		}
		e.draw()
	}
	for {
		k, err := e.key(ctx, e.draw)
		if err != nil {
			return "", err
		}
		switch k {
		case keyEnter:
			e.finish("")
			s := string(e.line.text)
			e.remember(s)
			return s, nil
		case keyInterrupt:
			e.finish("^C")
			return "", errInterrupt
		case keyEOF:
			if len(e.line.text) == 0 {
				e.finish("")
				return "", io.EOF
			}
			e.line.edit(keyDelete)
			e.draw()
		case keyUp:
			recall(at - 1)
		case keyDown:
			recall(at + 1)
		case keyTab:
			if complete != nil {
				e.complete(complete)
			}
		case keyClear:
			fmt.Fprint(e.t, "\x1b[H\x1b[2J")
			e.row = 0
			e.draw()
		default:
			e.put(k)
		}
	}
}

// readSecret reads a line without echo. It is in no history.
func (e *editor) readSecret(ctx context.Context, prompt string) (string, error) {
	fmt.Fprint(e.t, prompt)
	var l line
	defer func() { clear(l.text[:cap(l.text)]) }()
	for {
		k, err := e.key(ctx, nil)
		if err != nil {
			return "", err
		}
		switch k {
		case keyEnter:
			fmt.Fprint(e.t, "\r\n")
			return string(l.text), nil
		case keyInterrupt:
			fmt.Fprint(e.t, "^C\r\n")
			return "", errInterrupt
		case keyEOF:
			if len(l.text) == 0 {
				fmt.Fprint(e.t, "\r\n")
				return "", io.EOF
			}
		case keyBackspace, keyKillToStart:
			l.edit(k)
		default:
			if k < keyNone {
				l.edit(k)
			}
		}
	}
}

func (e *editor) key(ctx context.Context, resized func()) (key, error) {
	for {
		b, err := e.in.next(ctx, e.t.Resized(), resized)
		if err != nil {
			return keyNone, err
		}
		if k := e.keys.feed(b); k != keyNone {
			return k, nil
		}
	}
}

func (e *editor) remember(s string) {
	if strings.TrimSpace(s) == "" || len(e.history) > 0 && e.history[len(e.history)-1] == s {
		return
	}
	e.history = append(e.history, s)
	if len(e.history) > maxHistory {
		e.history = slices.Delete(e.history, 0, 1)
	}
}

func (e *editor) start(prompt string) {
	e.prompt, e.row = prompt, 0
	e.line.set("")
	fmt.Fprint(e.t, prompt)
}

// finish leaves the line on the screen, with mark after it, and goes below. It
// writes no second prompt: programs that drive a console wait for one.
func (e *editor) finish(mark string) {
	if e.line.pos < len(e.line.text) {
		e.line.pos = len(e.line.text)
		e.draw()
	}
	fmt.Fprint(e.t, mark+"\r\n")
}

// put is the common case, a character at the end of the line, which is just
// written; anything else draws the line anew.
func (e *editor) put(k key) {
	atEnd := e.line.pos == len(e.line.text)
	if !e.line.edit(k) {
		return
	}
	if !atEnd || k >= keyNone {
		e.draw()
		return
	}
	out := string(rune(k))
	row, col, _ := e.place(e.line.pos)
	if col == 0 && row > 0 && cells(rune(k)) > 0 {
		// A terminal stays in the last column until something follows.
		out += "\r\n"
	}
	e.row = row
	fmt.Fprint(e.t, out)
}

// place returns the row and column, counted from the prompt's start, of the
// cursor before the line's rune number n. A wide rune that does not fit in the
// last column starts the next row, and so does the cursor after a full row.
func (e *editor) place(n int) (row, col, columns int) {
	columns, _ = e.t.Size()
	if columns <= 0 {
		columns = 80
	}
	for _, r := range slices.Concat([]rune(e.prompt), e.line.text[:n]) {
		w := cells(r)
		if col+w > columns {
			row, col = row+1, 0
		}
		col += w
	}
	if col >= columns {
		row, col = row+1, 0
	}
	return row, col, columns
}

// draw writes prompt and line again, from the row where the prompt is.
func (e *editor) draw() {
	var b strings.Builder
	if e.row > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", e.row)
	}
	// Cleared first, not after: a wide rune that wraps leaves the last column
	// as it was.
	b.WriteString("\r\x1b[J" + e.prompt + string(e.line.text))
	endRow, endCol, _ := e.place(len(e.line.text))
	if endCol == 0 && endRow > 0 {
		b.WriteString("\r\n")
	}
	row, col, _ := e.place(e.line.pos)
	if row < endRow {
		fmt.Fprintf(&b, "\x1b[%dA", endRow-row)
	}
	b.WriteString("\r")
	if col > 0 {
		fmt.Fprintf(&b, "\x1b[%dC", col)
	}
	e.row = row
	fmt.Fprint(e.t, b.String())
}

// complete does what Tab does: the part that all candidates share is filled
// in; where that is nothing, they are listed below the line.
func (e *editor) complete(complete func(string) completion) {
	c := complete(string(e.line.text[:e.line.pos]))
	if len(c.candidates) == 0 {
		fmt.Fprint(e.t, "\a")
		return
	}
	shared := []rune(c.candidates[0].text)
	for _, o := range c.candidates[1:] {
		n := 0
		for _, r := range o.text {
			if n == len(shared) || shared[n] != r {
				break
			}
			n++
		}
		shared = shared[:n]
	}
	if len(c.candidates) == 1 && !c.candidates[0].part && !(e.line.pos < len(e.line.text) && e.line.text[e.line.pos] == ' ') {
		shared = append(shared, ' ')
	}
	typed := e.line.text[c.start:e.line.pos]
	if string(typed) != string(shared) && (len(shared) > len(typed) || len(c.candidates) == 1) {
		if added, ok := strings.CutPrefix(string(shared), string(typed)); ok {
			for _, r := range added {
				e.put(key(r))
			}
			return
		}
		e.line.cut(c.start, e.line.pos)
		e.line.insert(shared...)
		e.draw()
		return
	}
	if len(c.candidates) > 1 {
		e.list(c.candidates)
	}
}

// list shows candidates in columns, and the line again below them.
func (e *editor) list(cs []candidate) {
	_, _, columns := e.place(0)
	wide := 0
	for _, c := range cs {
		n := 0
		for _, r := range c.text {
			n += cells(r)
		}
		wide = max(wide, n+2)
	}
	perRow := max(1, columns/wide)
	rows := (len(cs) + perRow - 1) / perRow
	pos := e.line.pos
	e.finish("")
	var b strings.Builder
	for r := range rows {
		for i := r; i < len(cs); i += rows {
			b.WriteString(cs[i].text)
			if i+rows < len(cs) {
				n := 0
				for _, c := range cs[i].text {
					n += cells(c)
				}
				b.WriteString(strings.Repeat(" ", wide-n))
			}
		}
		b.WriteString("\r\n")
	}
	fmt.Fprint(e.t, b.String())
	e.line.pos, e.row = pos, 0
	e.draw()
}
