package webadmin

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/diagnosis"
	"parley/services/eventlog/eventlogapi"
	"parley/services/xmpp/xmppapi"
)

// chromium is Debian's browser, without a window.
type chromium struct {
	*site
	ctx context.Context
	mu  sync.Mutex
	// complaints are what the browser found wrong with pages: scripts that
	// fail, and what the Content-Security-Policy forbids.
	complaints []string
}

func newChromium(s *site) *chromium {
	s.t.Helper()
	b := &chromium{site: s}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.Flag("ignore-certificate-errors", true))
	limited, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	allocated, free := chromedp.NewExecAllocator(limited, options...)
	ctx, leave := chromedp.NewContext(allocated, chromedp.WithListener(b.heard))
	s.t.Cleanup(func() { leave(); free(); stop() })
	b.ctx = ctx
	b.do(emulate(1100, 800))
	return b
}

func emulate(width, height int64) chromedp.Action[chromedp.Void] {
	return chromedp.EmulateViewport(width, height)
}

// heard takes what the browser's console would show.
func (b *chromium) heard(event any) {
	text := ""
	switch e := event.(type) {
	case *log.EventEntryAdded:
		text = e.Entry.Text
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
	}
	// A refused form has an error's status, which the console tells of.
	if text == "" || strings.HasPrefix(text, "Failed to load resource: the server responded with a status of 40") {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, text)
}

func (b *chromium) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// press clicks on what leads to another page, and waits for that.
func (b *chromium) press(selector string) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("press %s: %v", selector, err)
	}
}

// typ writes into a field in place of what is there.
func (b *chromium) typ(field, text string) {
	b.t.Helper()
	sel := chromedp.CSS("#" + field)
	b.do(chromedp.Clear(sel), chromedp.SendKeys(sel, text))
}

// reads waits until an element has a text.
func (b *chromium) reads(selector, want string) {
	b.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		got, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS(selector)))
		if err == nil && strings.Contains(got, want) {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s reads %q, %v; want %q", selector, got, err, want)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// picture keeps a screenshot with the test's artifacts (go test -artifacts).
func (b *chromium) picture(name string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// scheme sets what prefers-color-scheme is.
func (b *chromium) scheme(name string) {
	b.do(func(ctx context.Context, t *chromedp.Target) (v chromedp.Void, err error) {
		_, err = cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return v, err
	})
}

// isQuiet checks that the browser found nothing wrong.
func (b *chromium) isQuiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) > 0 {
		b.t.Errorf("the browser complains: %q", b.complaints)
	}
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

	b.do(chromedp.Navigate(s.url))
	b.typ("name", "admin")
	b.typ("password", "wrong")
	b.press("button.primary")
	b.reads("main", "wrong name or password")
	b.picture("login")
	b.typ("password", password)
	b.press("button.primary")
	b.reads("#system-status", "connected to localhost (secure) for 1 minute, 2 seconds")
	b.picture("status-general")

	b.press(`a[href="/configuration/general"]`)
	b.typ("name", "cb1")
	b.typ("domain", "tptac9.com")
	b.typ("server", "cb1.tptac9.com")
	b.typ("secret", "kvgP1SRzWVabhiPVAb1")
	b.typ("confirm", "kvgP1SRzWVabhiPVAb2")
	b.press("#submit")
	b.reads("[role=alert]", "'Shared secret' and 'Confirm shared secret' are not the same")
	b.picture("configuration-general-refused")
	b.typ("secret", "kvgP1SRzWVabhiPVAb1")
	b.typ("confirm", "kvgP1SRzWVabhiPVAb1")
	// Enter submits, not the button that comes first in the form.
	if _, err := chromedp.RunResponse(b.ctx, chromedp.SendKeys(chromedp.CSS("#confirm"), "\r")); err != nil {
		t.Fatal(err)
	}
	b.reads("[role=status]", "The configuration is saved and in use.")
	want := config.CallBridge{Enabled: true, XMPP: config.BridgeLink{Name: "cb1", Domain: "tptac9.com", Server: "cb1.tptac9.com", Secret: "kvgP1SRzWVabhiPVAb1"}}
	if diff := cmp.Diff(want, s.document().CallBridge); diff != "" {
		t.Errorf("live.json (-want +got):\n%s", diff)
	}
	b.typ("name", "cb9")
	if _, err := chromedp.RunResponse(b.ctx, chromedp.SendKeys(chromedp.CSS("#name"), "\r")); err != nil {
		t.Fatal(err)
	}
	b.reads("[role=status]", "saved")
	if got := s.document().CallBridge.XMPP; got.Name != "cb9" || got.Secret != want.XMPP.Secret {
		t.Errorf("after Enter in a form with a secret: %s, secret kept: %v", got.Name, got.Secret == want.XMPP.Secret)
	}
	b.press("#test")
	b.reads("#steps", "compare the secret")
	b.picture("configuration-general-tested")
	b.press("button[name=change]")
	b.do(chromedp.WaitVisible(chromedp.CSS("#secret")))

	for _, p := range []struct{ path, shows, name string }{
		{"/status/cluster", "unreachable for 1 minute, 2 seconds", "status-cluster"},
		{"/status/diagnosis", "Check everything", "diagnosis"},
		{"/configuration/directory", "LDAP server", "directory"},
		{"/logs/tracing", "Trace for", "tracing"},
		{"/configuration/users", "ada@tptac9.com", "users"},
		{"/configuration/certificates", "web.crt", "certificates"},
		{"/logs/events", "335 log messages cleared", "events"},
	} {
		b.press(`a[href="` + p.path + `"]`)
		b.reads("#content", p.shows)
		b.picture(p.name)
	}
	b.scheme("dark")
	b.press(`a[href="/logs/events"]`)
	b.picture("events-dark")
	b.press(`a[href="/status/cluster"]`)
	b.picture("status-cluster-dark")
	b.do(emulate(420, 900))
	b.press(`a[href="/status/general"]`)
	b.picture("status-general-dark-narrow")
	if wide, err := chromedp.Run(b.ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - window.innerWidth`)); err != nil || wide > 0 {
		t.Errorf("a narrow page is %d pixels too wide, %v", wide, err)
	}

	// The page follows without being loaded again.
	b.bridge.say("failed to connect to cb1.tptac9.com due to dns error (1 second ago)")
	b.reads("#system-status", "due to dns error (1 second ago)")
	s.sessions.closeAll()
	b.reads("h1", "Log in")

	b.isQuiet()
}

// TestToolsInChromium uses the pages beside the article's, and reads the main
// ones in German.
func TestToolsInChromium(t *testing.T) {
	s := busySite(t)
	b := newChromium(s)
	b.do(chromedp.Navigate(s.url))
	b.typ("name", "admin")
	b.typ("password", password)
	b.press("button.primary")
	b.press(`a[href="/status/diagnosis"]`)
	b.press("#diagnose")
	b.reads("#verdict", "Failed: 1 · warnings: 1 · good: 2")
	b.picture("diagnosis-made")
	b.do(chromedp.Click(chromedp.CSS("summary")))
	b.reads("details .findings", "3 members")
	b.press(`a[href="/configuration/directory"]`)
	b.typ("address", "ldap.example.com")
	b.typ("basedn", "people")
	b.typ("user", "$uid$")
	b.press("#submit")
	b.reads("[role=alert]", "it is written like dc=example,dc=com")
	b.picture("directory-refused")
	b.typ("basedn", "ou=people,dc=example,dc=com")
	b.press("#submit")
	b.reads("[role=status]", "saved")
	s.bridge.directory = callbridgeapi.Directory{Configured: true, Server: "ldap.example.com:389", TLS: "starttls", Offered: true, Users: 212, Synced: start}
	b.press("#test")
	b.reads("#steps", "compare the secret")
	b.picture("directory-tested")
	b.press("#sync")
	b.reads("[role=status]", "The users are listed.")
	b.press(`a[href="/logs/tracing"]`)
	b.press(`button[value="10"]`)
	b.reads("#tracing", "on until 2026-11-22 20:10:00")
	b.picture("tracing-on")

	b.press("button[lang=de]")
	b.reads("h1", "Ablaufverfolgung")
	b.scheme("dark")
	for _, p := range []struct{ path, name string }{
		{"/status/general", "status-general"}, {"/status/cluster", "status-cluster"}, {"/status/diagnosis", "diagnosis"},
		{"/configuration/general", "configuration-general"}, {"/configuration/directory", "directory"}, {"/logs/tracing", "tracing"},
	} {
		b.press(`a[href="` + p.path + `"]`)
		b.picture("de-" + p.name + "-dark")
	}
	b.press(`a[href="/status/diagnosis"]`)
	b.press("#diagnose")
	b.picture("de-diagnosis-made-dark")
	b.press("button[lang=en]")
	b.reads("h1", "Diagnosis")
	b.isQuiet()
}
