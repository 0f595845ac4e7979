package mmp

import (
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// screen is a terminal of a few rows as VT100 and xterm have it: the cursor
// stays in the last column until the next character, and what leaves the top
// is kept as scrolled-off lines.
type screen struct {
	width, height int
	rows          [][]rune
	top           []string
	row, col      int
	pending       bool
	raw           strings.Builder
}

func newScreen(width, height int) *screen {
	return &screen{width: width, height: height, rows: make([][]rune, height)}
}

func (s *screen) Write(p []byte) (int, error) {
	s.raw.Write(p)
	for b := p; len(b) > 0; {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == '\r':
			s.col, s.pending = 0, false
		case r == '\n':
			s.down()
			s.pending = false
		case r == '\a':
		case r == 0x1b:
			n = s.escape(b)
		default:
			s.put(r)
		}
		b = b[n:]
	}
	return len(p), nil
}

func (s *screen) down() {
	if s.row < s.height-1 {
		s.row++
		return
	}
	s.top = append(s.top, string(s.rows[0]))
	copy(s.rows, s.rows[1:])
	s.rows[s.height-1] = nil
}

// put writes a rune; the second cell of a wide one holds 0.
func (s *screen) put(r rune) {
	w := cells(r)
	if w == 0 {
		return
	}
	if s.pending || s.col+w > s.width {
		s.col, s.pending = 0, false
		s.down()
	}
	for len(s.rows[s.row]) < s.col+w {
		s.rows[s.row] = append(s.rows[s.row], ' ')
	}
	s.rows[s.row][s.col] = r
	if w == 2 {
		s.rows[s.row][s.col+1] = 0
	}
	s.col += w
	if s.col >= s.width {
		s.col, s.pending = s.width-1, true
	}
}

func (s *screen) escape(b []byte) int {
	i := 2
	for i < len(b) && (b[i] < 0x40 || b[i] > 0x7e) {
		i++
	}
	count, err := strconv.Atoi(string(b[2:i]))
	if err != nil {
		count = 1
	}
	s.pending = false
	switch b[i] {
	case 'A':
		s.row = max(0, s.row-count)
	case 'C':
		s.col = min(s.width-1, s.col+count)
	case 'H':
		s.row, s.col = 0, 0
	case 'J':
		if string(b[2:i]) == "2" {
			s.rows = make([][]rune, s.height)
			break
		}
		if len(s.rows[s.row]) > s.col {
			s.rows[s.row] = s.rows[s.row][:s.col]
		}
		for j := s.row + 1; j < s.height; j++ {
			s.rows[j] = nil
		}
	default:
		panic("the test's screen does not know ESC " + string(b[1:i+1]))
	}
	return i + 1
}

// text is what is on the screen, without empty rows at the end, with | where
// the cursor is.
func (s *screen) text() string {
	var lines []string
	for i, r := range s.rows {
		line := []rune(string(r))
		if i == s.row {
			at := s.col
			if s.pending {
				at++
			}
			for len(line) < at {
				line = append(line, ' ')
			}
			line = append(line[:at:at], append([]rune{'|'}, line[at:]...)...)
		}
		lines = append(lines, strings.ReplaceAll(string(line), "\x00", ""))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// all is everything that was ever shown.
func (s *screen) all() string {
	return strings.Join(append(append([]string{}, s.top...), s.text()), "\n")
}

// fakeTerminal is a Terminal whose keyboard is a pipe and whose screen can be
// looked at.
type fakeTerminal struct {
	in      *io.PipeReader
	keys    *io.PipeWriter
	resized chan struct{}

	mu     sync.Mutex
	screen *screen
}

func newFakeTerminal(t testing.TB, width, height int) *fakeTerminal {
	r, w := io.Pipe()
	t.Cleanup(func() { w.Close() })
	return &fakeTerminal{in: r, keys: w, resized: make(chan struct{}, 1), screen: newScreen(width, height)}
}

func (f *fakeTerminal) Read(p []byte) (int, error) { return f.in.Read(p) }

func (f *fakeTerminal) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.screen.Write(p)
}

func (f *fakeTerminal) Close() error { return f.in.Close() }

func (f *fakeTerminal) Size() (int, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.screen.width, f.screen.height
}

func (f *fakeTerminal) Resized() <-chan struct{} { return f.resized }

// typ is typing.
func (f *fakeTerminal) typ(t testing.TB, s string) {
	t.Helper()
	if _, err := io.WriteString(f.keys, s); err != nil {
		t.Fatalf("type %q: %v", s, err)
	}
}

// wait waits until the screen shows want somewhere, ever.
func (f *fakeTerminal) wait(t testing.TB, want string) {
	t.Helper()
	f.until(t, want, func(s *screen) bool { return strings.Contains(s.all(), want) })
}

// waitScreen waits until the screen is want, as text writes it.
func (f *fakeTerminal) waitScreen(t testing.TB, want string) {
	t.Helper()
	f.until(t, want, func(s *screen) bool { return s.text() == want })
}

func (f *fakeTerminal) until(t testing.TB, want string, ok func(*screen) bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		f.mu.Lock()
		done, now, raw := ok(f.screen), f.screen.all(), f.screen.raw.String()
		f.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("screen:\n%s\nwant:\n%s\nwritten: %q", now, want, raw)
		}
		time.Sleep(time.Millisecond)
	}
}

// forget starts what wait looks at anew.
func (f *fakeTerminal) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.screen = newScreen(f.screen.width, f.screen.height)
}
