package webadmin

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestLanguageOfTheBrowser(t *testing.T) {
	s := newSite(t)
	for header, want := range map[string]string{
		"": "en", "de": "de", "de-AT,de;q=0.9,en;q=0.5": "de", "en-US,en;q=0.9,de;q=0.8": "en", "fr": "en", "fr,de;q=0.5": "de", "de;q=0,en": "en",
		";;;q=x": "en", strings.Repeat("de,", 500): "de",
	} {
		b := s.browser()
		b.header.Set("Accept-Language", header)
		if got := b.get("/login"); !strings.Contains(got.body, `<html lang="`+want+`">`) {
			t.Errorf("with %.40q the page is not %s:\n%.200s", header, want, got.body)
		}
	}
}

func TestChosenLanguage(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	if got := b.post("/language", "language", "de", "page", "/login"); got.location() != "/login" {
		t.Errorf("the choice leads to %q; want back to the login", got.location())
	}
	wantText(t, b.get("/login"), http.StatusOK, "Anmelden", "Kennwort")
	if got := b.post("/login", "name", "admin", "password", password); got.status != http.StatusSeeOther {
		t.Fatalf("login = %v; want to be let in", got)
	}
	wantText(t, b.get("/status/general"), http.StatusOK, "Systemstatus", "Betriebszeit 24 Minuten, 26 Sekunden", "Störungen")
	wantText(t, b.submit("/configuration/general", "domain", "tptac9.com"), http.StatusBadRequest, "'Eindeutiger Name der Call Bridge'")
	for _, language := range []string{"fr", "", "en"} {
		b.post("/language", "language", language)
		want := map[bool]string{true: "System status", false: "Systemstatus"}[language == "en"]
		wantText(t, b.get("/status/general"), http.StatusOK, want)
	}
	// The choice is stronger than the browser's wish.
	b.header.Set("Accept-Language", "de")
	wantText(t, b.get("/status/general"), http.StatusOK, "System status")
}

// TestLanguageLeadsNowhereElse: the form of the language is nobody's way to
// another site.
func TestLanguageLeadsNowhereElse(t *testing.T) {
	s := newSite(t)
	for page, want := range map[string]string{
		"/logs/events": "/logs/events", "/password": "/password", "https://evil.example": "/", "//evil.example": "/", `/\evil.example`: "/", "/logs/events?x": "/", "": "/",
	} {
		if got := s.browser().post("/language", "language", "de", "page", page); got.location() != want {
			t.Errorf("from %q it leads to %q; want %q", page, got.location(), want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration][2]string{
		0:                               {"0 seconds", "0 Sekunden"},
		-time.Second:                    {"0 seconds", "0 Sekunden"},
		61 * time.Second:                {"1 minute, 1 second", "1 Minute, 1 Sekunde"},
		24*time.Minute + 26*time.Second: {"24 minutes, 26 seconds", "24 Minuten, 26 Sekunden"},
		49 * time.Hour:                  {"2 days, 1 hour, 0 minutes, 0 seconds", "2 Tage, 1 Stunde, 0 Minuten, 0 Sekunden"},
	} {
		if en, de := english.duration(d), german.duration(d); en != want[0] || de != want[1] {
			t.Errorf("duration(%v) = %q, %q; want %q", d, en, de, want)
		}
	}
}
