package webadmin

import (
	"testing"

	"github.com/chromedp/chromedp"

	"parley/services/callbridge/callbridgeapi"
)

// TestNarrowInChromium looks at the pages on a telephone, in both languages:
// none is wider than the screen.
func TestNarrowInChromium(t *testing.T) {
	s := busySite(t)
	s.bridge.directory = callbridgeapi.Directory{Configured: true, Server: "ldap.example.com:389", TLS: "starttls", Offered: true, Users: 212, Synced: start}
	b := newChromium(s)
	b.Resize(360, 740)
	b.LogIn("admin", password)
	fits := func(page string) {
		t.Helper()
		if wide := b.Overflow(); wide > 0 {
			t.Errorf("%s is %d pixels too wide", page, wide)
		}
		if b.Has(".findings, #steps") {
			b.Script(`for (const e of document.querySelectorAll('.findings, #steps')) if (e.scrollWidth > e.clientWidth) e.id = 'cut'`)
			if b.Has("#cut") {
				t.Errorf("%s: a table is cut off to the right", page)
			}
		}
	}
	for _, language := range []string{"en", "de"} {
		b.Press("button[lang=" + language + "]")
		for _, p := range []struct{ path, name string }{
			{"/status/general", "status-general"}, {"/status/cluster", "status-cluster"}, {"/status/diagnosis", "diagnosis"},
			{"/configuration/general", "configuration-general"}, {directoryPath, "directory"},
			{"/configuration/users", "users"}, {"/configuration/users?do=password&user=ada", "users-password"}, {"/configuration/users?do=delete&user=ada", "users-delete"},
			{"/configuration/certificates", "certificates"}, {"/configuration/certificates?file=web.crt", "certificate"},
			{"/logs/events", "events"}, {"/logs/events?do=clear", "events-clear"}, {"/logs/tracing", "tracing"}, {"/password", "password"},
		} {
			b.Open(s.url + p.path)
			b.Picture(language + "-" + p.name + "-narrow")
			fits(p.path)
		}
		b.Open(s.url + "/configuration/general")
		b.Press("#test")
		b.Picture(language + "-tested-narrow")
		fits("the test of the connection")
		b.Open(s.url + "/status/diagnosis")
		b.Press("#diagnose")
		b.Picture(language + "-diagnosed-narrow")
		fits("the diagnosis")
	}
	b.IsQuiet()
}

// TestSilenceInChromium: a page that gets no more answers says so, until it
// does.
func TestSilenceInChromium(t *testing.T) {
	s := busySite(t)
	b := newChromium(s)
	b.LogIn("admin", password)
	b.Reads("#system-status", "connected to localhost")
	if !b.Has("#silent[hidden]") {
		t.Error("silence is told of from the start")
	}
	b.Script(`window.kept = window.fetch; window.fetch = () => Promise.reject(new TypeError("no network"))`)
	b.Reads("#silent", "No answer since ")
	b.Reads("#system-status", "connected to localhost")
	b.Picture("status-general-silent")
	s.bridge.say("failed to connect to localhost")
	b.Script(`window.fetch = window.kept`)
	b.Reads("#system-status", "failed to connect to localhost")
	b.Do(chromedp.WaitNotVisible(chromedp.CSS("#silent")))
	// A server that is gone is as silent.
	s.mu.Lock()
	err := s.door.server.Close()
	s.mu.Unlock()
	check(t, err)
	b.Reads("#silent", " UTC; what is shown here is from then.")
}
