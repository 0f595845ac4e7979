package webadmin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"
	"time"

	"parley/services/journal"
	"parley/services/problem"
)

// pages are the templates of one language.
type pages struct {
	words words
	all   map[string]*template.Template
}

// menu is what all pages of a visitor have on top, in the original's order.
var menu = []menuGroup{
	{"menu.status", []menuItem{{"menu.status.general", "/status/general"}, {"menu.status.cluster", "/status/cluster"}, {"menu.status.diagnosis", "/status/diagnosis"}}},
	{"menu.configuration", []menuItem{
		{"menu.configuration.general", "/configuration/general"}, {"menu.configuration.directory", directoryPath}, {"menu.configuration.users", "/configuration/users"},
		{"menu.configuration.certificates", "/configuration/certificates"},
	}},
	{"menu.logs", []menuItem{{"menu.logs.events", "/logs/events"}, {"menu.logs.tracing", "/logs/tracing"}}},
}

type menuGroup struct {
	Title string
	Items []menuItem
}

type menuItem struct{ Title, Path string }

// newPages parses all templates. One that is wrong panics: it is part of the
// program, and each start would find it.
func newPages(w words, now func() time.Time) *pages {
	p := &pages{words: w, all: map[string]*template.Template{}}
	files, err := content.ReadDir("templates")
	if err != nil {
		panic(err)
	}
	functions := template.FuncMap{
		"t":    w.text,
		"date": func(t time.Time) string { return t.UTC().Format("2006-01-02") },
		"time": func(t time.Time) string { return t.UTC().Format("15:04:05.000") },
		"when": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
		"for": func(t time.Time) string {
			// After "seit" German has another plural than by itself.
			text, _ := w.translate(english.duration(now().Sub(t)))
			return text
		},
		"say": w.say,
		"fix": w.fix,
		"ms":  func(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) },
	}
	for _, f := range files {
		if name := f.Name(); name != "layout.html" {
			p.all[strings.TrimSuffix(name, ".html")] = template.Must(
				template.New("layout.html").Funcs(functions).ParseFS(content, "templates/layout.html", path.Join("templates", name)))
		}
	}
	return p
}

// view is what the layout needs of every page.
type view struct {
	Language, Host string
	Languages      []languageChoice
	// Page is the template's name, Path the request's.
	Page, Path string
	// Name and Form are the visitor's; empty where nobody is logged in.
	Name, Form string
	Menu       []menuGroup
	// Done is the key of what was just done, Failure why something was not.
	Done    string
	Failure string
	Data    any
}

type languageChoice struct{ Tag, Name string }

// show writes a page. v is nil where nobody is logged in.
func (s *Server) show(w http.ResponseWriter, r *http.Request, status int, v *visitor, name string, data any) {
	s.write(w, r, status, view{Page: name, Path: r.URL.Path, Done: done(r), Data: data}, v)
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, status int, page view, v *visitor) {
	p := s.language(r)
	page.Language, page.Host = p.words.tag.String(), s.host()
	for _, l := range languages() {
		page.Languages = append(page.Languages, languageChoice{l.tag.String(), l.name})
	}
	if v != nil {
		page.Name, page.Form = v.Name, v.form
		if !v.MustChange {
			page.Menu = menu
		}
	}
	var out bytes.Buffer
	if err := p.all[page.Page].Execute(&out, page); err != nil {
		s.log.Error("make a page", "page", page.Page, "err", err)
		http.Error(w, problem.Text(problem.New(problem.Internal, "service", "webadmin", "detail", "the page could not be made")), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = out.WriteTo(w)
}

// done is what the page before has done. Only keys are taken from the address,
// so that a link cannot put words into a page.
func done(r *http.Request) string {
	switch d := r.URL.Query().Get("done"); d {
	case "saved", "password", "user-added", "user-deleted", "user-password", "cleared", "uploaded", "synced", "kept":
		return "done." + d
	}
	return ""
}

// fail shows what went wrong in place of a page.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, v *visitor, err error) {
	s.write(w, r, statusOf(err), view{Page: "message", Path: r.URL.Path, Failure: s.explain(err)}, v)
}

// explain is what a person reads of err. What nobody can mend is logged, too.
func (s *Server) explain(err error) string {
	if problem.CodeOf(err) == "" && !errors.Is(err, context.Canceled) {
		s.log.Error("request failed", "err", err)
		err = problem.New(problem.Internal, "service", "webadmin", "detail", err.Error())
	}
	return problem.Text(err)
}

// maxEcho bounds what is told back of what a request had.
const maxEcho = 80

// short is text as it is told back.
func short(text string) string {
	text = journal.Clean(text)
	if len(text) <= maxEcho {
		return text
	}
	return strings.ToValidUTF8(text[:maxEcho], "") + "…"
}

func statusOf(err error) int {
	switch problem.CodeOf(err) {
	case "", problem.Internal, problem.AuditFailed:
		return http.StatusInternalServerError
	case problem.NotReachable, problem.NoLeader, problem.DatabaseNoLeader:
		return http.StatusServiceUnavailable
	case problem.FormLarge:
		return http.StatusRequestEntityTooLarge
	case problem.FormStale, problem.WebadminRole, problem.FileDenied:
		return http.StatusForbidden
	case problem.PageUnknown, problem.FileUnknown, problem.UserUnknown:
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

func (s *Server) unknownPage(_ http.ResponseWriter, r *http.Request, _ *visitor) error {
	return problem.New(problem.PageUnknown, "page", short(r.URL.Path))
}

// host is the node's name, which tells the windows of three nodes apart.
func (s *Server) host() string {
	d, err := s.deps.Config.Load()
	if err != nil || d.Hostname == "" {
		return "parley"
	}
	name, _, _ := strings.Cut(d.Hostname, ".")
	return name
}

const (
	// callWait bounds a question to another service for a page.
	callWait = 5 * time.Second
	// changeWait bounds a change. The XMPP server and the database wait 8 s for a
	// leader, each, and then say themselves what is wrong: a page that waits less
	// would call them dead.
	changeWait = 20 * time.Second
)

func brief(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), callWait)
}

// patient is brief for what changes something.
func patient(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), changeWait)
}
