package eventlog

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parley/services/eventlog/eventlogapi"
	"parley/services/eventlog/watch"
	"parley/services/journal"
	"parley/services/problem"
)

// lookout is a Watcher that finds what a test tells it to.
type lookout struct {
	mu    sync.Mutex
	found watch.Findings
	stood map[string]eventlogapi.Fault
	looks int
}

func (l *lookout) Look(_ context.Context, standing map[string]eventlogapi.Fault) watch.Findings {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stood = standing
	l.looks++
	return l.found
}

func (l *lookout) finds(cs ...watch.Condition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found = watch.Findings{Conditions: cs}
}

// told is what the last look was told to stand.
func (l *lookout) told() map[string]eventlogapi.Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stood
}

// lines is a sink that keeps syslog lines.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Line(line string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, rest, _ := strings.Cut(line, " ")
	l.all = append(l.all, rest)
	return nil
}

// folder is where servers of a test keep their files; a socket's path is short.
type folder struct {
	t    *testing.T
	path string
}

func newFolder(t *testing.T) folder {
	t.Helper()
	path, err := os.MkdirTemp("", "events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(path) })
	return folder{t, path}
}

func (f folder) file(name string) string { return filepath.Join(f.path, name) }

func (f folder) config() Config {
	return Config{Socket: f.file("s"), Group: -1, Events: f.file("log/events/events"), Board: f.file("faults.json")}
}

// opened is a server whose files are open and that does not run.
func (f folder) opened(sink journal.Sink) *Server {
	f.t.Helper()
	s := New(f.config(), Deps{Watch: &lookout{}, Log: slog.New(journal.NewHandler(sink, slog.LevelInfo))})
	if err := s.record.open(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(s.record.close)
	s.board.open()
	return s
}

// running is a client of a server that runs until stop.
func (f folder) running(w Watcher) (c *eventlogapi.Client, stop func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	s := New(f.config(), Deps{Watch: w, Log: slog.New(slog.DiscardHandler)})
	go func() { done <- s.Run(ctx) }()
	c = eventlogapi.NewClient(f.file("s"))
	for {
		_, err := c.Faults(ctx)
		if err == nil {
			break
		}
		if problem.CodeOf(err) != problem.NotReachable {
			f.t.Fatal(err)
		}
	}
	return c, func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("Run = %v; want nil", err)
		}
	}
}

// messages are those of all events, the newest first.
func messages(t *testing.T, l eventlogapi.API) []string {
	t.Helper()
	es, err := l.Events(t.Context(), eventlogapi.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var ms []string
	for _, e := range es {
		ms = append(ms, string(e.Level)+" "+e.Message)
	}
	return ms
}

// The article's lines.
const (
	noRecords = "No DNS A or AAAA records for _xmpp-component._tcp.tptac9.com"
	dropped   = "XMPP connection dropped while session was live for reason 2"
	dnsError  = `XMPP component connection disconnected due to failure reason: "dns error"`
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLogOutlivesItsProcess(t *testing.T) {
	f := newFolder(t)
	c, stop := f.running(&lookout{})
	at := time.Date(2017, 8, 13, 5, 16, 17, 804_999_999, time.UTC)
	must(t, c.Log(t.Context(), eventlogapi.Event{Time: at, Level: eventlogapi.Info, Message: noRecords, Hint: "10.0.0.53 said NXDOMAIN"},
		eventlogapi.Event{Time: at, Message: dropped}, eventlogapi.Event{Time: at, Level: eventlogapi.Error, Message: dnsError}))
	must(t, c.Raise(t.Context(), eventlogapi.Fault{Key: "callbridge.xmpp", Message: "XMPP connection to '' failed", Since: at}))
	must(t, c.Trace(t.Context(), "xmpp", time.Hour))
	faults, err := c.Faults(t.Context())
	must(t, err)
	stop()

	c, stop = f.running(&lookout{})
	defer stop()
	must(t, c.Log(t.Context(), eventlogapi.Event{Message: "later"}))
	got, err := c.Events(t.Context(), eventlogapi.Query{})
	must(t, err)
	ms := at.Truncate(time.Millisecond)
	want := []eventlogapi.Event{
		{ID: 5, Level: eventlogapi.Info, Message: "later"},
		{ID: 4, Level: eventlogapi.Info, Message: "xmpp tracing now enabled"},
		{ID: 3, Time: ms, Level: eventlogapi.Error, Message: dnsError},
		{ID: 2, Time: ms, Level: eventlogapi.Info, Message: dropped},
		{ID: 1, Time: ms, Level: eventlogapi.Info, Message: noRecords, Hint: "10.0.0.53 said NXDOMAIN"},
	}
	if len(got) < 2 || time.Since(got[0].Time) > time.Minute || got[0].Time.Nanosecond()%1e6 != 0 {
		t.Fatalf("Events = %v; want the newest of just now, in milliseconds", got)
	}
	got[0].Time, got[1].Time = time.Time{}, time.Time{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Events after a restart (-want +got):\n%s", diff)
	}
	again, err := c.Faults(t.Context())
	if diff := cmp.Diff(faults, again); diff != "" || err != nil || len(again) != 1 || !again[0].Since.Equal(ms) {
		t.Errorf("Faults after a restart = %v, %v; want what they were (-want +got):\n%s", again, err, diff)
	}
	traces, err := c.Traces(t.Context())
	if err != nil || time.Until(traces["xmpp"]) < 59*time.Minute || len(traces) != 1 {
		t.Errorf("Traces after a restart = %v, %v; want xmpp for an hour", traces, err)
	}
}

func TestClear(t *testing.T) {
	f := newFolder(t)
	c, stop := f.running(&lookout{})
	defer stop()
	for range 335 {
		must(t, c.Log(t.Context(), eventlogapi.Event{Message: "x"}))
	}
	if n, err := c.Clear(t.Context(), "admin"); n != 335 || err != nil {
		t.Errorf("Clear = %d, %v; want 335", n, err)
	}
	got, err := c.Events(t.Context(), eventlogapi.Query{})
	want := []eventlogapi.Event{{ID: 336, Level: eventlogapi.Info, Message: `335 log messages cleared by "admin"`}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(eventlogapi.Event{}, "Time")); diff != "" || err != nil {
		t.Errorf("Events after Clear, %v (-want +got):\n%s", err, diff)
	}
	data, err := os.ReadFile(f.config().Events)
	if err != nil || strings.Count(string(data), "\n") != 1 {
		t.Errorf("the file has %q, %v; want one line", data, err)
	}
}

func TestClearThatFailsChangesNothing(t *testing.T) {
	f := newFolder(t)
	s := f.opened(&lines{})
	must(t, s.Log(t.Context(), eventlogapi.Event{Message: "kept"}))
	must(t, os.Rename(f.file("log"), f.file("away")))
	if n, err := s.Clear(t.Context(), "admin"); err == nil {
		t.Errorf("Clear = %d, nil; want an error", n)
	}
	if diff := cmp.Diff([]string{"Info kept"}, messages(t, s)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestEventsAreInSyslogToo(t *testing.T) {
	sink := &lines{}
	s := newFolder(t).opened(sink)
	must(t, s.Log(t.Context(), eventlogapi.Event{Message: noRecords, Hint: "dns add rr"},
		eventlogapi.Event{Level: eventlogapi.Warning, Message: dropped}, eventlogapi.Event{Level: eventlogapi.Error, Message: "a\nb\x1b[2J"}))
	want := []string{"info eventlog: " + noRecords + ` hint="dns add rr"`, "warning eventlog: " + dropped, "error eventlog: a b [2J"}
	if diff := cmp.Diff(want, sink.all); diff != "" {
		t.Errorf("syslog (-want +got):\n%s", diff)
	}
}

func TestEventIsMadeFit(t *testing.T) {
	s := newFolder(t).opened(&lines{})
	long := strings.Repeat("ü", maxText)
	must(t, s.Log(t.Context(), eventlogapi.Event{Level: "Panic", Message: " a\r\nb \xff ", Hint: long}))
	es, err := s.Events(t.Context(), eventlogapi.Query{})
	must(t, err)
	e := es[0]
	if e.Level != eventlogapi.Info || e.Message != "a  b �" || e.Hint != strings.Repeat("ü", maxText/2)+"…" {
		t.Errorf("event %q %q, hint of %d bytes; want Info, one line of UTF-8, and a bounded hint", e.Level, e.Message, len(e.Hint))
	}
}

func TestQuery(t *testing.T) {
	s := newFolder(t).opened(&lines{})
	levels := []eventlogapi.Level{eventlogapi.Info, eventlogapi.Warning, eventlogapi.Error}
	for i := range 1200 {
		must(t, s.Log(t.Context(), eventlogapi.Event{Level: levels[i%3], Message: []string{"XMPP one", "two"}[i%2]}))
	}
	tests := []struct {
		name        string
		q           eventlogapi.Query
		n           int
		first, last uint64
	}{
		{"no more than a thousand", eventlogapi.Query{}, 1000, 1200, 201},
		{"a larger limit", eventlogapi.Query{Limit: 5000}, 1000, 1200, 201},
		{"limit", eventlogapi.Query{Limit: 3}, 3, 1200, 1198},
		{"after", eventlogapi.Query{After: 1198}, 2, 1200, 1199},
		{"after the newest", eventlogapi.Query{After: 1200}, 0, 0, 0},
		{"before", eventlogapi.Query{Before: 201}, 200, 200, 1},
		{"between", eventlogapi.Query{After: 10, Before: 20}, 9, 19, 11},
		{"level", eventlogapi.Query{Levels: []eventlogapi.Level{eventlogapi.Error}, Limit: 2}, 2, 1200, 1197},
		{"levels", eventlogapi.Query{Levels: []eventlogapi.Level{eventlogapi.Error, eventlogapi.Warning}, Limit: 2}, 2, 1200, 1199},
		{"text in any case", eventlogapi.Query{Text: "xmpp ONE", Limit: 2}, 2, 1199, 1197},
		{"text that is nowhere", eventlogapi.Query{Text: "three"}, 0, 0, 0},
		{"text and level", eventlogapi.Query{Text: "two", Levels: levels[:1], After: 1190}, 2, 1198, 1192},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Events(t.Context(), tt.q)
			must(t, err)
			var first, last uint64
			if len(got) > 0 {
				first, last = got[0].ID, got[len(got)-1].ID
			}
			if len(got) != tt.n || first != tt.first || last != tt.last {
				t.Errorf("Events = %d from %d to %d; want %d from %d to %d", len(got), first, last, tt.n, tt.first, tt.last)
			}
		})
	}
}

func TestWatcherMakesFaultsAndEvents(t *testing.T) {
	f := newFolder(t)
	synctest.Test(t, func(t *testing.T) {
		w := &lookout{}
		s := folder{t, f.path}.opened(&lines{})
		s.deps.Watch = w
		must(t, s.Raise(t.Context(), eventlogapi.Fault{Key: "callbridge.xmpp", Message: "of a service"}))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.watch(ctx) })
		disk := watch.Condition{Fault: eventlogapi.Fault{Key: "disk", Message: "State disk is full", Hint: "91%"}, Level: eventlogapi.Warning}
		w.finds(disk)
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		disk.Hint = "92%"
		w.finds(disk)
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if fs, _ := s.Faults(ctx); len(fs) != 2 || fs[1].Hint != "92%" || time.Since(fs[1].Since) < 3*lookEvery {
			t.Errorf("Faults = %v; want two, that of the disk since the first look, in its last words", fs)
		}
		if stood := w.told(); stood["disk"].Message != "State disk is full" || len(stood) != 1 {
			t.Errorf("the watcher is told of %v; want what it found itself", stood)
		}
		disk.Message, disk.Level = "State disk is very full", eventlogapi.Error
		w.finds(disk)
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		w.finds()
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		want := []string{"Info no longer so: State disk is very full", "Error State disk is very full", "Warning State disk is full"}
		if diff := cmp.Diff(want, messages(t, s)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if fs, _ := s.Faults(ctx); len(fs) != 1 || fs[0].Key != "callbridge.xmpp" {
			t.Errorf("Faults = %v; want the service's alone", fs)
		}
		cancel()
		running.Wait()
	})
}

// A look that is cut off by the end of all services says nothing of them.
func TestEndIsNoFault(t *testing.T) {
	f := newFolder(t)
	s := f.opened(&lines{})
	ctx, cancel := context.WithCancel(t.Context())
	s.deps.Watch = lookFunc(func() watch.Findings {
		cancel()
		return watch.Findings{Conditions: []watch.Condition{{Fault: eventlogapi.Fault{Key: "xmpp.service", Message: "gone"}}}}
	})
	s.watch(ctx)
	if fs, _ := s.Faults(t.Context()); len(fs) != 0 {
		t.Errorf("Faults = %v; want none", fs)
	}
}

type lookFunc func() watch.Findings

func (f lookFunc) Look(context.Context, map[string]eventlogapi.Fault) watch.Findings { return f() }
