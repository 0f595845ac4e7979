package webadmin

import (
	"net/http"
	"strings"
	"testing"

	"parley/services/database/databaseapi"
)

// TestLeaderless: a change that waits for a leader in vain is refused in the
// words of the service that waited.
func TestLeaderless(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("app")
	s.xmpp.leaderless = true
	for _, fields := range [][]string{
		{"do", "add", "user", "ben", "password", "pw", "again", "pw"},
		{"do", "password", "user", "ada", "password", "pw", "again", "pw"},
		{"do", "delete", "user", "ada"},
	} {
		wantText(t, b.submit("/configuration/users", fields...), http.StatusServiceUnavailable, "the replicated store takes no changes at the moment")
	}
	s.database.status.Mode, s.database.leaderless = databaseapi.Member, true
	wantText(t, b.submit(directoryPath, "address", "ldap.example.com"), http.StatusServiceUnavailable, "since it has no primary")
}

func TestAPILeaderless(t *testing.T) {
	s := newAPISite(t)
	s.xmpp.leaderless = true
	b := s.program("api", password)
	for _, tt := range []struct{ method, path, body string }{
		{"POST", "callBridges", "name=cb3"},
		{"PUT", "callBridges/" + idOf("callbridge", "cb1"), "address=x"},
		{"DELETE", "callBridges/" + idOf("callbridge", "cb1"), ""},
	} {
		got := b.do(tt.method, apiPath+tt.path, tt.body)
		if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, `<serviceUnavailable error="the replicated store takes no changes`) {
			t.Errorf("%s %s = %d %s; want 503 and why", tt.method, tt.path, got.status, got.body)
		}
	}
}
