package webadmin

import (
	"net/http"
	"regexp"
	"testing"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/diagnosis"
	"parley/services/eventlog/eventlogapi"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

// germanSite is a site in trouble, where each service says what it says then,
// and a browser that asks for German.
func germanSite(t *testing.T) *browser {
	s := newSite(t)
	s.bridge.status = callbridgeapi.Status{
		XMPPRow: "failed to connect to cb1.tptac9.com due to authentication failure (2 days, 1 hour, 0 minutes, 3 seconds ago)",
		Hint:    "compare 'xmpp callbridge list' on all XMPP servers, then type 'callbridge xmpp secret'", AuthenticationRow: "registered for 3 minutes, 1 second (2 authentication components)",
	}
	trouble := problem.Text(problem.New(problem.DirectoryUnreachable, "address", "ldap.tptac9.com:389 (10.1.2.3)", "host", "ldap.tptac9.com", "reason", "connection refused"))
	s.events.faults = []eventlogapi.Fault{
		{Key: xmppFault, Since: start, Message: "XMPP connection to 'cb1.tptac9.com' failed", Hint: "cb1.tptac9.com: the secret is not that of Call Bridge cb1 there; compare 'xmpp callbridge list' on all XMPP servers, then type 'callbridge xmpp secret'"},
		{Key: "callbridge.directory", Since: start, Message: "LDAP server ldap.tptac9.com:389 cannot be asked", Hint: trouble},
		{Key: "callbridge.xmpp", Since: start, Message: "XMPP connection to '' failed", Hint: "cb1.tptac9.com: 10.106.81.30:5223: connection refused; see 'xmpp status' on cb1.tptac9.com; TCP port 5223 must be open on the way, try 'ping cb1.tptac9.com'"},
		{Key: "disk", Since: start, Message: "State disk is more than 90% full", Hint: "96% of its 7.5 GiB are used; see 'ls', and remove files with 'rm'"},
		{Key: "xmpp.trust", Since: start, Message: "Certificate of tptac9.com in abhiall.cer, used for the XMPP cluster's trust, expires on 2026-Dec-24 12:00:00 UTC", Hint: "have it renewed, put it under the same name with SFTP, then type 'xmpp cluster trust abhiall.cer'"},
	}
	s.events.events = []eventlogapi.Event{{ID: 1, Time: start, Level: eventlogapi.Warning, Message: "State disk is more than 90% full", Hint: "96% of its 7.5 GiB are used; see 'ls', and remove files with 'rm'"}}
	s.configure(func(d *config.Document) {
		d.Directory = config.Directory{Address: "ldap.tptac9.com", BaseDN: "dc=tptac9,dc=com", User: "$uid$"}
	})
	s.events.events = append(s.events.events, eventlogapi.Event{ID: 2, Time: start, Level: eventlogapi.Warning, Message: "LDAP server ldap.tptac9.com:389 has users whom chat cannot have", Hint: "give them other names there, or name another attribute with 'callbridge directory user'"})
	s.bridge.directory = callbridgeapi.Directory{Configured: true, Server: "ldap.tptac9.com:389", TLS: "starttls", Trouble: trouble, TroubleAt: start}
	s.bridge.steps = []callbridgeapi.Step{
		{What: "DNS SRV", OK: true, Detail: "_xmpp-component._tcp.tptac9.com: cb1.tptac9.com:5223, cb2.tptac9.com:5223, from 10.106.81.1", Took: time.Millisecond},
		{Target: "cb1.tptac9.com", What: "DNS A", OK: true, Detail: "10.106.81.30, from local record", Took: time.Millisecond},
		{Target: "cb1.tptac9.com", What: "TCP", OK: true, Detail: "10.106.81.30:5223", Took: time.Millisecond},
		{Target: "cb1.tptac9.com", What: "TLS", OK: true, Detail: "certificate of tptac9.com, valid until 2027-11-22", Took: time.Millisecond},
		{Target: "cb1.tptac9.com", What: "authentication", Detail: "no Call Bridge cb1 is registered there, or the domain is another", Hint: "type 'xmpp callbridge add-secret cb1' there, or correct 'callbridge xmpp name' and 'callbridge xmpp domain' here"},
		{Target: "cb2.tptac9.com", What: "TCP", Detail: "10.106.81.31:5223: no answer", Hint: "see 'xmpp status' on cb2.tptac9.com; TCP port 5223 must be open on the way, try 'ping cb2.tptac9.com'"},
	}
	s.findings = []diagnosis.Finding{
		{Level: diagnosis.OK, What: "domain", Detail: "tptac9.com"},
		{Level: diagnosis.Warn, What: "majority", Detail: "no more node may fail", Advice: "start 10.106.81.31 and 10.106.81.32 again, or mend the network", Commands: []string{"xmpp cluster status"}},
		{Level: diagnosis.Fail, Node: "10.106.81.31", What: "Call Bridge secrets", Detail: "it has another secret for cb2 than this node, or none", Advice: "where it stays so,", Commands: []string{"xmpp cluster remove", "xmpp cluster join 10.106.81.30"}},
		{Level: diagnosis.OK, What: "as 10.106.81.32 sees it", Detail: "21 checks, all well"},
	}
	s.xmpp.status = xmppapi.Status{Trouble: problem.Text(problem.New(problem.ClusterNoMajority))}
	s.xmpp.cluster = xmppapi.Cluster{Member: true, State: "FOLLOWER", StateChange: start, Margin: -1, Nodes: []xmppapi.Node{
		{Address: "10.106.81.30:5222", Self: true, Reachable: true}, {Address: "10.106.81.31:5222", Since: start.Add(-50 * time.Hour)},
	}}
	b := s.loggedIn("admin")
	b.header.Set("Accept-Language", "de")
	return b
}

// TestGermanPages: what services say is German there, but for the lines of the
// event log.
func TestGermanPages(t *testing.T) {
	b := germanSite(t)
	stranger := b.site.browser()
	stranger.header = b.header
	for _, tt := range []struct {
		name   string
		got    response
		status int
		texts  []string
	}{
		{"status", b.get("/status/general"), http.StatusOK, []string{
			"XMPP-Verbindung Verbindung mit cb1.tptac9.com fehlgeschlagen: Authentifizierung abgelehnt (vor 2 Tagen, 1 Stunde, 0 Minuten, 3 Sekunden)", "'xmpp callbridge list' auf allen XMPP-Servern vergleichen",
			"Authentifizierungsdienst registriert seit 3 Minuten, 1 Sekunde (2 Authentifizierungskomponenten)",
			"XMPP-Verbindung zu 'cb1.tptac9.com' fehlgeschlagen cb1.tptac9.com: das Geheimnis ist nicht das der Call Bridge cb1 dort; 'xmpp callbridge list' auf allen XMPP-Servern vergleichen, dann 'callbridge xmpp secret' eingeben",
			"Der LDAP-Server ldap.tptac9.com:389 kann nicht gefragt werden keine Verbindung zum LDAP-Server ldap.tptac9.com:389 (10.1.2.3): Verbindung abgelehnt; 'callbridge directory address' und 'port' prüfen, ob der Server läuft, und 'ping ldap.tptac9.com'",
			"XMPP-Verbindung zu '' fehlgeschlagen cb1.tptac9.com: 10.106.81.30:5223: Verbindung abgelehnt; siehe 'xmpp status' auf cb1.tptac9.com; der TCP-Port 5223 muss auf dem Weg offen sein, 'ping cb1.tptac9.com' versuchen",
			"Die Platte ist zu mehr als 90% voll 96% von 7.5 GiB sind belegt",
			"Das Zertifikat von tptac9.com in abhiall.cer, verwendet für das Vertrauen im XMPP-Cluster, läuft am 2026-Dec-24 12:00:00 UTC ab",
			"Letzte Fehler", "20:00:00.000 Warnung State disk is more than 90% full 96% von 7.5 GiB sind belegt; siehe 'ls' und Dateien mit 'rm' entfernen", "Die Zeilen des Ereignisprotokolls sind im Englisch des Originals",
		}},
		{"events", b.get("/logs/events"), http.StatusOK, []string{
			"Info Warnung Fehler", "Die Zeilen des Ereignisprotokolls sind im Englisch des Originals", "Warnung LDAP server ldap.tptac9.com:389 has users whom chat cannot have ihnen dort andere Namen geben", "20:00:00.000 Warnung State disk is more than 90% full 96% von 7.5 GiB sind belegt; siehe 'ls' und Dateien mit 'rm' entfernen",
		}},
		{"cluster", b.get("/status/cluster"), http.StatusOK, []string{
			"Problem die meisten Knoten des Clusters sind nicht erreichbar, daher lässt sich nichts ändern; siehe 'xmpp cluster status'", "nicht erreichbar seit 2 Tagen, 2 Stunden",
		}},
		{"diagnosis", b.submit("/status/diagnosis"), http.StatusOK, []string{
			"Mehrheit kein weiterer Knoten darf ausfallen 10.106.81.31 und 10.106.81.32 wieder starten oder das Netz in Ordnung bringen, dann 'xmpp cluster status' eingeben",
			"Geheimnisse der Call Bridges hat für cb2 ein anderes Geheimnis als dieser Knoten, oder keines wenn es so bleibt, auf 10.106.81.31 'xmpp cluster remove', dann 'xmpp cluster join 10.106.81.30' eingeben",
			"Domäne tptac9.com", "aus Sicht von 10.106.81.32 21 Prüfungen, alles gut",
		}},
		{"form refused", b.submit("/configuration/general", "name", "cb1", "domain", "tptac9"), http.StatusBadRequest, []string{"Nicht ausgeführt: 'tptac9' kann keine XMPP-Domäne sein; die angeben, die auf den Servern mit 'xmpp domain' gesetzt ist"}},
		{"secrets differ", b.submit("/configuration/general", "name", "cb1", "secret", "a", "confirm", "b"), http.StatusBadRequest, []string{"'Gemeinsames Geheimnis' und 'Gemeinsames Geheimnis bestätigen' sind nicht gleich; beide noch einmal eingeben"}},
		{"connection tested", b.submit("/configuration/general/test"), http.StatusOK, []string{
			"cb1.tptac9.com:5223, cb2.tptac9.com:5223, von 10.106.81.1", "10.106.81.30, aus lokalen Einträgen", "Zertifikat von tptac9.com, gültig bis 2027-11-22",
			"Authentifizierung FEHLER keine Call Bridge cb1 ist dort registriert, oder die Domäne ist eine andere dort 'xmpp callbridge add-secret cb1' eingeben", "10.106.81.31:5223: keine Antwort siehe 'xmpp status' auf cb2.tptac9.com",
		}},
		{"directory", b.get("/configuration/directory"), http.StatusOK, []string{"keine Verbindung zum LDAP-Server ldap.tptac9.com:389 (10.1.2.3): Verbindung abgelehnt"}},
		{"directory refused", b.submit("/configuration/directory", "address", "ldap.tptac9.com", "basedn", "people", "user", "$uid$"), http.StatusBadRequest, []string{"im Feld Basis-DN geht 'people' nicht: er wird wie dc=example,dc=com geschrieben; mit 'callbridge directory basedn' berichtigen"}},
		{"user refused", b.submit("/configuration/users", "do", "add", "user", "a b@c", "password", "x", "again", "x"), http.StatusBadRequest, []string{"a b@c kann nicht der Name eines Chat-Kontos sein"}},
		{"certificates", b.get("/configuration/certificates"), http.StatusOK, []string{"web.crt Zertifikat", "web.key privater Schlüssel"}},
		{"password refused", b.submit("/password", "current", password, "password", "kurz", "again", "kurz"), http.StatusBadRequest, []string{"das Kennwort ist zu kurz; mindestens 8 Zeichen verwenden"}},
		{"no page", b.get("/status/calls"), http.StatusNotFound, []string{"es gibt keine Seite /status/calls; eine aus dem Menü wählen"}},
		{"form of before", b.post("/logs/events/clear"), http.StatusForbidden, []string{"das Formular gehört zu einer anderen Sitzung"}},
		{"log-in refused", stranger.post("/login", "name", "admin", "password", "falsch"), http.StatusForbidden, []string{"Name oder Kennwort ist falsch; noch einmal versuchen"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantText(t, tt.got, tt.status, tt.texts...)
			wantNoEnglish(t, tt.got)
		})
	}
	b.init.gone, b.xmpp.gone, b.bridge.gone, b.events.gone = true, true, true, true
	for _, path := range []string{"/status/general", "/status/cluster", "/configuration/general", "/configuration/users", "/logs/events", "/logs/tracing"} {
		got := b.get(path)
		wantText(t, got, got.status, " antwortet nicht; siehe 'syslog tail', dann 'reboot', wenn es so bleibt")
		wantNoEnglish(t, got)
	}
}

var (
	// eventLine is a line of the event log.
	eventLine   = regexp.MustCompile(`<span class="line" lang="en">.*?</span>`)
	command     = regexp.MustCompile(`'[^']*'`)
	englishWord = regexp.MustCompile(`(?i)\b(the|is|are|and|not|it|with|see|type|of|that|has|have|or|to|on)\b`)
)

func wantNoEnglish(t *testing.T, r response) {
	t.Helper()
	r.body = eventLine.ReplaceAllString(r.body, "")
	if m := regexp.MustCompile(`<(span|p|td|tbody)[^>]*lang="en".{0,200}`).FindString(r.body); m != "" {
		t.Errorf("a service's words are English: %s", m)
	}
	if m := englishWord.FindString(command.ReplaceAllString(r.text(), "")); m != "" {
		t.Errorf("%q is English:\n%s", m, r.text())
	}
}

// TestUnknownSentence: what has no German is marked as English, and is no HTML.
func TestUnknownSentence(t *testing.T) {
	b := germanSite(t)
	b.events.faults = []eventlogapi.Fault{{Key: "x", Since: start, Message: "a <new> fault", Hint: "State disk is more than 90% full"}}
	got := b.get("/status/general")
	wantText(t, got, http.StatusOK, "a <new> fault", "Die Platte ist zu mehr als 90% voll")
	if want := `<td><span lang="en">a &lt;new&gt; fault</span><br><span class="hint">Die Platte`; !regexp.MustCompile(regexp.QuoteMeta(want)).MatchString(got.body) {
		t.Errorf("the page has no %s:\n%s", want, got.body)
	}
	b.header.Set("Accept-Language", "en")
	if got := b.get("/status/general"); regexp.MustCompile(`<span lang="en">`).MatchString(got.body) {
		t.Errorf("an English page marks English:\n%s", got.body)
	}
}
