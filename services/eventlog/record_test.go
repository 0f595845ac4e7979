package eventlog

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/eventlog/eventlogapi"
)

// stored are the messages in the file, by ID.
func stored(t *testing.T, path string) []string {
	t.Helper()
	r := newRecord(path, slog.New(slog.DiscardHandler))
	must(t, r.open())
	defer r.close()
	var all []string
	for _, e := range r.events {
		all = append(all, fmt.Sprint(e.ID, " ", e.Message))
	}
	return all
}

// A power cut may leave any part of what was written last.
func TestCutAnywhere(t *testing.T) {
	f := newFolder(t)
	s := f.opened(&lines{})
	want := []string{"1 one", "2 two", "3 three"}
	for _, m := range []string{"one", "two", "three"} {
		must(t, s.Log(t.Context(), eventlogapi.Event{Message: m}))
	}
	whole, err := os.ReadFile(f.config().Events)
	must(t, err)
	for cut := range whole {
		for _, tail := range []string{"", "\x00\x00\x00\x00", "\x00\n{}\n"} {
			path := f.file("cut")
			must(t, os.WriteFile(path, append(bytes.Clone(whole[:cut]), tail...), 0o600))
			n := bytes.Count(whole[:cut], []byte{'\n'})
			r := newRecord(path, slog.New(slog.DiscardHandler))
			must(t, r.open())
			r.add([]eventlogapi.Event{{Message: "after"}})
			r.close()
			if diff := cmp.Diff(append(slices.Clone(want[:n]), fmt.Sprint(n+1, " after")), stored(t, path)); diff != "" {
				t.Fatalf("cut at %d, then %q (-want +got):\n%s", cut, tail, diff)
			}
		}
	}
}

func TestDamageInTheMiddle(t *testing.T) {
	f := newFolder(t)
	path := f.file("events")
	must(t, os.WriteFile(path, []byte(`{"id":3,"message":"a"}`+"\nnoise\n"+`{"id":2,"message":"of before"}`+"\n"+`{"id":7,"message":"b"}`+"\n"), 0o600))
	want := []string{"3 a", "7 b"}
	if diff := cmp.Diff(want, stored(t, path)); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	data, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(data), "noise") {
		t.Errorf("the file has %q, %v; want it whole again", data, err)
	}
}

func TestUnreadableFile(t *testing.T) {
	f := newFolder(t)
	must(t, os.Mkdir(f.file("events"), 0o700))
	if err := newRecord(f.file("events"), slog.New(slog.DiscardHandler)).open(); err == nil {
		t.Error("open of a folder = nil; want an error")
	}
}

func TestLogIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name          string
		message       string
		n, most, less int
	}{
		{"in number", "x", 2*maxEvents + 5000, maxEvents, maxEvents},
		{"in bytes", strings.Repeat("x", maxText), 10_000, maxBytes / (maxText + 100), maxBytes/(maxText+100) - 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := newFolder(t).file("events")
			r := newRecord(path, slog.New(slog.DiscardHandler))
			must(t, r.open())
			defer r.close()
			for range tt.n / 10 {
				r.add(slices.Repeat([]eventlogapi.Event{{Message: tt.message, Time: time.Now()}}, 10))
			}
			if n := len(r.events); n > tt.most || n < tt.less || r.events[n-1].ID != uint64(tt.n) {
				t.Errorf("%d events up to %d; want %d to %d up to %d", n, r.events[n-1].ID, tt.less, tt.most, tt.n)
			}
			fi, err := os.Stat(path)
			if err != nil || fi.Size() > 2*maxBytes+20*maxText || fi.Size() != r.size {
				t.Errorf("the file has %d bytes, %v; want what is known, and not much over %d", fi.Size(), err, 2*maxBytes)
			}
			data, err := os.ReadFile(path)
			if n := bytes.Count(data, []byte{'\n'}); err != nil || n > 2*maxEvents || n != r.lines {
				t.Errorf("the file has %d lines, %v; want what is known, and %d at most", n, err, 2*maxEvents)
			}
			if got := stored(t, path); len(got) != len(r.events) || got[0] != fmt.Sprint(r.events[0].ID, " ", tt.message) {
				t.Errorf("%d read again; want the %d that are kept", len(got), len(r.events))
			}
		})
	}
}

// full makes each write fail with ENOSPC, until there is room.
func full(t *testing.T, r *record) (room func()) {
	t.Helper()
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	file := r.f
	r.f = f
	return func() { r.f = file }
}

func TestFullDisk(t *testing.T) {
	f := newFolder(t)
	sink := &lines{}
	s := f.opened(sink)
	must(t, s.Log(t.Context(), eventlogapi.Event{Message: "before"}))
	room := full(t, s.record)
	must(t, s.Log(t.Context(), eventlogapi.Event{Message: "during"}))
	// Not without the one before it.
	room()
	must(t, s.Log(t.Context(), eventlogapi.Event{Message: "during, too"}))
	if got := stored(t, f.config().Events); len(got) != 1 {
		t.Errorf("the file has %v; want what was before", got)
	}
	if diff := cmp.Diff([]string{"Info during, too", "Info during", "Info before"}, messages(t, s)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	now := time.Now()
	s.record.mend(now)
	must(t, s.Log(t.Context(), eventlogapi.Event{Message: "after"}))
	if diff := cmp.Diff([]string{"1 before", "2 during", "3 during, too", "4 after"}, stored(t, f.config().Events)); diff != "" {
		t.Errorf("the file (-want +got):\n%s", diff)
	}
	warned := 0
	for _, l := range sink.all {
		if strings.Contains(l, "in memory only") || strings.Contains(l, "on the disk again") {
			warned++
		}
	}
	if warned != 2 {
		t.Errorf("syslog has\n%s\nwant one line that the disk is full, and one that it is not any more", strings.Join(sink.all, "\n"))
	}
}

func TestMendIsNotTriedAllTheTime(t *testing.T) {
	f := newFolder(t)
	s := f.opened(&lines{})
	s.record.behind = true
	must(t, s.Log(t.Context(), eventlogapi.Event{Message: "x"}))
	must(t, os.Rename(f.file("log"), f.file("away")))
	start := time.Now()
	s.record.mend(start)
	must(t, os.Rename(f.file("away"), f.file("log")))
	s.record.mend(start.Add(retryMend - 1))
	if !s.record.behind {
		t.Error("tried again at once; want that it waits")
	}
	s.record.mend(start.Add(retryMend))
	if got := stored(t, f.config().Events); s.record.behind || len(got) != 1 {
		t.Errorf("behind = %v, the file has %v; want that it is mended", s.record.behind, got)
	}
}

func TestSyncIsOncePerChange(t *testing.T) {
	s := newFolder(t).opened(&lines{})
	if s.record.unsynced() != nil {
		t.Error("unsynced before any event; want nil")
	}
	must(t, s.Log(t.Context(), eventlogapi.Event{Message: "x"}))
	f := s.record.unsynced()
	if f == nil || s.record.unsynced() != nil {
		t.Errorf("unsynced = %v, then not nil; want the file once", f)
	}
}
