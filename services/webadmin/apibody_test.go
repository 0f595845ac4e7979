package webadmin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/config"
)

// TestAPIKeepsSecret: an empty secret is none that somebody chose.
func TestAPIKeepsSecret(t *testing.T) {
	full := config.BridgeLink{Name: "cb1", Domain: "tptac9.com", Server: "localhost:5223", Secret: "kvgP1SRzWVabhiPVAb1"}
	renamed := full
	renamed.Name = "cb2"
	for body, want := range map[string]config.BridgeLink{
		"sharedSecret=":                full,
		"uniqueName=cb2&sharedSecret=": renamed,
		"uniqueName=&domain=&serverAddressOverride=&sharedSecret=": {},
	} {
		s := newAPISite(t)
		if got := s.program("api", password).do("PUT", apiPath+"system/configuration/xmpp", body); got.status != http.StatusOK {
			t.Errorf("PUT %s = %d %s; want 200", body, got.status, got.body)
		}
		if diff := cmp.Diff(want, s.document().CallBridge.XMPP); diff != "" {
			t.Errorf("after PUT %s (-want +got):\n%s", body, diff)
		}
	}
}

// TestAPIKindOfBody: what is not understood is not passed over.
func TestAPIKindOfBody(t *testing.T) {
	s := newAPISite(t)
	b := s.program("api", password)
	before := s.live()
	for _, tt := range []struct {
		kind, body string
		status     int
	}{
		{"application/json", `{"uniqueName":"cb9","name":"cb9"}`, http.StatusUnsupportedMediaType},
		{"multipart/form-data; boundary=x", "--x--", http.StatusUnsupportedMediaType},
		{";;", "name=cb9", http.StatusUnsupportedMediaType},
		{"application/x-www-form-urlencoded", `{"uniqueName":"cb9"}`, http.StatusBadRequest},
		{"application/x-www-form-urlencoded", "name=%zz", http.StatusBadRequest},
		{"application/json", "", http.StatusOK},
	} {
		b.header.Set("Content-Type", tt.kind)
		for _, target := range []string{"PUT " + apiPath + "system/configuration/xmpp", "PUT " + apiPath + "callBridges/" + idOf("callbridge", "cb1")} {
			method, path, _ := strings.Cut(target, " ")
			got := b.do(method, path, tt.body)
			if got.status != tt.status || tt.status == http.StatusUnsupportedMediaType && !strings.Contains(got.body, `<unsupportedMediaType error="the body is to be application/x-www-form-urlencoded`) {
				t.Errorf("%s with %s %s = %d %s; want %d", target, tt.kind, tt.body, got.status, got.body, tt.status)
			}
		}
	}
	if diff := cmp.Diff(before, s.live()); diff != "" {
		t.Errorf("what was refused has changed live.json:\n%s", diff)
	}
}
