package eventlog

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/eventlog/eventlogapi"
	"parley/services/problem"
)

func TestFaults(t *testing.T) {
	f := newFolder(t)
	c, stop := f.running(&lookout{})
	defer stop()
	at := func(n int) time.Time { return time.Date(2026, 11, 22, 20, n, 0, 0, time.UTC) }
	raise := func(key, message string, since time.Time) {
		t.Helper()
		must(t, c.Raise(t.Context(), eventlogapi.Fault{Key: key, Message: message, Since: since}))
	}
	faults := func() string {
		fs, err := c.Faults(t.Context())
		must(t, err)
		text := ""
		for _, f := range fs {
			text += f.Since.Format("15:04 ") + f.Key + " " + f.Message + "\n"
		}
		return text
	}
	raise("b", "second", at(2))
	raise("a", "first", at(1))
	raise("c", "third", at(2))
	raise("b", "second, reworded", at(5))
	if got, want := faults(), "20:01 a first\n20:02 b second, reworded\n20:02 c third\n"; got != want {
		t.Errorf("faults:\n%swant:\n%s", got, want)
	}
	must(t, c.Drop(t.Context(), "b"))
	must(t, c.Drop(t.Context(), "nothing"))
	raise("b", "again", at(9))
	if got, want := faults(), "20:01 a first\n20:02 c third\n20:09 b again\n"; got != want {
		t.Errorf("faults:\n%swant:\n%s", got, want)
	}
	for _, bad := range []eventlogapi.Fault{{Message: "x"}, {Key: "x"}} {
		if err := c.Raise(t.Context(), bad); problem.CodeOf(err) != problem.Internal {
			t.Errorf("Raise(%v) = %v; want that it is refused", bad, err)
		}
	}
	raise("now", "since now", time.Time{})
	if fs, _ := c.Faults(t.Context()); time.Since(fs[len(fs)-1].Since) > time.Minute {
		t.Errorf("fault without Since has %v; want now", fs[len(fs)-1].Since)
	}
}

func TestFaultsAreBounded(t *testing.T) {
	s := newFolder(t).opened(&lines{})
	s.cfg.Board, s.board.path = "", ""
	for i := range maxFaults {
		must(t, s.Raise(t.Context(), eventlogapi.Fault{Key: string(rune('a' + i)), Message: "x"}))
	}
	if err := s.Raise(t.Context(), eventlogapi.Fault{Key: "one more", Message: "x"}); !errors.Is(err, errManyFaults) {
		t.Errorf("Raise of one more = %v; want %v", err, errManyFaults)
	}
	if err := s.Raise(t.Context(), eventlogapi.Fault{Key: "a", Message: "y"}); err != nil {
		t.Errorf("Raise of one that is there = %v; want nil", err)
	}
}

func TestDamagedBoard(t *testing.T) {
	f := newFolder(t)
	must(t, os.WriteFile(f.config().Board, []byte(`{"faults":[{`), 0o600))
	s := f.opened(&lines{})
	must(t, s.Raise(t.Context(), eventlogapi.Fault{Key: "a", Message: "x"}))
	again := f.opened(&lines{})
	if fs, _ := again.Faults(t.Context()); len(fs) != 1 || fs[0].Key != "a" {
		t.Errorf("Faults = %v; want a", fs)
	}
}

func TestTraces(t *testing.T) {
	f := newFolder(t)
	synctest.Test(t, func(t *testing.T) {
		s := folder{t, f.path}.opened(&lines{})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.tidy(ctx) })
		must(t, s.Trace(ctx, "xmpp", time.Minute))
		must(t, s.Trace(ctx, "Active control", 10*time.Minute))
		time.Sleep(30 * time.Second)
		// Longer, and no news.
		must(t, s.Trace(ctx, "xmpp", time.Minute))
		time.Sleep(59 * time.Second)
		if ts, _ := s.Traces(ctx); len(ts) != 2 {
			t.Errorf("Traces = %v; want both", ts)
		}
		time.Sleep(3 * time.Second)
		if ts, _ := s.Traces(ctx); len(ts) != 1 || ts["Active control"].IsZero() {
			t.Errorf("Traces = %v; want Active control alone", ts)
		}
		must(t, s.Trace(ctx, "Active control", 0))
		must(t, s.Trace(ctx, "dns", 0))
		want := []string{
			"Info Active control tracing now disabled", "Info xmpp tracing now disabled",
			"Info Active control tracing now enabled", "Info xmpp tracing now enabled",
		}
		if diff := cmp.Diff(want, messages(t, s)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		cancel()
		running.Wait()
	})
}

func TestTraceRefusals(t *testing.T) {
	s := newFolder(t).opened(&lines{})
	for _, tt := range []struct {
		subsystem string
		d         time.Duration
		want      problem.Code
	}{
		{"", time.Minute, problem.TraceSubsystem}, {"x\n", time.Minute, problem.TraceSubsystem}, {" x", time.Minute, problem.TraceSubsystem},
		{strings.Repeat("x", 41), time.Minute, problem.TraceSubsystem}, {"xmpp", 24*time.Hour + 1, problem.TraceTime},
		{"xmpp", 24 * time.Hour, ""},
	} {
		if err := s.Trace(t.Context(), tt.subsystem, tt.d); problem.CodeOf(err) != tt.want {
			t.Errorf("Trace(%q, %v) = %v; want %q", tt.subsystem, tt.d, err, tt.want)
		}
	}
	for i := range maxTraces - 1 {
		must(t, s.Trace(t.Context(), "s"+strings.Repeat("x", i%38)+string(rune('a'+i/38)), time.Hour))
	}
	if err := s.Trace(t.Context(), "one more", time.Hour); problem.CodeOf(err) != problem.TraceMany {
		t.Errorf("Trace of one more = %v; want TraceMany", err)
	}
}
