package webadmin

import (
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RedirectPort is where browsers ask that were given no scheme.
const RedirectPort = 80

// newRedirect sends who asks by HTTP to the same page by HTTPS, at port. It reads
// no more of a request than its head, so a form is never taken in clear.
func newRedirect(port int, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host == "" {
				http.Error(w, "which host is asked for is not said; use https", http.StatusBadRequest)
				return
			}
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				http.Error(w, "nothing is taken by HTTP; use https", http.StatusForbidden)
				return
			}
			// Not for good: the redirect can be switched off, and the port changed.
			http.Redirect(w, r, "https://"+httpsHost(r.Host, port)+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		}),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      5 * time.Second,
		IdleTimeout:       5 * time.Second,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// httpsHost is the host of a request, with the port that HTTPS has.
func httpsHost(host string, port int) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if port != DefaultPort {
		return net.JoinHostPort(host, strconv.Itoa(port))
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
