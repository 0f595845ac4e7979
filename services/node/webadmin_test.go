package node_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/services/network/loopback"
)

// TestWebadmin sets Webadmin up on the console of a node that runs, and uses
// it over HTTPS: what a browser changes is what the console shows.
func TestWebadmin(t *testing.T) {
	const password = "Sommer2026!"
	p := newProgram(t)
	p.start()
	port := loopback.Port(t)
	p.mmp("hostname", "cb1."+domain)
	p.mmpWith(strings.Repeat(password+"\n", 2), "passwd", "admin")
	p.mmp("pki", "selfsigned", "web", "CN:cb1."+domain, "subjectAltName:cb1."+domain+","+p.address)
	if out, status := p.try("", "webadmin", "enable"); status != 1 || !strings.Contains(out, "type 'webadmin listen <interface>' first") {
		t.Errorf("webadmin enable = %d\n%s", status, out)
	}
	p.mmp("webadmin", "listen", "a", fmt.Sprint(port))
	p.mmp("webadmin", "certs", "web.key", "web.crt")
	p.mmp("webadmin", "enable")
	if out := p.mmp("webadmin", "status"); !strings.Contains(out, ": webadmin running") {
		t.Errorf("webadmin status =\n%s", out)
	}

	certificate, err := os.ReadFile(p.file("web.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	base := fmt.Sprintf("https://%s:%d", p.address, port)
	page := func(resp *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if got := page(browser.Get(base)); !strings.Contains(got, `action="/login"`) {
		t.Fatalf("the first page is not the login:\n%s", got)
	}
	status := page(browser.PostForm(base+"/login", url.Values{"name": {"admin"}, "password": {password}}))
	for _, want := range []string{"System status", "Build version", "XMPP connection"} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q on the page after the login:\n%s", want, status)
		}
	}
	token := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(status)
	if token == nil {
		t.Fatalf("no token on the page:\n%s", status)
	}
	users := page(browser.PostForm(base+"/configuration/users", url.Values{"form": {token[1]}, "do": {"add"}, "user": {"ada"}, "password": {"secret of ada"}, "again": {"secret of ada"}}))
	if out := p.mmp("xmpp", "user", "list"); !strings.Contains(out, "ada ") || !strings.Contains(users, "The user is added.") {
		t.Errorf("xmpp user list =\n%sthe page:\n%s", out, users)
	}
	if out := p.mmp("syslog", "audit"); !strings.Contains(out, "cb1 cli: User admin from 127.") || !strings.Contains(out, "issued command < xmpp user add ada>: permission granted") || strings.Contains(out, "secret of ada") {
		t.Errorf("the audit log:\n%s", out)
	}
	found := page(browser.PostForm(base+"/status/diagnosis", url.Values{"form": {token[1]}}))
	for _, want := range []string{`id="verdict"`, "<b>FAIL</b>", "xmpp listen a"} {
		if !strings.Contains(found, want) {
			t.Errorf("no %q among the findings:\n%s", want, found)
		}
	}
	page(browser.PostForm(base+"/logs/tracing", url.Values{"form": {token[1]}, "subsystem": {"DNS"}, "minutes": {"10"}}))
	p.mmp("dns", "add", "rr", "cb1."+domain+" 60 A 127.0.0.1")
	await(t, "a traced look-up", func(context.Context) error {
		p.mmp("dns", "lookup", "a", "cb1."+domain)
		if out := p.mmp("syslog", "tail", "100"); !strings.Contains(out, "resolver: question name=cb1."+domain+" type=A") || !strings.Contains(out, "traced=DNS") {
			return fmt.Errorf("syslog:\n%s", out)
		}
		return nil
	})
	page(browser.PostForm(base+"/logs/tracing", url.Values{"form": {token[1]}, "subsystem": {"DNS"}, "minutes": {"0"}}))
	if out := p.mmp("eventlog"); !strings.Contains(out, "DNS tracing now enabled") || !strings.Contains(out, "DNS tracing now disabled") {
		t.Errorf("eventlog =\n%s", out)
	}
	req, err := http.NewRequest("GET", base+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", password)
	if got := page(browser.Do(req)); !strings.Contains(got, "parley_xmpp_accounts 1\n") {
		t.Errorf("/metrics =\n%s", got)
	}

	p.mmp("webadmin", "restart")
	if got := page(browser.Get(base)); !strings.Contains(got, `action="/login"`) {
		t.Errorf("after a restart the session goes on:\n%s", got)
	}
	p.mmp("webadmin", "disable")
	if resp, err := browser.Get(base); err == nil {
		resp.Body.Close()
		t.Error("Webadmin answers although it is disabled")
	}
	if out := p.mmp("webadmin"); !strings.Contains(out, ": webadmin not running") {
		t.Errorf("webadmin =\n%s", out)
	}
}
