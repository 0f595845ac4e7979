package mmp

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
)

// read runs readLine on a terminal and returns where its outcome will be.
func read(t *testing.T, f *fakeTerminal, ed *editor, complete func(string) completion) <-chan string {
	t.Helper()
	got := make(chan string, 1)
	go func() {
		s, err := ed.readLine(context.Background(), "cb1> ", complete)
		if err != nil {
			s = err.Error()
		}
		got <- s
	}()
	return got
}

const (
	up, down, right, left = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
	home, end, del        = "\x1b[H", "\x1bOF", "\x1b[3~"
)

func TestEditing(t *testing.T) {
	tests := []struct {
		name, keys, screen, line string
	}{
		{"plain", "xmpp", "cb1> xmpp|", "xmpp"},
		{"backspace", "xmppp\x7f", "cb1> xmpp|", "xmpp"},
		{"insert", "xpp" + left + left + "m", "cb1> xm|pp", "xmpp"},
		{"home and end", "mpp" + home + "x" + end + "!", "cb1> xmpp!|", "xmpp!"},
		{"delete", "xxmpp" + home + del, "cb1> |xmpp", "xmpp"},
		{"Ctrl-D deletes in a line", "xxmpp\x01\x04", "cb1> |xmpp", "xmpp"},
		{"kill word", "xmpp listen a\x17\x17", "cb1> xmpp |", "xmpp "},
		{"kill to start", "rubbish" + left + "\x15", "cb1> |h", "h"},
		{"kill to end", "xmpp rubbish\x1bb\x0b", "cb1> xmpp |", "xmpp "},
		{"words", "a bc d\x1bb\x1bbX\x1bfY", "cb1> a XbcY| d", "a XbcY d"},
		{"beyond the ends", "\x7f" + left + "ab" + right + right + del, "cb1> ab|", "ab"},
		{"unknown sequences", "a\x1b[15~\x1b[200;1zb\x1b[[Ac\x1bOPd", "cb1> abcd|", "abcd"},
		{"two bytes", "Jürgen" + left + left + left + left + left + "\x7f", "cb1> |ürgen", "ürgen"},
		{"wide", "日本語" + left + "x", "cb1> 日本x|語", "日本x語"},
		{"combining", "e\u0301a" + left + "\x7f", "cb1> |a", "a"},
		{"not UTF-8", "a\xff\xc3(b", "cb1> a(b|", "a(b"},
		{"control characters", "a\x00\x1fb", "cb1> ab|", "ab"},
		{"wraps", "0123456789abcdefghij", "cb1> 0123456789abcde\nfghij|", "0123456789abcdefghij"},
		{"ends in the last column", "0123456789abcde", "cb1> 0123456789abcde\n|", "0123456789abcde"},
		{"back over the wrap", "0123456789abcdefg" + left + left + left + "X", "cb1> 0123456789abcdX\n|efg", "0123456789abcdXefg"},
		{"shortens over the wrap", "0123456789abcdefg\x17", "cb1> |", ""},
		{"wide at the edge", "0123456789abcd日x", "cb1> 0123456789abcd\n日x|", "0123456789abcd日x"},
		{"clear", "abc\x0c", "cb1> abc|", "abc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeTerminal(t, 20, 6)
			got := read(t, f, newEditor(f), nil)
			f.typ(t, tt.keys)
			f.waitScreen(t, tt.screen)
			f.typ(t, "\r")
			if line := <-got; line != tt.line {
				t.Errorf("line = %q; want %q", line, tt.line)
			}
		})
	}
}

// TestScreenIsTheLine types at random and compares the screen with a line that
// was written by itself.
func TestScreenIsTheLine(t *testing.T) {
	keys := []string{"a", "b", " ", "ü", "語", "\u0301", left, right, "\x7f", del, home, end, "\x17", "\x1bb", "xyz1234567"}
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		width := 9 + int(seed%13)
		f := newFakeTerminal(t, width, 40)
		ed := newEditor(f)
		got := read(t, f, ed, nil)
		var typed strings.Builder
		for range 80 {
			k := keys[rnd.IntN(len(keys))]
			typed.WriteString(k)
			f.typ(t, k)
		}
		f.typ(t, end+"!")
		f.typ(t, "\r")
		line := <-got
		want := newScreen(width, 40)
		_, _ = want.Write([]byte("cb1> " + line))
		if want.pending {
			_, _ = want.Write([]byte("\r\n"))
		}
		_, _ = want.Write([]byte("\r\n"))
		f.waitScreen(t, want.text())
	}
}

func TestHistory(t *testing.T) {
	f := newFakeTerminal(t, 40, 8)
	ed := newEditor(f)
	for _, l := range []string{"pki list", "pki list", "  ", "xmpp"} {
		got := read(t, f, ed, nil)
		f.typ(t, l+"\r")
		<-got
	}
	f.forget()
	got := read(t, f, ed, nil)
	f.typ(t, "half"+up)
	f.waitScreen(t, "cb1> xmpp|")
	f.typ(t, up+up+up)
	f.waitScreen(t, "cb1> pki list|")
	f.typ(t, down+down+down)
	f.waitScreen(t, "cb1> half|")
	f.typ(t, up+up+" x\r")
	if line := <-got; line != "pki list x" {
		t.Errorf("line = %q; want the recalled one, changed", line)
	}
}

func TestTab(t *testing.T) {
	words := []string{"xmpp", "xmpp-old", "ping", "CN:", "Jürgen"}
	complete := func(line string) completion {
		at := strings.LastIndexByte(line, ' ') + 1
		c := completion{start: len([]rune(line[:at]))}
		for _, w := range words {
			if strings.HasPrefix(w, line[at:]) {
				c.candidates = append(c.candidates, candidate{w, strings.HasSuffix(w, ":")})
			}
		}
		return c
	}
	tests := []struct{ name, keys, screen string }{
		{"one", "pi\t", "cb1> ping |"},
		{"shared part", "x\t", "cb1> xmpp|"},
		{"list", "x\t\t", "cb1> xmpp\nxmpp      xmpp-old\ncb1> xmpp|"},
		{"none", "quark\t", "cb1> quark|"},
		{"part of a word", "C\t", "cb1> CN:|"},
		{"within the line", "ü pi x" + left + left + "\t", "cb1> ü ping| x"},
		{"multi-byte", "J\t", "cb1> Jürgen |"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeTerminal(t, 30, 8)
			got := read(t, f, newEditor(f), complete)
			f.typ(t, tt.keys)
			f.waitScreen(t, tt.screen)
			f.typ(t, "\r")
			<-got
		})
	}
}

func TestEnds(t *testing.T) {
	f := newFakeTerminal(t, 30, 8)
	ed := newEditor(f)
	got := read(t, f, ed, nil)
	f.typ(t, "half a line\x03")
	if s := <-got; s != errInterrupt.Error() {
		t.Errorf("Ctrl-C: %s; want %v", s, errInterrupt)
	}
	f.waitScreen(t, "cb1> half a line^C\n|")
	got = read(t, f, ed, nil)
	f.typ(t, "one\r\ntwo\nthree\r")
	for _, want := range []string{"one", "two", "three"} {
		if s := <-got; s != want {
			t.Errorf("pasted line = %q; want %q", s, want)
		}
		if want != "three" {
			got = read(t, f, ed, nil)
		}
	}
	got = read(t, f, ed, nil)
	f.typ(t, "\x04")
	if s := <-got; s != io.EOF.Error() {
		t.Errorf("Ctrl-D: %s; want EOF", s)
	}
	got = read(t, f, ed, nil)
	f.keys.Close()
	if s := <-got; s != io.EOF.Error() {
		t.Errorf("hang-up: %s; want EOF", s)
	}
}

func TestSecretIsNotShown(t *testing.T) {
	f := newFakeTerminal(t, 30, 8)
	ed := newEditor(f)
	got := make(chan string)
	go func() {
		s, err := ed.readSecret(context.Background(), "Password: ")
		if err != nil {
			s = err.Error()
		}
		got <- s
	}()
	f.typ(t, "Sommär"+up+"x\x7f2026\t\r")
	if s := <-got; s != "Sommär2026" {
		t.Errorf("secret = %q; want Sommär2026", s)
	}
	f.waitScreen(t, "Password: \n|")
	if len(ed.history) != 0 {
		t.Errorf("history = %q; want none", ed.history)
	}
}

func TestResize(t *testing.T) {
	f := newFakeTerminal(t, 30, 8)
	got := read(t, f, newEditor(f), nil)
	f.typ(t, "0123456789abcdefghij")
	f.waitScreen(t, "cb1> 0123456789abcdefghij|")
	f.mu.Lock()
	f.screen.width = 15
	f.screen.rows = make([][]rune, 8)
	f.screen.row, f.screen.col = 0, 0
	f.mu.Unlock()
	f.resized <- struct{}{}
	f.waitScreen(t, "cb1> 0123456789\nabcdefghij|")
	f.typ(t, "\r")
	<-got
}

func TestReadStopsWithContext(t *testing.T) {
	f := newFakeTerminal(t, 30, 8)
	ed := newEditor(f)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ed.readLine(ctx, "> ", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("readLine = %v; want context.Canceled", err)
	}
	ed.in.close()
	if ed.in.reading {
		t.Error("a Read is still under way after close")
	}
}

// FuzzKeys feeds the editor arbitrary bytes: it must neither fail nor give a
// line with control characters.
func FuzzKeys(f *testing.F) {
	for _, s := range []string{"xmpp\r", "\x1b[A\x1b[", "\x1bO\r", "\xe6\x97", "\x1b[3~\x1b[1;5C"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, keys []byte) {
		term := struct {
			io.Reader
			*screen
		}{strings.NewReader(string(keys)), newScreen(11, 50)}
		ed := newEditor(fixed{term.Reader, term.screen})
		for {
			line, err := ed.readLine(context.Background(), "> ", nil)
			if errors.Is(err, io.EOF) && ed.in.err != nil {
				return
			}
			if strings.ContainsFunc(line, unicode.IsControl) {
				t.Fatalf("line %q of keys %q has control characters", line, keys)
			}
		}
	})
}

// fixed is a Terminal whose input is known.
type fixed struct {
	io.Reader
	s *screen
}

func (f fixed) Write(p []byte) (int, error) { return f.s.Write(p) }
func (f fixed) Size() (int, int)            { return f.s.width, f.s.height }
func (f fixed) Resized() <-chan struct{}    { return nil }
