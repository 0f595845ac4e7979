package webadmin

import (
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/eventlog/eventlogapi"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

// TestStatusPage has the article's rows, faults and wording, in its order.
func TestStatusPage(t *testing.T) {
	s := newSite(t)
	s.bridge.status.XMPPRow = "failed to connect to localhost due to authentication failure (1 minute, 2 seconds ago)"
	s.bridge.status.Hint = "type 'xmpp callbridge list' on the first node"
	s.events.faults = []eventlogapi.Fault{{Key: xmppFault, Since: time.Date(2017, 8, 13, 5, 16, 17, 804e6, time.UTC), Message: "XMPP connection to '' failed", Hint: "SRV points to 5222, the client port"}}
	s.events.events = []eventlogapi.Event{
		{ID: 1, Time: start, Level: eventlogapi.Info, Message: "an information"},
		{ID: 2, Time: start.Add(time.Millisecond), Level: eventlogapi.Warning, Message: "a <b>warning</b>"},
		{ID: 3, Time: start.Add(time.Second), Level: eventlogapi.Error, Message: "an error"},
	}
	got := s.loggedIn("app").get("/status/general")
	wantText(t, got, http.StatusOK,
		"System status", "Uptime 24 minutes, 26 seconds", "Build version 2.2.5",
		"XMPP connection failed to connect to localhost due to authentication failure (1 minute, 2 seconds ago)", "type 'xmpp callbridge list'",
		"Authentication service no authentication components found", "Lync Edge registrations not configured",
		"CMA calls 0 SIP calls 0 Lync calls 0 Forwarded calls 0 Completed calls 0 Activated conferences 0 Active Lync subscribers 0",
		"Total outgoing media bandwidth 0 Total incoming media bandwidth 0",
		"Fault conditions Date Time Fault condition 2017-08-13 05:16:17.804 XMPP connection to '' failed SRV points to 5222, the client port",
		"Recent errors and warnings Date Time Logging level Message", "2026-11-22 20:00:01.000 Error an error", "2026-11-22 20:00:00.001 Warning a <b>warning</b>")
	if strings.Contains(got.text(), "an information") || strings.Contains(got.body, "a <b>") {
		t.Errorf("the page has an Info, or an event's text as HTML:\n%s", got.body)
	}
}

// TestServicesGone: pages say what does not answer, and show the rest.
func TestServicesGone(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("admin")
	s.init.gone, s.xmpp.gone, s.bridge.gone, s.events.gone = true, true, true, true
	wantText(t, b.get("/status/general"), http.StatusOK, "Uptime not known the init service does not answer", "XMPP connection not known the callbridge service does not answer",
		"Lync Edge", "Fault conditions the eventlog service does not answer", "Recent errors and warnings the eventlog service does not answer")
	wantText(t, b.get("/configuration/general"), http.StatusOK, "Unique Call Bridge name", "not known the callbridge service does not answer")
	wantText(t, b.get("/configuration/users"), http.StatusServiceUnavailable, "the xmpp service does not answer", "Add a user")
	wantText(t, b.get("/status/cluster"), http.StatusServiceUnavailable, "the xmpp service does not answer")
	wantText(t, b.get("/logs/events"), http.StatusServiceUnavailable, "the eventlog service does not answer")
	wantText(t, b.submit("/configuration/general/test"), http.StatusOK, "the callbridge service does not answer")
	before := s.live()
	wantText(t, b.submit("/configuration/general", "name", "cb1", "domain", "tptac9.com", "secret", "12345678", "confirm", "12345678"), http.StatusServiceUnavailable, "the callbridge service does not answer")
	if diff := cmp.Diff(before, s.live()); diff != "" {
		t.Errorf("a form that was not taken has changed live.json:\n%s", diff)
	}
}

// TestGeneral fills in the article's form.
func TestGeneral(t *testing.T) {
	const secret = "kvgP1SRzWVabhiPVAb1"
	full := config.CallBridge{Enabled: true, XMPP: config.BridgeLink{Name: "cb1", Domain: "tptac9.com", Server: "cb1.tptac9.com:5223", Secret: secret}}
	off := full
	off.Enabled = false
	with := func(change func(*config.CallBridge)) config.CallBridge {
		c := full
		change(&c)
		return c
	}
	tests := []struct {
		name   string
		before config.CallBridge
		fields []string
		want   config.CallBridge
		// failure is on the page where it was refused; audit the commands.
		failure string
		audit   []string
	}{
		{
			"first time", config.CallBridge{},
			[]string{"name", "CB1", "domain", "TPTAC9.com", "server", "CB1.tptac9.com:5223", "secret", secret + "\n", "confirm", " " + secret}, full, "",
			[]string{"callbridge xmpp name cb1", "callbridge xmpp domain tptac9.com", "callbridge xmpp server cb1.tptac9.com:5223", "callbridge xmpp secret", "callbridge enable"},
		},
		{"no server", full, []string{"name", "cb1", "domain", "tptac9.com", "server", ""}, with(func(c *config.CallBridge) { c.XMPP.Server = "" }), "", []string{"callbridge xmpp server none"}},
		{"the secret stays", full, []string{"name", "cb2", "domain", "tptac9.com", "server", "cb1.tptac9.com:5223"}, with(func(c *config.CallBridge) { c.XMPP.Name = "cb2" }), "", []string{"callbridge xmpp name cb2"}},
		{"new secret", full, []string{"name", "cb1", "domain", "tptac9.com", "server", "cb1.tptac9.com:5223", "secret", "uBiLLdIU8vVqj86CAb1", "confirm", "uBiLLdIU8vVqj86CAb1"}, with(func(c *config.CallBridge) { c.XMPP.Secret = "uBiLLdIU8vVqj86CAb1" }), "", []string{"callbridge xmpp secret"}},
		{"disabled stays so", off, []string{"name", "cb2", "domain", "tptac9.com", "server", "cb1.tptac9.com:5223"}, with(func(c *config.CallBridge) { c.XMPP.Name, c.Enabled = "cb2", false }), "", []string{"callbridge xmpp name cb2"}},
		{"without a secret it does not connect", config.CallBridge{}, []string{"name", "cb1", "domain", "tptac9.com"}, config.CallBridge{XMPP: config.BridgeLink{Name: "cb1", Domain: "tptac9.com"}}, "", []string{"callbridge xmpp name cb1", "callbridge xmpp domain tptac9.com"}},
		{"all empty", full, []string{"name", "", "domain", "", "server", ""}, config.CallBridge{Enabled: true}, "", []string{"callbridge xmpp name none", "callbridge xmpp domain none", "callbridge xmpp server none", "callbridge xmpp secret"}},
		{"no name", full, []string{"domain", "tptac9.com"}, full, "'Unique Call Bridge name' is empty", nil},
		{"name with domain", full, []string{"name", "cb1.tptac9.com", "domain", "tptac9.com"}, full, "cb1.tptac9.com cannot be the name of a Call Bridge", nil},
		{"no domain", full, []string{"name", "cb1"}, full, "'Domain' is empty", nil},
		{"domain is an address", full, []string{"name", "cb1", "domain", "10.1.2.3"}, full, "'10.1.2.3' cannot be an XMPP domain", nil},
		{"domain with port", full, []string{"name", "cb1", "domain", "tptac9.com:5223"}, full, "cannot be an XMPP domain", nil},
		{"bad server", full, []string{"name", "cb1", "domain", "tptac9.com", "server", "https://cb1"}, full, "'https://cb1' is not the address of a server", nil},
		{"secrets differ", full, []string{"name", "cb1", "domain", "tptac9.com", "secret", "12345678", "confirm", "12345679"}, full, "'Shared secret' and 'Confirm shared secret' are not the same", nil},
		{"only the confirmation", full, []string{"name", "cb1", "domain", "tptac9.com", "confirm", "12345679"}, full, "are not the same", nil},
		{"short secret", full, []string{"name", "cb1", "domain", "tptac9.com", "secret", "1234567", "confirm", "1234567"}, full, "this cannot be the secret of Call Bridge cb1", nil},
		{"a HTML name", full, []string{"name", "<script>", "domain", "tptac9.com"}, full, "<script> cannot be the name", nil},
	}
	s := newSite(t)
	b := s.loggedIn("admin")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.configure(func(d *config.Document) { d.CallBridge = tt.before })
			reloads := s.bridge.reloads
			got := b.submit("/configuration/general", tt.fields...)
			if tt.failure == "" {
				if want := "/configuration/general?done=" + map[bool]string{true: "saved", false: "kept"}[tt.want.Enabled]; got.location() != want || s.bridge.reloads != reloads+1 {
					t.Errorf("leads to %q with %d reloads:\n%s", got.location(), s.bridge.reloads-reloads, got.text())
				}
			} else {
				wantText(t, got, http.StatusBadRequest, "Not done: ", tt.failure)
				if strings.Contains(got.body, "<script>") || strings.Contains(got.body, "1234567\"") || !strings.Contains(got.body, "aria-invalid") {
					t.Errorf("the page has what was typed as HTML, the secret, or marks no field:\n%s", got.body)
				}
			}
			if diff := cmp.Diff(tt.want, s.document().CallBridge); diff != "" {
				t.Errorf("CallBridge (-want +got):\n%s", diff)
			}
			s.audited(t, "admin", tt.audit...)
			if page := b.get("/configuration/general").body + got.body; strings.Contains(page, secret) || strings.Contains(page, "uBiLL") {
				t.Errorf("a secret is on the page:\n%s", page)
			}
		})
	}
}

// TestChangeSecret: the fields for a new secret come with [change], and what
// was typed meanwhile stays.
func TestChangeSecret(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("admin")
	if got := b.get("/configuration/general"); !strings.Contains(got.body, `name="confirm"`) {
		t.Errorf("without a secret there is no field for one:\n%s", got.body)
	}
	s.configure(func(d *config.Document) {
		d.CallBridge.XMPP = config.BridgeLink{Name: "cb1", Domain: "tptac9.com", Secret: "kvgP1SRzWVabhiPVAb1"}
	})
	got := b.get("/configuration/general")
	wantText(t, b.get("/configuration/general?done=kept"), http.StatusOK, "The configuration is saved. General configuration the Call Bridge is disabled")
	wantText(t, got, http.StatusOK, "the Call Bridge is disabled and does not connect", "Unique Call Bridge name", "Domain", "Server address", "Shared secret set [change]", "Submit")
	if strings.Contains(got.body, `name="secret"`) {
		t.Errorf("there is a field for a secret before [change]:\n%s", got.body)
	}
	got = b.submit("/configuration/general", "name", "cb9", "domain", "tptac9.com", "server", "", "change", "secret")
	wantText(t, got, http.StatusOK, "Shared secret", "Confirm shared secret", "Submit")
	if !strings.Contains(got.body, `value="cb9"`) || s.document().CallBridge.XMPP.Name != "cb1" || len(s.audit.take()) != 0 {
		t.Errorf("[change] lost what was typed, or saved it:\n%s", got.body)
	}
}

// TestRefusedByService: live.json is as before where the Call Bridge refuses.
func TestRefusedByService(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("admin")
	s.bridge.refuse = problem.New(problem.LinkServer, "server", "nowhere")
	before := s.live()
	wantText(t, b.submit("/configuration/general", "name", "cb1", "domain", "tptac9.com", "server", "nowhere"), http.StatusBadRequest, "'nowhere' is not the address of a server")
	if diff := cmp.Diff(before, s.live()); diff != "" {
		t.Errorf("live.json (-before +after):\n%s", diff)
	}
}

func TestBridgeTest(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("admin")
	wantText(t, b.submit("/configuration/general/test"), http.StatusOK, "There was nothing to test")
	s.bridge.steps = []callbridgeapi.Step{
		{What: "DNS SRV", OK: true, Detail: "_xmpp-component._tcp.tptac9.com: 1 record", Took: 12 * time.Millisecond},
		{Target: "cb1.tptac9.com", What: "authentication", Detail: "not-authorized", Hint: "compare 'xmpp callbridge list'"},
	}
	wantText(t, b.submit("/configuration/general/test"), http.StatusOK, "Test of the connection Server Step Result Detail Took",
		"all DNS SRV OK _xmpp-component._tcp.tptac9.com: 1 record 12 ms", "cb1.tptac9.com authentication FAILED not-authorized compare 'xmpp callbridge list' 0 ms")
}

func TestCertificates(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("admin")
	check(t, os.WriteFile(s.file("notes.txt"), []byte("no certificate"), 0o600))
	wantText(t, b.get("/configuration/certificates"), http.StatusOK, "File Holds Used by Expires", "web.crt certificate webadmin certs 2027-11-22 20:00:00", "web.key private key webadmin certs")
	s.clock.move(340 * 24 * time.Hour)
	b = s.loggedIn("admin")
	wantText(t, b.get("/configuration/certificates"), http.StatusOK, "2027-11-22 20:00:00 soon")
	s.clock.move(30 * 24 * time.Hour)
	b = s.loggedIn("admin")
	wantText(t, b.get("/configuration/certificates"), http.StatusOK, "2027-11-22 20:00:00 expired")
	wantText(t, b.get("/configuration/certificates?file=web.crt"), http.StatusOK, "Subject : CN=cb1.tptac9.com", "Valid until", "expired 5 days ago")
	key := b.get("/configuration/certificates?file=web.key")
	wantText(t, key, http.StatusOK, "Key : ECDSA, P-256")
	if strings.Contains(key.body, "PRIVATE") {
		t.Errorf("the key is on the page:\n%s", key.body)
	}
	wantText(t, b.get("/configuration/certificates?file=..%2Flive.json"), http.StatusBadRequest, "cannot be a file name")
	wantText(t, b.get("/configuration/certificates?file=none.crt"), http.StatusNotFound, "there is no file none.crt")
	wantText(t, b.get("/configuration/certificates?file=notes.txt"), http.StatusBadRequest, "notes.txt is neither key nor certificate")
}

func TestEvents(t *testing.T) {
	s := newSite(t)
	at := time.Date(2017, 8, 13, 5, 16, 17, 804e6, time.UTC)
	s.events.events = []eventlogapi.Event{
		{ID: 1, Time: time.Date(2017, 8, 13, 5, 15, 25, 479e6, time.UTC), Level: eventlogapi.Info, Message: `335 log messages cleared by "admin"`},
		{ID: 2, Time: at, Level: eventlogapi.Info, Message: "No DNS A or AAAA records for _xmpp-component._tcp.tptac9.com"},
		{ID: 3, Time: at, Level: eventlogapi.Info, Message: "XMPP connection dropped while session was live for reason 2", Hint: "ask for the SRV record"},
		{ID: 4, Time: at, Level: eventlogapi.Warning, Message: "a tab\tand a\nline"},
	}
	b := s.loggedIn("admin")
	wantText(t, b.get("/logs/events"), http.StatusOK, "Download Clear", "Date Time Logging level Message", "Warning", "XMPP connection dropped while session was live for reason 2 ask for the SRV record",
		"2017-08-13 05:16:17.804 Info No DNS A or AAAA records for _xmpp-component._tcp.tptac9.com", `2017-08-13 05:15:25.479 Info 335 log messages cleared by "admin"`)
	b.get("/logs/events?level=Warning&level=Quark&level=Error&text=+live+&limit=9999")
	if diff := cmp.Diff(eventlogapi.Query{Limit: maxEvents, Levels: []eventlogapi.Level{"Warning", "Error"}, Text: "live"}, s.events.asked); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	got := b.get("/logs/events/download?level=Info&level=Warning")
	want := "2017-08-13\t05:15:25.479\tInfo\t335 log messages cleared by \"admin\"\n" +
		"2017-08-13\t05:16:17.804\tInfo\tNo DNS A or AAAA records for _xmpp-component._tcp.tptac9.com\n" +
		"2017-08-13\t05:16:17.804\tInfo\tXMPP connection dropped while session was live for reason 2\n" +
		"2017-08-13\t05:16:17.804\tWarning\ta tab and a line\n"
	if got.body != want || got.header.Get("Content-Disposition") != `attachment; filename="eventlog-cb1-20261122-200000.txt"` || got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("download %v =\n%s\nwant\n%s", got.header, got.body, want)
	}
	wantText(t, b.get("/logs/events?do=clear"), http.StatusOK, "Clear the event log? This deletes all events of this node", "Clear Cancel")
	if got := b.submit("/logs/events/clear"); got.location() != "/logs/events?done=cleared" {
		t.Errorf("clear leads to %q", got.location())
	}
	wantText(t, b.get("/logs/events?done=cleared"), http.StatusOK, "The event log is cleared.", `4 log messages cleared by "admin"`)
	s.audited(t, "admin", "eventlog clear")
}

func TestCluster(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("admin")
	wantText(t, b.get("/status/cluster"), http.StatusOK, "This node is in no cluster.", "No Call Bridge is registered.")
	s.xmpp.status = xmppapi.Status{Sessions: 12, Components: 1, Accounts: 40, Pending: 7}
	s.xmpp.bridges = []xmppapi.CallBridge{{Name: "cb1", Secret: "kvgP1SRzWVabhiPVAb1", Connected: true}, {Name: "cb2", Secret: "uBiLLdIU8vVqj86CAb1"}}
	s.xmpp.cluster = xmppapi.Cluster{Member: true, Leader: true, State: "FOLLOWER", StateChange: start, Margin: 0, Nodes: []xmppapi.Node{
		{Address: "10.106.81.30:5222", Leader: true, Reachable: true, Since: start.Add(-time.Hour), LastIndex: 90, Version: "1.0", Sessions: 7, CallBridges: []string{"cb1", "cb3"}},
		{Address: "10.106.81.31:5222", Since: start.Add(-62 * time.Second), LastIndex: 80, Lag: 10},
		{Address: "10.106.81.32:5222", Self: true, Reachable: true, LastIndex: 90, Version: "1.0", Clock: 0},
	}}
	s.xmpp.cluster.Nodes[0].Clock = 1500 * time.Millisecond
	got := b.get("/status/cluster")
	wantText(t, got, http.StatusOK, "The cluster stands no more failure", "10.106.81.30:5222 leader Sessions: 7 · Call Bridges: 2", "10.106.81.31:5222 follower 10.106.81.32:5222", "State of this node FOLLOWER", "Last state change 2026-11-22 20:00:00",
		"Client sessions here 12", "Call Bridges connected here 1", "Chat accounts 40", "Messages waiting 7",
		"10.106.81.30:5222 leader reachable for 1 hour, 0 minutes, 0 seconds 7 cb1, cb3 90 0 1.0 off by 1.5s",
		"10.106.81.31:5222 follower unreachable for 1 minute, 2 seconds 80 10", "10.106.81.32:5222 follower this node 0 90 0 1.0 right", "The event log of this node has no change of the leader.",
		"Call Bridges Call Bridge Connected cb1 yes cb2 no")
	if strings.Contains(got.body, "kvgP1") || strings.Contains(got.body, "uBiLL") {
		t.Errorf("secrets are on the page:\n%s", got.body)
	}
	s.events.events = []eventlogapi.Event{
		{Time: start.Add(-time.Hour), Message: eventlogapi.LeaderChange{Node: "10.106.81.31:5222", Before: "10.106.81.30:5222"}.Message()},
		{Time: start.Add(-time.Minute), Message: eventlogapi.LeaderChange{Node: "10.106.81.30:5222", Before: "10.106.81.31:5222"}.Message()},
	}
	wantText(t, b.get("/status/cluster"), http.StatusOK, "Leader changes", "now 10.106.81.30:5222 10.106.81.31:5222 Date Time Leads since then Led before",
		"2026-11-22 19:59:00.000 10.106.81.30:5222 10.106.81.31:5222", "2026-11-22 19:00:00.000 10.106.81.31:5222 10.106.81.30:5222", "Call Bridges Call Bridge Connected")
	s.events.gone = true
	wantText(t, b.get("/status/cluster"), http.StatusOK, "10.106.81.30:5222 leader", "Leader changes", "eventlog", "cb1 yes")
	s.events.gone = false
	for _, tt := range []struct {
		name    string
		cluster xmppapi.Cluster
		want    string
	}{
		{"outside", xmppapi.Cluster{Member: true, Outside: true, Margin: -1}, "This node was taken out of its cluster"},
		{"down", xmppapi.Cluster{Member: true, Margin: -1}, "The cluster is down"},
		{"no leader", xmppapi.Cluster{Member: true, Margin: 1}, "There is no leader at the moment"},
		{"good", xmppapi.Cluster{Member: true, Leader: true, Margin: 2}, "The cluster stands the failure of 2 more nodes."},
		{"one", xmppapi.Cluster{Member: true, Leader: true, Margin: 1}, "The cluster stands the failure of one more node."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.xmpp.cluster = tt.cluster
			wantText(t, b.get("/status/cluster"), http.StatusOK, tt.want)
		})
	}
}

func TestUnknownPage(t *testing.T) {
	s := newSite(t)
	wantText(t, s.loggedIn("admin").get("/status/calls"), http.StatusNotFound, "there is no page /status/calls", "Back to Status")
	if got := s.browser().get("/static/../server.go"); got.status == http.StatusOK {
		t.Error("the server hands out files beside its own")
	}
}

// TestDoneIsNoText: a link cannot put words into a page.
func TestDoneIsNoText(t *testing.T) {
	s := newSite(t)
	for _, done := range []string{"hello", "status.faults", "<b>"} {
		if got := s.loggedIn("admin").get("/status/general?done=" + done); strings.Contains(got.body, `role="status"`) {
			t.Errorf("done=%s is told of:\n%s", done, got.body)
		}
	}
}

// TestTexts: what templates and code ask for is there, and nothing else is.
func TestTexts(t *testing.T) {
	files := []string{"english.go", "german.go"}
	literal := regexp.MustCompile(`"([a-z]+(?:[.-][a-z0-9-]+)*)"`)
	var sources []string
	for _, dir := range []string{".", "templates"} {
		entries, err := os.ReadDir(dir)
		check(t, err)
		for _, e := range entries {
			if n := e.Name(); !e.IsDir() && !slices.Contains(files, n) && !strings.HasSuffix(n, "_test.go") {
				data, err := os.ReadFile(dir + "/" + n)
				check(t, err)
				sources = append(sources, string(data))
			}
		}
	}
	all := strings.Join(sources, "\n")
	said := map[string]bool{}
	for _, m := range literal.FindAllStringSubmatch(all, -1) {
		said[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`\{\{t "([^"]+)"|\(t "([^"]+)"`).FindAllStringSubmatch(all, -1) {
		if key := m[1] + m[2]; english.texts[key] == "" {
			t.Errorf("a template wants the text %q, which is not there", key)
		}
	}
	for key := range maps.Keys(english.texts) {
		// These are put together from a part.
		made := strings.HasSuffix(key, ".title") || strings.HasPrefix(key, "done.") || strings.HasPrefix(key, "cluster.stands.") || strings.HasPrefix(key, "unit.") || strings.HasPrefix(key, "directory.tls.") || strings.HasPrefix(key, "level.")
		if !said[key] && !made {
			t.Errorf("nothing wants the text %q", key)
		}
	}
	for _, g := range menu {
		keys := []string{g.Title}
		for _, i := range g.Items {
			keys = append(keys, i.Title)
		}
		if i := slices.IndexFunc(keys, func(k string) bool { return english.texts[k] == "" }); i >= 0 {
			t.Errorf("the menu wants the text %q, which is not there", keys[i])
		}
	}
}

// TestLanguages: each text of one language is in the others, with the same
// values put in.
func TestLanguages(t *testing.T) {
	verbs := regexp.MustCompile(`%[a-z]`)
	for _, l := range languages() {
		for key, text := range english.texts {
			got, ok := l.texts[key]
			if !ok || strings.TrimSpace(got) == "" {
				t.Errorf("%s: the text %q is missing", l.name, key)
			}
			if a, b := verbs.FindAllString(text, -1), verbs.FindAllString(got, -1); !slices.Equal(a, b) {
				t.Errorf("%s: %q has %q put in; want %q", l.name, key, b, a)
			}
		}
		for key := range l.texts {
			if _, ok := english.texts[key]; !ok {
				t.Errorf("%s: nothing wants the text %q", l.name, key)
			}
		}
	}
}
