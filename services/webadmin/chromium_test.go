package webadmin

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/diagnosis"
	"parley/services/eventlog/eventlogapi"
	"parley/services/webadmin/chromium"
	"parley/services/xmpp/xmppapi"
)

// newChromium is a browser that shows the site, and keeps what it looks like
// with the test's artifacts (go test -artifacts).
func newChromium(s *site) *chromium.Browser {
	s.t.Helper()
	b := chromium.Start(s.t, chromium.Config{Pictures: s.t.ArtifactDir()})
	b.Open(s.url)
	return b
}

// busySite is a site with something to see on each page.
func busySite(t *testing.T) *site {
	s := newSite(t)
	s.events.faults = []eventlogapi.Fault{{Key: xmppFault, Since: start, Message: "XMPP connection to '' failed", Hint: "_xmpp-component._tcp.tptac9.com: SRV points to 5222, the client port; change the record to 5223"}}
	s.events.events = []eventlogapi.Event{
		{ID: 1, Time: start, Level: eventlogapi.Info, Message: `335 log messages cleared by "admin"`},
		{ID: 2, Time: start.Add(52325 * time.Millisecond), Level: eventlogapi.Info, Message: "No DNS A or AAAA records for _xmpp-component._tcp.tptac9.com", Hint: "10.106.81.1 answered NXDOMAIN"},
		{ID: 3, Time: start.Add(52325 * time.Millisecond), Level: eventlogapi.Warning, Message: "abhiall.cer expires in 12 days"},
		{ID: 4, Time: start.Add(time.Minute), Level: eventlogapi.Error, Message: "the state disk is nearly full"},
		{ID: 5, Time: start.Add(-26 * time.Minute), Level: eventlogapi.Info, Message: eventlogapi.LeaderChange{Node: "10.106.81.31:5222", Before: "10.106.81.30:5222"}.Message()},
		{ID: 6, Time: start.Add(-11 * time.Minute), Level: eventlogapi.Info, Message: eventlogapi.LeaderChange{Node: "10.106.81.32:5222", Before: "10.106.81.31:5222"}.Message()},
	}
	s.findings = []diagnosis.Finding{
		{Level: diagnosis.OK, What: "domain", Detail: "tptac9.com, the same on all"},
		{Level: diagnosis.Warn, What: "certificate", Detail: "abhiall.cer expires in 12 days", Advice: "put a new one", Commands: []string{"xmpp certs <key> <certificate>"}},
		{Level: diagnosis.Fail, Node: "10.106.81.31:5222", What: "secret of cb2", Detail: "it is another than here", Commands: []string{"xmpp callbridge del cb2", "xmpp callbridge add-secret cb2"}},
		{Level: diagnosis.OK, What: "members", Detail: "3 members, none of them twice"},
	}
	s.xmpp.status = xmppapi.Status{Sessions: 12, Components: 1, Accounts: 40, Pending: 7}
	s.xmpp.bridges = []xmppapi.CallBridge{{Name: "cb1", Connected: true}, {Name: "cb2"}, {Name: "cb3"}}
	s.xmpp.cluster = xmppapi.Cluster{Member: true, Leader: true, State: "FOLLOWER", StateChange: start, Margin: 0, Nodes: []xmppapi.Node{
		{Address: "10.106.81.31:5222", Since: start.Add(-62 * time.Second), LastIndex: 80, Lag: 10, Version: "1.0"},
		{Address: "10.106.81.32:5222", Leader: true, Reachable: true, Since: start.Add(-time.Hour), LastIndex: 90, Version: "1.0", Sessions: 31, CallBridges: []string{"cb1"}},
		{Address: "10.106.81.30:5222", Self: true, Reachable: true, LastIndex: 90, Version: "1.0"},
	}}
	s.bridge.steps = []callbridgeapi.Step{
		{What: "DNS SRV", OK: true, Detail: "_xmpp-component._tcp.tptac9.com asked of 10.106.81.1: 3 records", Took: 12 * time.Millisecond},
		{Target: "cb1.tptac9.com", What: "TCP", OK: true, Detail: "10.106.81.30:5223", Took: time.Millisecond},
		{Target: "cb1.tptac9.com", What: "authentication", Detail: "not-authorized", Hint: "compare the secret with 'xmpp callbridge list'", Took: 3 * time.Millisecond},
	}
	return s
}

// TestInChromium does step 9 of the article in a browser, and looks at every
// page.
func TestInChromium(t *testing.T) {
	s := busySite(t)
	b := newChromium(s)
	b.LogIn("admin", "wrong")
	b.Reads("main", "wrong name or password")
	b.Picture("login")
	b.LogIn("admin", password)
	b.Reads("#system-status", "connected to localhost (secure) for 1 minute, 2 seconds")
	b.Picture("status-general")

	b.Page("/configuration/general")
	b.Type("name", "cb1")
	b.Type("domain", "tptac9.com")
	b.Type("server", "cb1.tptac9.com")
	b.Type("secret", "kvgP1SRzWVabhiPVAb1")
	b.Type("confirm", "kvgP1SRzWVabhiPVAb2")
	b.Press("#submit")
	b.Reads("[role=alert]", "'Shared secret' and 'Confirm shared secret' are not the same")
	b.Picture("configuration-general-refused")
	b.Type("secret", "kvgP1SRzWVabhiPVAb1")
	b.Type("confirm", "kvgP1SRzWVabhiPVAb1")
	// Enter submits, not the button that comes first in the form.
	b.Enter("confirm")
	b.Reads("[role=status]", "The configuration is saved and in use.")
	want := config.CallBridge{Enabled: true, XMPP: config.BridgeLink{Name: "cb1", Domain: "tptac9.com", Server: "cb1.tptac9.com", Secret: "kvgP1SRzWVabhiPVAb1"}}
	if diff := cmp.Diff(want, s.document().CallBridge); diff != "" {
		t.Errorf("live.json (-want +got):\n%s", diff)
	}
	b.Type("name", "cb9")
	b.Enter("name")
	b.Reads("[role=status]", "saved")
	if got := s.document().CallBridge.XMPP; got.Name != "cb9" || got.Secret != want.XMPP.Secret {
		t.Errorf("after Enter in a form with a secret: %s, secret kept: %v", got.Name, got.Secret == want.XMPP.Secret)
	}
	b.Press("#test")
	b.Reads("#steps", "compare the secret")
	b.Picture("configuration-general-tested")
	b.Press("button[name=change]")
	b.Do(chromedp.WaitVisible(chromedp.CSS("#secret")))

	for _, p := range []struct{ path, shows, name string }{
		{"/status/cluster", "unreachable for 1 minute, 2 seconds", "status-cluster"},
		{"/status/diagnosis", "Check everything", "diagnosis"},
		{"/configuration/directory", "LDAP server", "directory"},
		{"/logs/tracing", "Trace for", "tracing"},
		{"/configuration/users", "ada@tptac9.com", "users"},
		{"/configuration/certificates", "web.crt", "certificates"},
		{"/logs/events", "335 log messages cleared", "events"},
	} {
		b.Page(p.path)
		b.Reads("#content", p.shows)
		b.Picture(p.name)
	}
	b.Scheme("dark")
	b.Page("/logs/events")
	b.Picture("events-dark")
	b.Page("/status/cluster")
	b.Picture("status-cluster-dark")
	b.Resize(420, 900)
	b.Page("/status/general")
	b.Picture("status-general-dark-narrow")
	if wide := b.Overflow(); wide > 0 {
		t.Errorf("a narrow page is %d pixels too wide", wide)
	}

	// The page follows without being loaded again.
	s.bridge.say("failed to connect to cb1.tptac9.com due to dns error (1 second ago)")
	b.Reads("#system-status", "due to dns error (1 second ago)")
	s.sessions.closeAll()
	b.Reads("h1", "Log in")

	b.IsQuiet()
}

// TestToolsInChromium uses the pages beside the article's, and reads the main
// ones in German.
func TestToolsInChromium(t *testing.T) {
	s := busySite(t)
	b := newChromium(s)
	b.LogIn("admin", password)
	b.Page("/status/diagnosis")
	b.Press("#diagnose")
	b.Reads("#verdict", "Failed: 1 · warnings: 1 · good: 2")
	b.Picture("diagnosis-made")
	b.Do(chromedp.Click(chromedp.CSS("summary")))
	b.Reads("details .findings", "3 members")
	b.Page("/configuration/directory")
	b.Type("address", "ldap.example.com")
	b.Type("basedn", "people")
	b.Type("user", "$uid$")
	b.Press("#submit")
	b.Reads("[role=alert]", "it is written like dc=example,dc=com")
	b.Picture("directory-refused")
	b.Type("basedn", "ou=people,dc=example,dc=com")
	b.Press("#submit")
	b.Reads("[role=status]", "saved")
	s.bridge.directory = callbridgeapi.Directory{Configured: true, Server: "ldap.example.com:389", TLS: "starttls", Offered: true, Users: 212, Synced: start}
	b.Press("#test")
	b.Reads("#steps", "compare the secret")
	b.Picture("directory-tested")
	b.Press("#sync")
	b.Reads("[role=status]", "The users are listed.")
	b.Page("/logs/tracing")
	b.Press(`button[value="10"]`)
	b.Reads("#tracing", "on until 2026-11-22 20:10:00")
	b.Picture("tracing-on")

	b.Press("button[lang=de]")
	b.Reads("h1", "Ablaufverfolgung")
	b.Scheme("dark")
	for _, p := range []struct{ path, name string }{
		{"/status/general", "status-general"}, {"/status/cluster", "status-cluster"}, {"/status/diagnosis", "diagnosis"},
		{"/configuration/general", "configuration-general"}, {"/configuration/directory", "directory"}, {"/logs/tracing", "tracing"},
	} {
		b.Page(p.path)
		b.Picture("de-" + p.name + "-dark")
	}
	b.Page("/status/diagnosis")
	b.Press("#diagnose")
	b.Picture("de-diagnosis-made-dark")
	b.Press("button[lang=en]")
	b.Reads("h1", "Diagnosis")
	b.IsQuiet()
}
