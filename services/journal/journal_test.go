package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/config"
)

var noon = time.Date(2026, 11, 22, 20, 1, 2, 123e6, time.UTC)

// sink collects lines.
type sink struct {
	mu    sync.Mutex
	lines []string
}

func (s *sink) Line(l string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, Clean(l))
	return nil
}

func TestHandlerLines(t *testing.T) {
	for _, tt := range []struct {
		name string
		log  func(*slog.Logger)
		want string
	}{
		{"plain", func(l *slog.Logger) { l.Info("listening", "address", "10.0.0.1:5222") }, "info parley: listening address=10.0.0.1:5222"},
		{"component of the logger", func(l *slog.Logger) { l.With("component", "xmpp").Warn("slow") }, "warning xmpp: slow"},
		{"component of the record", func(l *slog.Logger) { l.Error("lost", "component", "raft", "n", 3) }, "error raft: lost n=3"},
		{"quoted", func(l *slog.Logger) { l.Debug("m", "k", `a "b"`, "e", "") }, `debug parley: m k="a \"b\"" e=""`},
		{"line break in a value", func(l *slog.Logger) { l.Info("m", "k", "a\nb") }, `info parley: m k="a\nb"`},
		{"line break in the message", func(l *slog.Logger) { l.Info("m\n2026 forged") }, "info parley: m 2026 forged"},
		{"group", func(l *slog.Logger) { l.WithGroup("g").With("a", 1).Info("m", slog.Group("h", "b", 2)) }, "info parley: m g.a=1 g.h.b=2"},
		{"error", func(l *slog.Logger) { l.Info("m", "err", fmt.Errorf("read x: %w", os.ErrNotExist)) }, `info parley: m err="read x: file does not exist"`},
		{"secret", func(l *slog.Logger) { l.Info("m", "s", config.Secret("hunter2")) }, "info parley: m s=***"},
		{"secret in a struct", func(l *slog.Logger) {
			l.Info("m", "s", struct{ P config.Secret }{"hunter2"})
		}, "info parley: m s={***}"},
		{"secret in a group", func(l *slog.Logger) { l.With(slog.Group("g", "s", config.Secret("hunter2"))).Info("m") }, "info parley: m g.s=***"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sink{}
			tt.log(slog.New(NewHandler(s, slog.LevelDebug)))
			if len(s.lines) != 1 {
				t.Fatalf("%d lines; want 1", len(s.lines))
			}
			_, got, ok := cutStamp(s.lines[0])
			if !ok || got != tt.want {
				t.Errorf("line = %q, stamp %v; want %q", got, ok, tt.want)
			}
		})
	}
}

func TestLevelsBelowAreLeftOut(t *testing.T) {
	s := &sink{}
	slog.New(NewHandler(s, slog.LevelWarn)).Info("quiet")
	if len(s.lines) != 0 {
		t.Errorf("lines = %q; want none", s.lines)
	}
}

func TestTake(t *testing.T) {
	const stamp = "2026-11-22T20:01:02.123Z "
	for _, tt := range []struct {
		name, service, line string
		mayAudit            bool
		syslog, audit       string
	}{
		{"own line", "xmpp", "2020-01-01T00:00:00.000Z info xmpp: up n=1", false, stamp + "info xmpp: up n=1", ""},
		{"part of the service", "xmpp", "2020-01-01T00:00:00.000Z info xmpp/raft: up", false, stamp + "info xmpp/raft: up", ""},
		{"another's name", "xmpp", "2020-01-01T00:00:00.000Z error sshd: up", false, stamp + "error xmpp/sshd: up", ""},
		{"crash", "xmpp", "panic: runtime error: index out of range", false, stamp + "error xmpp: panic: runtime error: index out of range", ""},
		{"empty", "xmpp", "", false, stamp + "error xmpp: ", ""},
		{"control characters", "xmpp", "a\x1b[2Jb", false, stamp + "error xmpp: a [2Jb", ""},
		{"audit", "sshd", "2020-01-01T00:00:00.000Z local0.info cb1 cli: User admin", true, "", stamp + "local0.info cb1 cli: User admin"},
		{"forged audit", "xmpp", "2020-01-01T00:00:00.000Z local0.info cb1 cli: User admin", false,
			stamp + "error xmpp: 2020-01-01T00:00:00.000Z local0.info cb1 cli: User admin", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sys, aud sink
			j := NewOn(&sys, &aud, nil)
			j.now = func() time.Time { return noon }
			if err := j.Take(tt.service, tt.line, tt.mayAudit); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(sys.lines, "|"); got != tt.syslog {
				t.Errorf("syslog = %q; want %q", got, tt.syslog)
			}
			if got := strings.Join(aud.lines, "|"); got != tt.audit {
				t.Errorf("audit = %q; want %q", got, tt.audit)
			}
		})
	}
}

func TestAuditLine(t *testing.T) {
	var b bytes.Buffer
	j := NewStream(&b)
	j.host = func() string { return "cb1" }
	j.now = func() time.Time { return noon }
	if err := j.Audit("admin", "10.0.0.9:63290", "pki list", Granted); err != nil {
		t.Fatal(err)
	}
	want := "2026-11-22T20:01:02.123Z local0.info cb1 cli: User admin from 10.0.0.9:63290 issued command < pki list>: permission granted\n"
	if got := b.String(); got != want {
		t.Errorf("Audit wrote %q; want %q", got, want)
	}
}

// small returns a log that rotates every few lines.
func small(t *testing.T, size int64) *File {
	t.Helper()
	f := NewFile(filepath.Join(t.TempDir(), "log", Syslog))
	f.size = size
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, f *File, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := f.Line(fmt.Sprintf("line %05d", i)); err != nil {
			t.Fatal(err)
		}
	}
}

func numbers(from, to int) []string {
	var s []string
	for i := from; i < to; i++ {
		s = append(s, fmt.Sprintf("line %05d", i))
	}
	return s
}

func TestRotationIsBounded(t *testing.T) {
	f := small(t, 110)
	write(t, f, 0, 1000)
	entries, err := os.ReadDir(filepath.Dir(f.path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if fi.Size() > 110 {
			t.Errorf("size of %s = %d; want at most 110", e.Name(), fi.Size())
		}
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{".syslog.lock", "syslog", "syslog.1", "syslog.2", "syslog.3"}, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestSync(t *testing.T) {
	f := small(t, 110)
	if err := f.Sync(); err != nil {
		t.Errorf("Sync of no file = %v; want nil", err)
	}
	// While lines are written and files rotated.
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 500 {
			if err := f.Line(fmt.Sprintf("line %05d", i)); err != nil {
				t.Error(err)
			}
		}
	}()
	for range 50 {
		if err := f.Sync(); err != nil {
			t.Errorf("Sync = %v; want nil", err)
		}
	}
	<-done
	j := New(t.TempDir(), nil)
	if err := j.Audit("admin", "ttyS0", "version", Granted); err != nil {
		t.Errorf("Audit = %v; want nil", err)
	}
}

func TestTailAcrossFiles(t *testing.T) {
	f := small(t, 110)
	r := NewReader(f.path)
	if got, _, err := r.Tail(5); len(got) != 0 || err != nil {
		t.Fatalf("Tail of no file = %q, %v; want none", got, err)
	}
	write(t, f, 0, 35)
	for _, tt := range []struct{ n, from int }{{0, 35}, {1, 34}, {5, 30}, {7, 28}, {25, 10}, {100, 0}} {
		got, _, err := r.Tail(tt.n)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(numbers(tt.from, 35), got); diff != "" {
			t.Errorf("Tail(%d) (-want +got):\n%s", tt.n, diff)
		}
	}
}

func TestTailOfLargeFile(t *testing.T) {
	f := small(t, 8<<20)
	long := strings.Repeat("x", 5000)
	for range 100 {
		if err := f.Line(long); err != nil {
			t.Fatal(err)
		}
	}
	got, _, err := NewReader(f.path).Tail(50)
	if err != nil || len(got) != 50 || got[0] != long {
		t.Errorf("Tail(50) = %d lines, %v; want 50 whole lines", len(got), err)
	}
}

func TestFollowSurvivesRotation(t *testing.T) {
	f := small(t, 8<<10)
	write(t, f, 0, 10)
	r := NewReader(f.path)
	_, from, err := r.Tail(3)
	if err != nil {
		t.Fatal(err)
	}
	// Three rotations happen before the follower looks again; it must miss
	// nothing of what is still kept.
	write(t, f, 10, 2500)
	stop := errors.New("enough")
	var got []string
	err = r.Follow(t.Context(), from, func(line string) error {
		got = append(got, line)
		if len(got) == 2500-10 {
			write(t, f, 2500, 2600)
		}
		if len(got) == 2600-10 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Fatalf("Follow = %v; want %v", err, stop)
	}
	if diff := cmp.Diff(numbers(10, 2600), got); diff != "" {
		t.Errorf("followed (-want +got):\n%s", diff)
	}
}

func TestFollowWhileManyWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), Syslog)
	const writers, each = 4, 500
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			// A File each, as processes would have.
			f := NewFile(path)
			f.size = 20 << 10
			defer f.Close()
			for i := range each {
				if err := f.Line(fmt.Sprintf("writer %d line %d", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	next := map[int]int{}
	n := 0
	err := NewReader(path).Follow(ctx, Position{}, func(line string) error {
		var w, i int
		if _, err := fmt.Sscanf(line, "writer %d line %d", &w, &i); err != nil {
			return fmt.Errorf("torn line %q", line)
		}
		if i != next[w] {
			return fmt.Errorf("line %d of writer %d; want %d", i, w, next[w])
		}
		next[w]++
		if n++; n == writers*each {
			cancel()
		}
		return nil
	})
	wg.Wait()
	if n != writers*each {
		t.Errorf("followed %d lines, %v; want %d", n, err, writers*each)
	}
}

func TestWhatAPowerCutLeaves(t *testing.T) {
	zeros := strings.Repeat("\x00", 10000)
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"half a line", "whole\nhal", []string{"whole", "hal", "next"}},
		{"zeros after a line", "whole\n" + zeros, []string{"whole", "next"}},
		{"zeros after half a line", "whole\nhal" + zeros, []string{"whole", "hal", "next"}},
		{"zeros only", zeros, []string{"next"}},
		{"nothing", "", []string{"next"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := small(t, 1<<20)
			if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(f.path, []byte(tt.text), 0o640); err != nil {
				t.Fatal(err)
			}
			if err := f.Line("next"); err != nil {
				t.Fatal(err)
			}
			got, _, err := NewReader(f.path).Tail(9)
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("Tail, %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestLongLineIsCut(t *testing.T) {
	got := Clean(strings.Repeat("é", maxLine))
	if len(got) > maxLine+3 || !strings.HasSuffix(got, "é…") {
		t.Errorf("Clean = %d bytes ending %q; want at most %d, cut between letters", len(got), got[len(got)-6:], maxLine+3)
	}
}
