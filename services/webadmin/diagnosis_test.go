package webadmin

import (
	"net/http"
	"testing"

	"parley/services/diagnosis"
)

func TestDiagnosis(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("app")
	s.findings = []diagnosis.Finding{
		{Level: diagnosis.OK, What: "domain", Detail: "tptac9.com"},
		{Level: diagnosis.Warn, What: "certificate", Detail: "abhiall.cer expires in 12 days"},
		{Level: diagnosis.Fail, Node: "10.106.81.31", What: "secret of cb2", Detail: "it is not <the same>", Commands: []string{"xmpp callbridge add-secret cb2"}},
	}
	wantText(t, b.get("/status/diagnosis"), http.StatusOK, "Checks what is set", "Check everything")
	if lines := s.audit.take(); lines != nil {
		t.Errorf("a look at the page is recorded as %q", lines)
	}
	wantText(t, b.submit("/status/diagnosis"), http.StatusOK,
		"Failed: 1 · warnings: 1 · good: 1", "What is to be mended",
		"WARN this node certificate abhiall.cer expires in 12 days", "FAIL 10.106.81.31 secret of cb2 it is not <the same> on 10.106.81.31 type 'xmpp callbridge add-secret cb2'",
		"What is good (1)", "OK this node domain tptac9.com")
	s.audited(t, "app", "xmpp diagnose")
}
