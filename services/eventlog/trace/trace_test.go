package trace

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// source is an event log; gone, it does not answer.
type source struct {
	mu     sync.Mutex
	traces map[string]time.Time
	gone   bool
}

func (s *source) Traces(context.Context) (map[string]time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return nil, errors.New("gone")
	}
	return s.traces, nil
}

func (s *source) set(traces map[string]time.Time, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.traces, s.gone = traces, gone
}

// traced runs f in a bubble with a tracer of XMPP and a log at info.
func traced(t *testing.T, f func(*source, *slog.Logger, *bytes.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		src, out := &source{}, &bytes.Buffer{}
		tracer := New(XMPP, src)
		log := tracer.Logger(slog.New(slog.NewTextHandler(out, nil))).With("component", "edge")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- tracer.Run(ctx) }()
		synctest.Wait()
		f(src, log, out)
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	})
}

func TestDebugIsInfoDuringATrace(t *testing.T) {
	traced(t, func(src *source, log *slog.Logger, out *bytes.Buffer) {
		wants := func(when string, want bool) {
			t.Helper()
			time.Sleep(askEvery)
			synctest.Wait()
			out.Reset()
			log.Debug("stanza in", "name", "message")
			if got := strings.Contains(out.String(), `level=INFO msg="stanza in" component=edge name=message traced=XMPP`); got != want {
				t.Errorf("%s: traced = %v; want %v: %s", when, got, want, out)
			}
			if enabled := log.Enabled(t.Context(), slog.LevelDebug); enabled != want {
				t.Errorf("%s: enabled = %v; want %v", when, enabled, want)
			}
		}
		wants("before", false)
		src.set(map[string]time.Time{DNS: time.Now().Add(time.Hour)}, false)
		wants("with another subsystem's", false)
		src.set(map[string]time.Time{XMPP: time.Now().Add(time.Hour)}, false)
		wants("during", true)
		src.set(nil, true)
		wants("while the event log is gone", true)
		time.Sleep(time.Hour)
		wants("past the end, with the event log gone", false)
		src.set(map[string]time.Time{XMPP: time.Now().Add(time.Hour)}, false)
		wants("during another", true)
		src.set(nil, false)
		wants("after", false)
	})
}

func TestOtherLevelsAreAsTheyWere(t *testing.T) {
	traced(t, func(src *source, log *slog.Logger, out *bytes.Buffer) {
		src.set(map[string]time.Time{XMPP: time.Now().Add(time.Hour)}, false)
		time.Sleep(askEvery)
		synctest.Wait()
		log.Warn("slow")
		if got := out.String(); !strings.Contains(got, "level=WARN msg=slow") || strings.Contains(got, "traced") {
			t.Errorf("a warning during a trace = %q; want it as without", got)
		}
		if out.Reset(); log.Enabled(t.Context(), slog.LevelDebug-1) {
			t.Error("what is below debug is enabled; want it left out")
		}
		log.WithGroup("g").Debug("m", "a", 1)
		if got := out.String(); !strings.Contains(got, "g.a=1 g.traced=XMPP") {
			t.Errorf("in a group = %q; want the group kept", got)
		}
	})
}

// TestFloodIsBounded: a busy server's trace is cut, and says how much.
func TestFloodIsBounded(t *testing.T) {
	traced(t, func(src *source, log *slog.Logger, out *bytes.Buffer) {
		src.set(map[string]time.Time{XMPP: time.Now().Add(time.Hour)}, false)
		time.Sleep(askEvery)
		synctest.Wait()
		for range burst + 40 {
			log.Debug("stanza")
		}
		if got := strings.Count(out.String(), "\n"); got != burst {
			t.Errorf("%d records at once gave %d; want %d", burst+40, got, burst)
		}
		time.Sleep(time.Second)
		out.Reset()
		for range 2 * perSecond {
			log.Debug("stanza")
		}
		if got := strings.Count(out.String(), "\n"); got != perSecond || !strings.Contains(out.String(), "left_out_before=40 ") {
			t.Errorf("a second later there were %d; want %d, and word of 40 left out: %.200s", got, perSecond, out)
		}
	})
}
