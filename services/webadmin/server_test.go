package webadmin

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"parley/services/account"
	"parley/services/config"
	"parley/services/files"
	"parley/services/pki"
	"parley/services/problem"
	"parley/services/webadmin/webadminapi"
)

// await waits until the control socket says what is wanted.
func (s *site) await(what string, ok func(webadminapi.Status) bool) webadminapi.Status {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	for {
		st, err := s.control.Status(ctx)
		if err == nil && ok(st) {
			return st
		}
		if ctx.Err() != nil {
			s.t.Fatalf("%s: %+v, %v", what, st, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// leaf is the common name of the certificate that a new connection gets.
func (s *site) leaf() string {
	s.t.Helper()
	c, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{InsecureSkipVerify: true})
	check(s.t, err)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestReload(t *testing.T) {
	s := newClosedSite(t)
	s.run()
	st := s.await("the socket", func(webadminapi.Status) bool { return true })
	ends := start.AddDate(0, 0, 365)
	if st.Running || len(s.address) != 0 || !st.Expires.Equal(ends) {
		t.Errorf("Status = %+v; want not running while disabled, and the end of its certificate, %v", st, ends)
	}
	s.configure(func(d *config.Document) { d.Webadmin.Enabled = true })
	check(t, s.control.Reload(t.Context()))
	s.url = "https://" + <-s.address
	st = s.await("running", func(st webadminapi.Status) bool { return st.Running })
	if !st.Expires.Equal(ends) {
		t.Errorf("Expires = %v; want %v", st.Expires, ends)
	}
	b := s.loggedIn("admin")
	if st := s.await("status", func(webadminapi.Status) bool { return true }); st.Sessions != 1 {
		t.Errorf("Sessions = %d; want 1", st.Sessions)
	}

	// A new certificate is for new connections, and drops none.
	attributes, err := pki.ParseAttributes([]string{"CN:renewed.tptac9.com", "keyType:ecdsa-p256"})
	check(t, err)
	_, _, err = pki.SelfSigned(s.deps.Files, files.Who{Role: account.Admin}, "renewed", attributes, 365, start)
	check(t, err)
	s.configure(func(d *config.Document) { d.Webadmin.Key, d.Webadmin.Certificate = "renewed.key", "renewed.crt" })
	check(t, s.control.Reload(t.Context()))
	if got := s.leaf(); got != "renewed.tptac9.com" || len(s.address) != 0 {
		t.Errorf("certificate of %s, %d new listeners; want the renewed one on the old", got, len(s.address))
	}
	if got := b.get("/status/general"); got.status != http.StatusOK {
		t.Errorf("the session after a reload: %d; want it to go on", got.status)
	}

	// Another port opens anew.
	s.configure(func(d *config.Document) { d.Webadmin.Port = 8445 })
	check(t, s.control.Reload(t.Context()))
	old := s.url
	s.url = "https://" + <-s.address
	if _, err := net.Dial("tcp", strings.TrimPrefix(old, "https://")); err == nil {
		t.Error("the old port is still open")
	}
	if got := b.get("/status/general"); got.status != http.StatusOK {
		t.Errorf("the session on the new port: %d; want it to go on", got.status)
	}

	s.configure(func(d *config.Document) { d.Webadmin.Enabled = false })
	check(t, s.control.Reload(t.Context()))
	if _, err := net.Dial("tcp", strings.TrimPrefix(s.url, "https://")); err == nil {
		t.Error("the port is open after disable")
	}
	s.configure(func(d *config.Document) { d.Webadmin.Key, d.Webadmin.Certificate = "", "" })
	if st := s.await("status", func(webadminapi.Status) bool { return true }); !st.Expires.IsZero() {
		t.Errorf("Expires = %v without a certificate; want none", st.Expires)
	}
}

// TestRefusedReload: what cannot be taken leaves the old door open.
func TestRefusedReload(t *testing.T) {
	s := newSite(t)
	tests := []struct {
		name   string
		change func(*config.Webadmin)
		want   problem.Code
	}{
		{"no interface", func(w *config.Webadmin) { w.Listen = "" }, problem.WebadminUnready},
		{"no certificate", func(w *config.Webadmin) { w.Key, w.Certificate = "", "" }, problem.WebadminUnready},
		{"file gone", func(w *config.Webadmin) { w.Key = "gone.key" }, problem.FileUnknown},
		{"not a key", func(w *config.Webadmin) { w.Key = "web.crt" }, problem.PKIKind},
	}
	good := s.document().Webadmin
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.configure(func(d *config.Document) { tt.change(&d.Webadmin) })
			if err := s.control.Reload(t.Context()); problem.CodeOf(err) != tt.want {
				t.Errorf("Reload = %v; want %s", err, tt.want)
			}
			if got := s.browser().get("/login"); got.status != http.StatusOK {
				t.Errorf("/login = %d; want the old door open", got.status)
			}
			s.configure(func(d *config.Document) { d.Webadmin = good })
		})
	}
}

// TestListenFails: a door that cannot be opened is told of, and opened when it
// can; one that was open before stays.
func TestListenFails(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want problem.Code
	}{
		{"taken", problem.New(problem.PortTaken, "interface", "a", "port", "443"), problem.PortTaken},
		{"denied", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)}, problem.WebadminPortDenied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newClosedSite(t)
			good := s.deps.Listen
			broken := make(chan struct{})
			s.deps.Listen = func(ctx context.Context, ifaces []string, port int) ([]net.Listener, error) {
				select {
				case <-broken:
					return good(ctx, ifaces, port)
				default:
					return nil, tt.err
				}
			}
			s.configure(func(d *config.Document) { d.Webadmin.Enabled = true })
			s.run()
			s.await("trouble", func(st webadminapi.Status) bool { return !st.Running && st.Trouble != "" })
			if err := s.control.Reload(t.Context()); problem.CodeOf(err) != tt.want {
				t.Errorf("Reload = %v; want %s", err, tt.want)
			}
			close(broken)
			s.url = "https://" + <-s.address
			s.await("running", func(st webadminapi.Status) bool { return st.Running && st.Trouble == "" })
			if got := s.browser().get("/login"); got.status != http.StatusOK {
				t.Errorf("/login = %d", got.status)
			}
		})
	}
}

func TestHTTPSOnly(t *testing.T) {
	s := newSite(t)
	resp, err := http.Get("http://" + strings.TrimPrefix(s.url, "https://"))
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP = %d; want a refusal", resp.StatusCode)
		}
	}
	old := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if c, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), old); err == nil {
		c.Close()
		t.Error("TLS 1.1 is accepted; want 1.2 at least")
	}
}

func TestLargeRequestIsRefused(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("admin")
	large := strings.Repeat("x", maxBody+1)
	wantText(t, b.post("/configuration/general", "name", large), http.StatusRequestEntityTooLarge, "more than 2 MiB were sent")
	wantText(t, b.send("large.cer", large), http.StatusRequestEntityTooLarge, "more than 2 MiB were sent", "a key or certificate has 1 MiB at most")
	got := s.program("api", password).do("PUT", apiPath+"system/configuration/xmpp", "name="+large)
	if got.status != http.StatusBadRequest || !strings.Contains(got.body, "the body is larger than 2 MiB") {
		t.Errorf("a large body to the API = %d %.200s; want it refused", got.status, got.body)
	}
}

// TestBrokenConfiguration: pages that need none still come.
func TestBrokenConfiguration(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("admin")
	check(t, os.WriteFile(filepath.Join(s.paths.State, "live.json"), []byte("{"), 0o600))
	wantText(t, b.get("/status/general"), http.StatusOK, "System status")
	wantText(t, b.get("/configuration/general"), http.StatusInternalServerError, "Not done: webadmin: parse")
}
