package webadmin

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/eventlog/eventlogapi"
	"parley/services/xmpp/xmppapi"
)

// program is a client of the API with HTTP Basic.
func (s *site) program(name, password string) *browser {
	b := s.browser()
	b.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(name+":"+password)))
	return b
}

// newAPISite has something of everything to tell.
func newAPISite(t *testing.T) *site {
	s := newSite(t)
	s.configure(func(d *config.Document) {
		d.CallBridge.XMPP = config.BridgeLink{Name: "cb1", Domain: "tptac9.com", Server: "localhost:5223", Secret: "kvgP1SRzWVabhiPVAb1"}
	})
	s.bridge.status.State, s.bridge.status.Reason = callbridgeapi.Failed, callbridgeapi.AuthenticationFailure
	s.events.faults = []eventlogapi.Fault{
		{Key: xmppFault, Since: start.Add(-time.Minute), Message: "XMPP connection to '' failed", Hint: "SRV points to 5222"},
		{Key: "xmpp.certificate", Since: start, Message: "abhiall.cer expires in 3 days"},
	}
	s.xmpp.status = xmppapi.Status{Running: true, Clustered: true, Sessions: 12, Components: 1, Accounts: 40, Pending: 7, LastIndex: 90, Expires: start.Add(time.Hour)}
	s.xmpp.bridges = []xmppapi.CallBridge{{Name: "cb1", Secret: "kvgP1SRzWVabhiPVAb1", Connected: true}, {Name: "cb2", Secret: "uBiLLdIU8vVqj86CAb1"}}
	s.xmpp.cluster = xmppapi.Cluster{Member: true, Leader: true, State: "LEADER", Margin: 1, StateChange: start, Nodes: []xmppapi.Node{
		{Address: "10.106.81.31:5222", Reachable: true, Lag: 2, Clock: 1500 * time.Millisecond, Sessions: 3, CallBridges: []string{"cb1"}}, {Address: "10.106.81.30:5222", Self: true, Leader: true},
	}}
	s.database.status = databaseapi.Status{Mode: databaseapi.Member, Trouble: "no primary; wait", InUse: "10.106.81.30", Nodes: []databaseapi.Node{
		{Address: "10.106.81.30", Self: true, Primary: true, Connected: true}, {Address: "10.106.81.31", Connected: true, Behind: 3}, {Address: "10.106.81.32", Behind: 90},
	}}
	return s
}

func TestAPI(t *testing.T) {
	s := newAPISite(t)
	b := s.program("api", password)
	cb2 := idOf("callbridge", "cb2")
	tests := []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"status", "GET", "system/status", "", 200, `<status><softwareVersion>2.2.5</softwareVersion><uptimeSeconds>1466</uptimeSeconds><cdrTime>2026-11-22T20:00:00Z</cdrTime><activated>true</activated><clusterEnabled>true</clusterEnabled>` +
			`<cdrCorrelatorIndex>0</cdrCorrelatorIndex><callLegsActive>0</callLegsActive><callLegsMaxActive>0</callLegsMaxActive><callLegsCompleted>0</callLegsCompleted><audioBitRateOutgoing>0</audioBitRateOutgoing><audioBitRateIncoming>0</audioBitRateIncoming>` +
			`<videoBitRateOutgoing>0</videoBitRateOutgoing><videoBitRateIncoming>0</videoBitRateIncoming><xmppConnection>failed</xmppConnection><xmppConnectionReason>authentication failure</xmppConnectionReason></status>`},
		{"alarms", "GET", "system/alarms", "", 200, `<alarms total="2"><alarm id="` + idOf("alarm", xmppFault) + `"><type>xmppRegistrationFailure</type><activeTimeSeconds>60</activeTimeSeconds><message>XMPP connection to &#39;&#39; failed</message><hint>SRV points to 5222</hint></alarm>` +
			`<alarm id="` + idOf("alarm", "xmpp.certificate") + `"><type>xmpp.certificate</type><activeTimeSeconds>0</activeTimeSeconds><message>abhiall.cer expires in 3 days</message></alarm></alarms>`},
		{"alarms from the third", "GET", "system/alarms?offset=2&limit=5", "", 200, `<alarms total="2"></alarms>`},
		{"alarms with a bad offset", "GET", "system/alarms?offset=-1", "", 400, `<failureDetails><parameterError parameter="offset" error="it is not a number from 0"></parameterError></failureDetails>`},
		{"xmpp", "GET", "system/xmpp", "", 200, `<xmpp><running>true</running><clientSessions>12</clientSessions><callBridges>1</callBridges><accounts>40</accounts><messagesWaiting>7</messagesWaiting><clustered>true</clustered><state>LEADER</state><leaderKnown>true</leaderKnown><margin>1</margin>` +
			`<nodes><node address="10.106.81.31:5222"><self>false</self><leader>false</leader><learner>false</learner><reachable>true</reachable><lag>2</lag><clockSecondsAhead>1.5</clockSecondsAhead><clientSessions>3</clientSessions><callBridges><name>cb1</name></callBridges></node>` +
			`<node address="10.106.81.30:5222"><self>true</self><leader>true</leader><learner>false</learner><reachable>true</reachable><lag>0</lag><clockSecondsAhead>0</clockSecondsAhead><clientSessions>0</clientSessions><callBridges></callBridges></node></nodes></xmpp>`},
		{"database", "GET", "system/database", "", 200, `<database><clustered>enabled</clustered><trouble>no primary; wait</trouble><cluster><node><hostname>10.106.81.30</hostname><up>true</up><syncBehind>0</syncBehind><master>true</master></node>` +
			`<node><hostname>10.106.81.31</hostname><up>true</up><syncBehind>3</syncBehind><master>false</master></node><node><hostname>10.106.81.32</hostname><up>false</up><syncBehind>-1</syncBehind><master>false</master></node></cluster></database>`},
		{"configuration", "GET", "system/configuration/xmpp", "", 200, `<xmpp><uniqueName>cb1</uniqueName><domain>tptac9.com</domain><serverAddressOverride>localhost:5223</serverAddressOverride></xmpp>`},
		{"Call Bridges", "GET", "callBridges?offset=1&limit=1", "", 200, `<callBridges total="2"><callBridge id="` + cb2 + `"><name>cb2</name><connected>false</connected></callBridge></callBridges>`},
		{"filtered", "GET", "callBridges?filter=B2", "", 200, `<callBridges total="1"><callBridge id="` + cb2 + `"><name>cb2</name><connected>false</connected></callBridge></callBridges>`},
		{"one of them", "GET", "callBridges/" + cb2, "", 200, `<callBridge id="` + cb2 + `"><name>cb2</name><connected>false</connected></callBridge>`},
		{"none of them", "GET", "callBridges/cb2", "", 404, `<failureDetails><callBridgeDoesNotExist></callBridgeDoesNotExist></failureDetails>`},
		{"no such path", "GET", "coSpaces", "", 404, `<failureDetails><unrecognisedObject></unrecognisedObject></failureDetails>`},
		{"no such method", "DELETE", "system/status", "", 404, `<failureDetails><unrecognisedObject></unrecognisedObject></failureDetails>`},
		{"bad parameter", "PUT", "system/configuration/xmpp", "uniqueName=a+b", 400, `<failureDetails><parameterError parameter="uniqueName" error="a b cannot be the name of a Call Bridge; use letters, digits and dashes, without the domain"></parameterError></failureDetails>`},
		{"unknown parameter", "PUT", "system/configuration/xmpp", "name=cb1", 400, `<failureDetails><parameterError parameter="name" error="there is no such parameter"></parameterError></failureDetails>`},
	}
	before := s.live()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := b.do(tt.method, apiPath+tt.path, tt.body)
			if diff := cmp.Diff(`<?xml version="1.0"?>`+"\n"+tt.want, got.body); diff != "" || got.status != tt.status || got.header.Get("Content-Type") != "text/xml" {
				t.Errorf("%s %s = %d %v (-want +got)\n%s", tt.method, tt.path, got.status, got.header, diff)
			}
		})
	}
	if diff := cmp.Diff(before, s.live()); diff != "" {
		t.Errorf("what was refused has changed live.json:\n%s", diff)
	}
	b.header.Set("Accept", "text/html, application/json;q=0.9")
	got := b.get(apiPath + "callBridges?filter=cb2")
	want := `{"total":1,"callBridges":[{"id":"` + cb2 + `","name":"cb2","connected":false}]}` + "\n"
	if got.body != want || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("as JSON = %s\nwant %s", got.body, want)
	}
	if got := b.get(apiPath + "callBridges/x"); got.status != 404 || got.body != `{"failureDetails":{"callBridgeDoesNotExist":{}}}`+"\n" {
		t.Errorf("a failure as JSON = %d %s", got.status, got.body)
	}
}

// A node that is in no cluster has no state in one.
func TestAPIOutsideCluster(t *testing.T) {
	s := newAPISite(t)
	s.xmpp.cluster = xmppapi.Cluster{State: "LEADER", Margin: -1}
	b := s.program("api", password)
	for accept, want := range map[string]string{
		"text/xml":         "<clustered>false</clustered><leaderKnown>false</leaderKnown><margin>-1</margin>",
		"application/json": `"clustered":false,"leaderKnown":false,"margin":-1`,
	} {
		b.header.Set("Accept", accept)
		if got := b.get(apiPath + "system/xmpp"); got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("system/xmpp as %s = %d %s; want in it %s", accept, got.status, got.body, want)
		}
	}
}

func TestAPIChangesBridges(t *testing.T) {
	cb1, cb3 := apiPath+"callBridges/"+idOf("callbridge", "cb1"), apiPath+"callBridges/"+idOf("callbridge", "cb3")
	missing := `<callBridgeDoesNotExist></callBridgeDoesNotExist>`
	wrong := func(parameter, detail string) string {
		return `<parameterError parameter="` + parameter + `" error="` + detail
	}
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		// want is in the body, location the new one's; names are those that
		// there are then, audit is the command.
		want, location string
		names          []string
		audit          string
	}{
		{"new", "POST", apiPath + "callBridges", "name=CB3", 200, "", cb3, []string{"cb1", "cb2", "cb3"}, "xmpp callbridge add cb3"},
		{"new as the original's tools do", "POST", apiPath + "callBridges", "name=cb3&address=&sipDomain=", 200, "", cb3, []string{"cb1", "cb2", "cb3"}, "xmpp callbridge add cb3"},
		{"new with a secret", "POST", apiPath + "callBridges", "name=cb3&sharedSecret=uBiLLdIU8vVqj86CAb1", 200, "", cb3, []string{"cb1", "cb2", "cb3"}, "xmpp callbridge add-secret cb3"},
		{"without a name", "POST", apiPath + "callBridges", "", 400, wrong("name", "it is missing"), "", []string{"cb1", "cb2"}, ""},
		{"with a long address", "POST", apiPath + "callBridges", "name=cb3&address=" + strings.Repeat("x", 256), 400, wrong("address", "it is longer than 255 bytes"), "", []string{"cb1", "cb2"}, ""},
		{"with an odd domain", "POST", apiPath + "callBridges", "name=cb3&sipDomain=a%0Ab", 400, wrong("sipDomain", "it is longer than 255 bytes, or has characters"), "", []string{"cb1", "cb2"}, ""},
		{"with a long parameter", "POST", apiPath + "callBridges", "name=cb3&" + strings.Repeat("x", 9999) + "=", 400, wrong(strings.Repeat("x", maxEcho)+"…", "there is no such parameter"), "", []string{"cb1", "cb2"}, ""},
		{"with something else", "POST", apiPath + "callBridges", "name=cb3&x=", 400, wrong("x", "there is no such parameter"), "", []string{"cb1", "cb2"}, ""},
		{"twice", "POST", apiPath + "callBridges", "name=cb2", 400, "<duplicateCallBridgeName></duplicateCallBridgeName>", "", []string{"cb1", "cb2"}, "xmpp callbridge add cb2"},
		{"a bad name", "POST", apiPath + "callBridges", "name=a.b", 400, wrong("name", "a.b cannot be the name"), "", []string{"cb1", "cb2"}, "xmpp callbridge add a.b"},
		{"a bad secret", "POST", apiPath + "callBridges", "name=cb3&sharedSecret=x", 400, wrong("sharedSecret", "this cannot be the secret"), "", []string{"cb1", "cb2"}, "xmpp callbridge add-secret cb3"},
		{"put as it is", "PUT", cb1, "name=cb1", 200, "", "", []string{"cb1", "cb2"}, ""},
		{"renamed", "PUT", cb1, "name=cb9", 400, wrong("name", "a Call Bridge keeps its name"), "", []string{"cb1", "cb2"}, ""},
		{"another secret", "PUT", cb1, "sharedSecret=uBiLLdIU8vVqj86CAb1", 400, wrong("sharedSecret", "a Call Bridge keeps its secret"), "", []string{"cb1", "cb2"}, ""},
		{"put what is not there", "PUT", cb3, "name=cb3", 404, missing, "", []string{"cb1", "cb2"}, ""},
		{"deleted", "DELETE", cb1, "", 200, "", "", []string{"cb2"}, "xmpp callbridge del cb1"},
		{"delete what is not there", "DELETE", cb3, "", 404, missing, "", []string{"cb1", "cb2"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newAPISite(t)
			got := s.program("api", password).do(tt.method, tt.path, tt.body)
			if got.status != tt.status || !strings.Contains(got.body, tt.want) || tt.want == "" && got.body != "" || got.location() != tt.location {
				t.Errorf("%s %s = %d, at %q: %s; want %d, at %q: %s", tt.method, tt.path, got.status, got.location(), got.body, tt.status, tt.location, tt.want)
			}
			var names []string
			for _, b := range s.xmpp.bridges {
				names = append(names, b.Name)
			}
			if diff := cmp.Diff(tt.names, names); diff != "" {
				t.Errorf("Call Bridges (-want +got):\n%s", diff)
			}
			audit := []string{"api: login to API by password: permission granted"}
			if tt.audit != "" {
				audit = append(audit, "api: "+tt.audit+": permission granted")
			}
			if diff := cmp.Diff(audit, s.audit.take()); diff != "" {
				t.Errorf("audit (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAPIDescribesBridges: what the original's programs send with a Call Bridge is
// kept, and changed by what is given.
func TestAPIDescribesBridges(t *testing.T) {
	s := newAPISite(t)
	b := s.program("api", password)
	s.audit.take()
	all, cb3 := apiPath+"callBridges", apiPath+"callBridges/"+idOf("callbridge", "cb3")
	const login = "api: login to API by password: permission granted"
	for _, step := range []struct {
		method, path, body string
		// want is of GET then; audit are the lines but for the log-in.
		want  string
		audit []string
	}{
		{"POST", all, "name=cb3&address=https://10.106.81.32:445&sipDomain=tptac9.com", "<name>cb3</name><address>https://10.106.81.32:445</address><sipDomain>tptac9.com</sipDomain><connected>",
			[]string{"xmpp callbridge add cb3", `API callBridges/cb3 address="https://10.106.81.32:445" sipDomain="tptac9.com"`}},
		{"PUT", cb3, "name=cb3&address=https://10.106.81.32:445", "<name>cb3</name><address>https://10.106.81.32:445</address><sipDomain>tptac9.com</sipDomain><connected>", nil},
		{"PUT", cb3, "address=", "<name>cb3</name><sipDomain>tptac9.com</sipDomain><connected>", []string{`API callBridges/cb3 address="" sipDomain="tptac9.com"`}},
		{"PUT", cb3, "sipDomain=", "<name>cb3</name><connected>", []string{`API callBridges/cb3 address="" sipDomain=""`}},
	} {
		if got := b.do(step.method, step.path, step.body); got.status != 200 || got.body != "" {
			t.Errorf("%s %s %s = %d %s; want 200", step.method, step.path, step.body, got.status, got.body)
		}
		var lines []string
		for _, l := range s.audit.take() {
			if l != login {
				lines = append(lines, strings.TrimSuffix(strings.TrimPrefix(l, "api: "), ": permission granted"))
			}
		}
		if diff := cmp.Diff(step.audit, lines); diff != "" {
			t.Errorf("audit of %s %s (-want +got):\n%s", step.method, step.body, diff)
		}
		for _, path := range []string{all + "?filter=cb3", cb3} {
			if got := b.get(path); !strings.Contains(got.body, step.want) {
				t.Errorf("after %s %s: GET %s = %s; want %s", step.method, step.body, path, got.body, step.want)
			}
		}
	}
}

func TestAPIChangesLink(t *testing.T) {
	for _, method := range []string{"PUT", "POST"} {
		t.Run(method, func(t *testing.T) {
			s := newAPISite(t)
			b := s.program("api", password)
			got := b.do(method, apiPath+"system/configuration/xmpp", "domain=Example.org&serverAddressOverride=&sharedSecret=uBiLLdIU8vVqj86CAb1")
			if got.status != http.StatusOK || got.body != "" || s.bridge.reloads != 1 {
				t.Errorf("= %d %q, %d reloads; want 200, nothing, 1", got.status, got.body, s.bridge.reloads)
			}
			want := config.BridgeLink{Name: "cb1", Domain: "example.org", Secret: "uBiLLdIU8vVqj86CAb1"}
			if diff := cmp.Diff(want, s.document().CallBridge.XMPP); diff != "" {
				t.Errorf("link (-want +got):\n%s", diff)
			}
			audit := []string{
				"api: login to API by password: permission granted", "api: callbridge xmpp domain example.org: permission granted",
				"api: callbridge xmpp server none: permission granted", "api: callbridge xmpp secret: permission granted",
			}
			if diff := cmp.Diff(audit, s.audit.take()); diff != "" {
				t.Errorf("audit (-want +got):\n%s", diff)
			}
			if got := b.get(apiPath + "system/configuration/xmpp"); strings.Contains(got.body, "uBiLL") {
				t.Errorf("the secret is sent back: %s", got.body)
			}
		})
	}
}

func TestAPIServicesGone(t *testing.T) {
	s := newAPISite(t)
	b := s.program("api", password)
	s.xmpp.gone, s.bridge.gone, s.events.gone, s.database.gone = true, true, true, true
	if got := b.get(apiPath + "system/status"); got.status != http.StatusOK || !strings.Contains(got.body, "<xmppConnection>unknown</xmppConnection>") {
		t.Errorf("system/status = %d %s; want what is known", got.status, got.body)
	}
	for _, path := range []string{"system/alarms", "system/xmpp", "system/database", "callBridges"} {
		if got := b.get(apiPath + path); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "<serviceUnavailable error=") {
			t.Errorf("%s = %d %s; want 503", path, got.status, got.body)
		}
	}
}

func TestAPILogin(t *testing.T) {
	s := newAPISite(t)
	tests := []struct {
		name, user, password string
		status               int
		// audit is the first line.
		audit string
	}{
		{"api", "api", password, 200, "api: login to API by password: permission granted"},
		{"admin", "admin", password, 200, "admin: login to API by password: permission granted"},
		{"wrong password", "api", "Winter2026!", 401, "api: login to API by password: permission denied"},
		{"unknown", "nobody", password, 401, "(unknown): login to API by password: permission denied"},
		{"nothing", "", "", 401, "(unknown): login to API by password: permission denied"},
		{"appadmin", "app", password, 403, "app: login to API by password: permission denied"},
		{"audit", "audit", password, 403, "audit: login to API by password: permission denied"},
		{"must change", "new", password, 403, "new: login to API by password: permission denied"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := s.program(tt.user, tt.password)
			for _, path := range []string{apiPath + "callBridges", "/metrics"} {
				got := b.get(path)
				if got.status != tt.status || (got.status == 401) != strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic ") {
					t.Errorf("%s = %d %v; want %d", path, got.status, got.header, tt.status)
				}
			}
			if lines := s.audit.take(); len(lines) == 0 || lines[0] != tt.audit {
				t.Errorf("audit: %q; want %q", lines, tt.audit)
			}
			s.clock.move(time.Minute)
		})
	}
	if got := s.browser().get(apiPath + "callBridges"); got.status != 401 || !strings.Contains(got.body, "a name and a password are missing") {
		t.Errorf("without credentials = %d %s; want 401 and what is missing", got.status, got.body)
	}
	// The cookie of a browser is none for the API.
	if got := s.loggedIn("admin").get(apiPath + "callBridges"); got.status != 401 {
		t.Errorf("with a session = %d; want 401", got.status)
	}
	b := s.program("api", password)
	b.header.Set("Sec-Fetch-Site", "cross-site")
	if got := b.do("PUT", apiPath+"system/configuration/xmpp", "domain=example.net"); got.status != 403 || s.document().CallBridge.XMPP.Domain != "tptac9.com" {
		t.Errorf("from another site's page = %d; want 403", got.status)
	}
}

// TestProgramsAreRemembered: a monitor's password is checked now and then, and
// at once when something has changed.
func TestProgramsAreRemembered(t *testing.T) {
	s := newAPISite(t)
	b := s.program("api", password)
	logins := func() int {
		n := 0
		for _, l := range s.audit.take() {
			if strings.Contains(l, "login to API") {
				n++
			}
		}
		return n
	}
	get := func(want int) {
		t.Helper()
		if got := b.get(apiPath + "callBridges"); got.status != want {
			t.Errorf("= %d; want %d", got.status, want)
		}
	}
	for range 3 * tries {
		get(200)
	}
	if n := logins(); n != 1 {
		t.Errorf("%d logins; want 1", n)
	}
	s.clock.move(rememberFor)
	get(200)
	if n := logins(); n != 1 {
		t.Errorf("%d logins after a while; want 1", n)
	}
	check(t, s.deps.Accounts.SetPassword("api", "Winter2026!"))
	get(401)
	check(t, s.deps.Accounts.Del("admin", "api"))
	get(401)
}

func TestProgramsAreBounded(t *testing.T) {
	p := newPrograms(func() time.Time { return start })
	for i := range 2 * maxPrograms {
		p.remember(p.digest("api", strings.Repeat("x", i), "192.0.2.1:1"), start)
	}
	if len(p.all) > maxPrograms {
		t.Errorf("%d are remembered; want %d at most", len(p.all), maxPrograms)
	}
	if p.digest("ab", "c", "192.0.2.1:1") == p.digest("a", "bc", "192.0.2.1:1") || p.digest("a", "b", "192.0.2.1:1") == p.digest("a", "b", "192.0.2.2:1") {
		t.Error("two logins have one digest")
	}
}
