package webadmin

import (
	"maps"
	"net/http"
	"testing"
	"time"
)

func TestTracing(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("app")
	wantText(t, b.get("/logs/tracing"), http.StatusOK, "XMPP off 1 minute 10 minutes 30 minutes 24 hours", "Call Bridge off", "DNS off")
	for _, tt := range []struct {
		subsystem, minutes, audit string
		want                      map[string]time.Time
	}{
		{"XMPP", "10", "eventlog trace xmpp 10", map[string]time.Time{"XMPP": start.Add(10 * time.Minute)}},
		{"Call Bridge", "1440", "eventlog trace callbridge 1440", map[string]time.Time{"XMPP": start.Add(10 * time.Minute), "Call Bridge": start.Add(24 * time.Hour)}},
		{"XMPP", "0", "eventlog trace xmpp off", map[string]time.Time{"Call Bridge": start.Add(24 * time.Hour)}},
	} {
		got := b.submit("/logs/tracing", "subsystem", tt.subsystem, "minutes", tt.minutes)
		if got.location() != "/logs/tracing" || !maps.Equal(s.events.traces, tt.want) {
			t.Errorf("%s for %s minutes leads to %q with traces %v; want %v", tt.subsystem, tt.minutes, got.location(), s.events.traces, tt.want)
		}
		s.audited(t, "app", tt.audit)
	}
	wantText(t, b.get("/logs/tracing"), http.StatusOK, "XMPP off", "Call Bridge on until 2026-11-23 20:00:00 1 minute", "Off")

	before := maps.Clone(s.events.traces)
	for _, fields := range [][]string{{"subsystem", "SIP", "minutes", "10"}, {"subsystem", "XMPP", "minutes", "11"}, {"subsystem", "XMPP", "minutes", "x"}, {}} {
		if got := b.submit("/logs/tracing", fields...); got.status != http.StatusNotFound || !maps.Equal(s.events.traces, before) {
			t.Errorf("a form with %q = %d with traces %v; want it refused", fields, got.status, s.events.traces)
		}
	}
	s.events.gone = true
	wantText(t, b.get("/logs/tracing"), http.StatusServiceUnavailable, "Not done: ")
}
