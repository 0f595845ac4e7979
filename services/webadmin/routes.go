package webadmin

import (
	"embed"
	"net/http"
)

//go:embed static templates
var content embed.FS

// maxBody bounds a request: a bundle of certificates is far below.
const (
	maxBody     = 2 << 20
	maxBodyText = "2 MiB"
)

// routes are all that there is. Whatever a browser sends that another site
// made is refused, API and login too.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /static/", http.FileServerFS(content))
	mux.Handle("GET /{$}", http.RedirectHandler("/status/general", http.StatusSeeOther))
	mux.HandleFunc("GET /login", s.loginPage)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /language", s.chooseLanguage)
	mux.Handle("POST /logout", s.change(s.logout))
	mux.Handle("GET "+passwordPath, s.look(s.passwordPage))
	mux.Handle("POST "+passwordPath, s.change(s.setPassword))

	mux.Handle("GET /status/general", s.look(s.statusPage))
	mux.Handle("GET /status/cluster", s.look(s.clusterPage))
	mux.Handle("GET /status/diagnosis", s.look(s.diagnosisPage))
	mux.Handle("POST /status/diagnosis", s.change(s.diagnose))
	mux.Handle("GET /configuration/general", s.look(s.generalPage))
	mux.Handle("POST /configuration/general", s.change(s.setGeneral))
	mux.Handle("POST /configuration/general/test", s.change(s.testBridge))
	mux.Handle("GET "+directoryPath, s.look(s.directoryPage))
	mux.Handle("POST "+directoryPath, s.change(s.setDirectory))
	mux.Handle("POST "+directoryPath+"/test", s.change(s.testDirectory))
	mux.Handle("POST "+directoryPath+"/sync", s.change(s.syncDirectory))
	mux.Handle("GET /configuration/users", s.look(s.usersPage))
	mux.Handle("POST /configuration/users", s.change(s.changeUser))
	mux.Handle("GET /configuration/certificates", s.look(s.certificatesPage))
	mux.Handle("POST /configuration/certificates", s.change(s.upload))
	mux.Handle("GET /logs/events", s.look(s.eventsPage))
	mux.Handle("GET /logs/events/download", s.look(s.downloadEvents))
	mux.Handle("POST /logs/events/clear", s.change(s.clearEvents))
	mux.Handle("GET /logs/tracing", s.look(s.tracingPage))
	mux.Handle("POST /logs/tracing", s.change(s.setTrace))
	mux.Handle("/", s.look(s.unknownPage))

	s.routeAPI(mux)
	site := http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(mux, maxBody))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		strict(w.Header())
		site.ServeHTTP(w, r)
	})
}

// strict are the headers of every answer: nothing from elsewhere, nothing
// inline, in nobody's frame, never without TLS, kept by no cache.
func strict(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Strict-Transport-Security", "max-age=31536000")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}
