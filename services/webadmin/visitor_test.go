package webadmin

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/config"
	"parley/services/eventlog/eventlogapi"
)

func TestLogin(t *testing.T) {
	s := newSite(t)
	tests := []struct {
		name, user, password string
		status               int
		text, audit          string
	}{
		{"admin", "admin", password, http.StatusSeeOther, "", "admin: login to webadmin by password: permission granted"},
		{"appadmin", "app", password, http.StatusSeeOther, "", "app: login to webadmin by password: permission granted"},
		{"must change", "new", password, http.StatusSeeOther, "", "new: login to webadmin by password: permission granted"},
		{"wrong password", "admin", "Winter2026!", http.StatusForbidden, "wrong name or password", "admin: login to webadmin by password: permission denied"},
		{"a password for a name", "Sommer2026!", "x", http.StatusForbidden, "wrong name or password", "(unknown): login to webadmin by password: permission denied"},
		{"role api", "api", password, http.StatusForbidden, "your role api does not permit this", "api: login to webadmin by password: permission denied"},
		{"role audit", "audit", password, http.StatusForbidden, "your role audit does not permit this", "audit: login to webadmin by password: permission denied"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := s.browser()
			got := b.post("/login", "name", tt.user, "password", tt.password)
			wantText(t, got, tt.status, tt.text)
			if diff := cmp.Diff([]string{tt.audit}, s.audit.take()); diff != "" {
				t.Errorf("audit (-want +got):\n%s", diff)
			}
			c := got.header.Get("Set-Cookie")
			if in := tt.status == http.StatusSeeOther; in != (c != "") {
				t.Fatalf("Set-Cookie: %q; want one only for who is let in", c)
			} else if !in {
				return
			}
			for _, want := range []string{"__Host-session=", "Path=/", "HttpOnly", "Secure", "SameSite=Strict"} {
				if !strings.Contains(c, want) {
					t.Errorf("Set-Cookie: %q; want %s in it", c, want)
				}
			}
		})
	}
}

func TestUnrecordedLoginIsRefused(t *testing.T) {
	s := newSite(t)
	s.audit.broken = true
	got := s.browser().post("/login", "name", "admin", "password", password)
	if got.header.Get("Set-Cookie") != "" || s.sessions.count() != 0 {
		t.Errorf("login = %v; want none, since it is not recorded", got)
	}
}

// TestNothingWithoutLogin: all pages and forms lead to the login.
func TestNothingWithoutLogin(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for _, path := range []string{"/status/general", "/status/cluster", "/configuration/general", "/configuration/users", "/configuration/certificates", "/logs/events", "/logs/events/download", "/password", "/nonsense"} {
		if got := b.get(path); got.status != http.StatusSeeOther || got.location() != "/login" {
			t.Errorf("GET %s = %d to %q; want the login", path, got.status, got.location())
		}
	}
	for _, path := range forms {
		if got := b.post(path, "name", "x"); got.status != http.StatusSeeOther || got.location() != "/login" {
			t.Errorf("POST %s = %d to %q; want the login", path, got.status, got.location())
		}
	}
	b.header.Set(liveHeader, "1")
	if got := b.get("/status/general"); got.status != http.StatusUnauthorized {
		t.Errorf("a page's own request = %d; want 401", got.status)
	}
	b.header.Set("Cookie", cookie+"=made-up")
	if got := b.get("/status/general"); got.status != http.StatusUnauthorized {
		t.Errorf("with a token made up = %d; want 401", got.status)
	}
}

// forms are all that change something for who is logged in.
var forms = []string{"/logout", "/password", "/configuration/general", "/configuration/general/test", "/configuration/users", "/configuration/certificates", "/logs/events/clear"}

// TestForgedForms: neither a form without the session's token nor one that
// another site sent is taken.
func TestForgedForms(t *testing.T) {
	s := newSite(t)
	s.events.events = []eventlogapi.Event{{ID: 7, Message: "x"}}
	b, other := s.loggedIn("admin"), s.loggedIn("app")
	foreign := tokenField.FindStringSubmatch(other.get("/password").body)[1]
	before := s.live()
	fields := []string{"name", "cb1", "domain", "tptac9.com", "secret", "12345678", "confirm", "12345678", "do", "delete", "user", "ada", "password", "Winter2026!", "again", "Winter2026!", "current", password}
	for _, path := range forms {
		wantText(t, b.post(path, fields...), http.StatusForbidden, "the form belongs to another session")
		wantText(t, b.post(path, append(fields, "form", foreign)...), http.StatusForbidden, "the form belongs to another session")
		b.header.Set("Sec-Fetch-Site", "cross-site")
		if got := b.post(path, fields...); got.status != http.StatusForbidden {
			t.Errorf("POST %s from another site = %d; want 403", path, got.status)
		}
		b.header.Del("Sec-Fetch-Site")
	}
	if diff := cmp.Diff(before, s.live()); diff != "" {
		t.Errorf("configuration (-before +after):\n%s", diff)
	}
	if len(s.audit.take()) != 0 || s.events.events[0].ID != 7 || s.xmpp.users["ada"] != "x" || b.get("/status/general").status != http.StatusOK {
		t.Error("a forged form has done something")
	}
	b.header.Set("Sec-Fetch-Site", "cross-site")
	if got := b.post("/login", "name", "admin", "password", password); got.status != http.StatusForbidden || got.header.Get("Set-Cookie") != "" {
		t.Errorf("login sent by another site = %d; want 403", got.status)
	}
}

func TestStrictHeaders(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("admin")
	want := map[string]string{
		"Strict-Transport-Security": "max-age=31536000", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
	}
	for _, path := range []string{"/status/general", "/login", "/static/style.css", "/nonsense", "/api/v1/system/status", "/metrics"} {
		h := b.get(path).header
		for name, value := range want {
			if h.Get(name) != value {
				t.Errorf("%s of %s = %q; want %q", name, path, h.Get(name), value)
			}
		}
		csp := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("Content-Security-Policy of %s = %q", path, csp)
		}
	}
}

func TestSessionEnds(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, s *site, b *browser)
		ends bool
	}{
		{"nothing", func(*testing.T, *site, *browser) {}, false},
		{"used now and then", func(t *testing.T, s *site, b *browser) {
			for range 3 {
				s.clock.move(sessionIdle)
				b.get("/status/general")
			}
		}, false},
		{"idle", func(_ *testing.T, s *site, _ *browser) { s.clock.move(sessionIdle + time.Second) }, true},
		{"kept alive by the page alone", func(_ *testing.T, s *site, b *browser) {
			b.header.Set(liveHeader, "1")
			for range 7 {
				s.clock.move(5 * time.Minute)
				b.get("/status/general")
			}
			b.header.Del(liveHeader)
		}, true},
		{"long", func(_ *testing.T, s *site, b *browser) {
			for range 25 {
				s.clock.move(29 * time.Minute)
				b.get("/status/general")
			}
		}, true},
		{"logout", func(t *testing.T, _ *site, b *browser) {
			if got := b.submit("/logout"); got.location() != "/login" {
				t.Errorf("logout leads to %q; want the login", got.location())
			}
		}, true},
		{"new password from elsewhere", func(t *testing.T, s *site, _ *browser) {
			s.clock.move(time.Second)
			check(t, s.deps.Accounts.SetPassword("admin", "Winter2026!"))
		}, true},
		{"account deleted", func(t *testing.T, s *site, _ *browser) {
			check(t, s.deps.Accounts.Del("new", "admin"))
		}, true},
		{"restart", func(t *testing.T, s *site, _ *browser) {
			check(t, s.control.Restart(t.Context()))
			s.url = "https://" + <-s.address
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			b := s.loggedIn("admin")
			tt.do(t, s, b)
			if ended := b.get("/status/general").status != http.StatusOK; ended != tt.ends {
				t.Errorf("session has ended: %v; want %v", ended, tt.ends)
			}
		})
	}
}

func TestOldestSessionGoes(t *testing.T) {
	c := &clock{now: start}
	s := newSessions(c.Now)
	var tokens []string
	for range maxSessions + 1 {
		tokens = append(tokens, s.open("admin", start))
		c.move(time.Second)
	}
	_, first := s.find(tokens[0], true)
	_, second := s.find(tokens[1], true)
	if first || !second || s.count() != maxSessions {
		t.Errorf("first there: %v, second: %v, %d sessions; want the first gone", first, second, s.count())
	}
}

func TestThrottle(t *testing.T) {
	c := &clock{now: start}
	th := newThrottle(c.Now)
	const here, sameHost, sameNet, elsewhere = "192.0.2.7:1000", "192.0.2.7:2000", "[2001:db8::2]:1", "192.0.2.8:1000"
	for i := range tries {
		if wait := th.take(here); wait != 0 {
			t.Fatalf("try %d waits %v; want none", i, wait)
		}
	}
	if wait := th.take(sameHost); wait != tryAgain {
		t.Errorf("one try too many waits %v; want %v", wait, tryAgain)
	}
	if wait := th.take(elsewhere); wait != 0 {
		t.Errorf("another address waits %v; want none", wait)
	}
	c.move(tryAgain)
	if wait := th.take(here); wait != 0 {
		t.Errorf("after %v it waits %v; want none", tryAgain, wait)
	}
	for range tries {
		th.take("[2001:db8::1]:1")
	}
	if wait := th.take(sameNet); wait == 0 {
		t.Error("another host of the same IPv6 network has tries left; want none")
	}
	// A clock that was a year ahead has to be forgotten.
	c.move(365 * 24 * time.Hour)
	for range tries {
		th.take(here)
	}
	c.move(-365 * 24 * time.Hour)
	if wait := th.take(here); wait != 0 {
		t.Errorf("after the clock was set back it waits %v; want none", wait)
	}
}

func TestThrottleIsBounded(t *testing.T) {
	c := &clock{now: start}
	th := newThrottle(c.Now)
	from := netip.MustParseAddr("10.0.0.0")
	for i := range 2*maxSources + 1 {
		from = from.Next()
		th.take(netip.AddrPortFrom(from, 1).String())
		if len(th.full) > maxSources {
			t.Fatalf("after %d addresses %d are kept; want %d at most", i, len(th.full), maxSources)
		}
	}
	// Those that have their tries back make room for others.
	held := netip.AddrPortFrom(from, 1).String()
	for range tries {
		th.take(held)
	}
	c.move(tryAgain)
	for len(th.full) < maxSources {
		from = from.Next()
		th.full[from] = start
	}
	th.take("192.0.2.1:1")
	if wait := th.take(held) + th.take(held); wait == 0 {
		t.Error("an address that has tried too often was forgotten for those that have not")
	}
}

func TestLoginIsThrottled(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for range tries {
		b.post("/login", "name", "nobody", "password", "x")
	}
	s.audit.take()
	got := b.post("/login", "name", "admin", "password", password)
	wantText(t, got, http.StatusTooManyRequests, "too many logins were tried from your address; wait 6 seconds")
	if lines := s.audit.take(); got.header.Get("Set-Cookie") != "" || len(lines) != 0 {
		t.Errorf("a throttled login: %v, audit %v; want nothing", got, lines)
	}
	s.clock.move(tryAgain)
	if got := b.post("/login", "name", "admin", "password", password); got.status != http.StatusSeeOther {
		t.Errorf("login after the wait = %d; want to be let in", got.status)
	}
}

func TestForcedPasswordChange(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("new")
	for _, path := range []string{"/status/general", "/configuration/general"} {
		if got := b.get(path); got.location() != "/password" {
			t.Errorf("GET %s leads to %q; want /password", path, got.location())
		}
	}
	if got := b.get("/password"); strings.Contains(got.body, "<nav") || strings.Contains(got.body, `name="current"`) {
		t.Errorf("the page has a menu, or asks for the current password:\n%s", got.body)
	}
	wantText(t, b.submit("/password", "password", "Winter2026!", "again", "Winter2026"), http.StatusBadRequest, "the two passwords are not the same")
	wantText(t, b.submit("/password", "password", "short", "again", "short"), http.StatusBadRequest, "the password is too short")
	s.clock.move(time.Second)
	if got := b.submit("/password", "password", "Winter2026!", "again", "Winter2026!"); got.location() != "/status/general?done=password" {
		t.Fatalf("a good password leads to %q:\n%s", got.location(), got.text())
	}
	wantText(t, b.get("/status/general?done=password"), http.StatusOK, "The password is changed.", "System status")
	if _, err := s.deps.Accounts.Authenticate("new", "Winter2026!", "tty1"); err != nil {
		t.Errorf("Authenticate = %v; want the new password", err)
	}
}

func TestOwnPassword(t *testing.T) {
	s := newSite(t)
	b, other := s.loggedIn("admin"), s.loggedIn("admin")
	s.clock.move(time.Second)
	wantText(t, b.submit("/password", "current", "wrong", "password", "Winter2026!", "again", "Winter2026!"), http.StatusBadRequest, "that is not your current password")
	if got := b.submit("/password", "current", password, "password", "Winter2026!", "again", "Winter2026!"); got.status != http.StatusSeeOther {
		t.Fatalf("password = %d\n%s", got.status, got.text())
	}
	if diff := cmp.Diff([]string{"admin: passwd: permission granted"}, s.audit.take()); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
	if got := b.get("/status/general"); got.status != http.StatusOK {
		t.Errorf("the session that changed it has ended: %d", got.status)
	}
	if got := other.get("/status/general"); got.status == http.StatusOK {
		t.Error("another session of the account goes on; want it ended")
	}
}

// TestUnrecordedIsUndone: what the audit log does not take is not done.
func TestUnrecordedIsUndone(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("admin")
	s.audit.broken = true
	got := b.submit("/configuration/general", "name", "cb1", "domain", "tptac9.com", "secret", "12345678", "confirm", "12345678")
	wantText(t, got, http.StatusInternalServerError, "cannot be recorded in the audit log")
	wantText(t, b.submit("/configuration/users", "do", "delete", "user", "ada"), http.StatusInternalServerError, "cannot be recorded in the audit log")
	wantText(t, b.submit("/password", "current", password, "password", "Winter2026!", "again", "Winter2026!"), http.StatusBadRequest, "cannot be recorded in the audit log")
	if d := s.document(); d.CallBridge.XMPP != (config.BridgeLink{}) || s.xmpp.users["ada"] == "" {
		t.Errorf("what was not recorded was done: %v", d.CallBridge)
	}
}
