package webadmin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"parley/services/config"
	"parley/services/problem"
)

func TestRedirect(t *testing.T) {
	tests := []struct {
		name, method, host, target string
		port, want                 int
		location                   string
	}{
		{"usual port", "GET", "cb1.tptac9.com", "/", 443, 307, "https://cb1.tptac9.com/"},
		{"another port", "GET", "cb1.tptac9.com:80", "/status/general?x=1", 445, 307, "https://cb1.tptac9.com:445/status/general?x=1"},
		{"IPv6", "GET", "[2001:db8::1]", "/", 443, 307, "https://[2001:db8::1]/"},
		{"IPv6 and another port", "HEAD", "[2001:db8::1]:80", "/", 445, 307, "https://[2001:db8::1]:445/"},
		{"path that looks like a host", "GET", "cb1.tptac9.com", "//example.com/", 443, 307, "https://cb1.tptac9.com//example.com/"},
		{"form", "POST", "cb1.tptac9.com", "/login", 443, 403, ""},
		{"no host", "GET", "", "/", 443, 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "/", nil)
			r.Host = tt.host
			r.URL.Path, r.URL.RawQuery, _ = strings.Cut(tt.target, "?")
			w := httptest.NewRecorder()
			newRedirect(tt.port, slog.New(slog.DiscardHandler)).Handler.ServeHTTP(w, r)
			if got := w.Header().Get("Location"); w.Code != tt.want || got != tt.location {
				t.Errorf("%s %s of %q = %d, Location %q; want %d, %q", tt.method, tt.target, tt.host, w.Code, got, tt.want, tt.location)
			}
		})
	}
}

// TestRedirectDoor: port 80 opens and closes with the command, on the same
// interface, and where it cannot be opened nothing has changed.
func TestRedirectDoor(t *testing.T) {
	s := newSite(t)
	plain := make(chan string, 1)
	denied := false
	good := s.deps.Listen
	s.deps.Listen = func(ctx context.Context, ifaces []string, port int) ([]net.Listener, error) {
		if port != RedirectPort {
			return good(ctx, ifaces, port)
		}
		if denied {
			return nil, &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)}
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		check(t, err)
		plain <- l.Addr().String()
		return []net.Listener{l}, nil
	}
	s.configure(func(d *config.Document) { d.Webadmin.Redirect = true })
	check(t, s.control.Reload(t.Context()))
	s.url = "https://" + <-s.address
	at := <-plain
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Get("http://" + at + "/logs/events")
	check(t, err)
	resp.Body.Close()
	if got := resp.Header.Get("Location"); got != "https://127.0.0.1/logs/events" {
		t.Errorf("Location = %q; want the page by HTTPS", got)
	}
	s.configure(func(d *config.Document) { d.Webadmin.Redirect = false })
	check(t, s.control.Reload(t.Context()))
	s.url = "https://" + <-s.address
	if _, err := net.Dial("tcp", at); err == nil {
		t.Error("port 80 is still open after disable")
	}

	denied = true
	s.configure(func(d *config.Document) { d.Webadmin.Redirect = true })
	if err := s.control.Reload(t.Context()); problem.CodeOf(err) != problem.PortDenied {
		t.Errorf("Reload = %v; want %s", err, problem.PortDenied)
	}
	for len(s.address) > 0 {
		s.url = "https://" + <-s.address
	}
	if got := s.browser().get("/login"); got.status != http.StatusOK {
		t.Errorf("/login = %d; want the old door open", got.status)
	}
}
