package webadmin

import (
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"golang.org/x/text/language"

	"parley/services/diagnosis"
	"parley/services/phrase"
)

// words are the texts of the pages in one language, by key. What services say
// (status rows, faults, problems) is theirs, and English.
type words struct {
	tag language.Tag
	// name is the language's own.
	name  string
	texts map[string]string
	// book has what services say, nil in English.
	book *phrase.Book
	// mend is how what to do about a finding is put together.
	mend diagnosis.Grammar
}

// say is what a service says, in this language, marked as English where it is
// not known.
func (w words) say(text string) template.HTML {
	said, ok := w.translate(text)
	escaped := template.HTMLEscapeString(said)
	if !ok {
		return template.HTML(`<span lang="en">` + escaped + `</span>`)
	}
	return template.HTML(escaped)
}

// translate is what a service says, and whether it is in this language: names
// are, in any.
func (w words) translate(text string) (said string, ok bool) {
	if w.book == nil {
		return text, true
	}
	said, ok = w.book.Say(text)
	return said, ok || !strings.Contains(strings.ReplaceAll(text, ", ", ""), " ")
}

// fix is what mends a finding.
func (w words) fix(f diagnosis.Finding) string {
	return f.FixIn(w.mend, func(advice string) string {
		said, _ := w.translate(advice)
		return said
	})
}

// text is the text of a key, with args put in as fmt does.
func (w words) text(key string, args ...any) string {
	t, ok := w.texts[key]
	if !ok {
		return key
	}
	if len(args) == 0 {
		return t
	}
	return fmt.Sprintf(t, args...)
}

// duration is written as the original does: "24 minutes, 26 seconds".
func (w words) duration(d time.Duration) string {
	total := int64(max(0, d) / time.Second)
	var parts []string
	for _, u := range []struct {
		key     string
		seconds int64
	}{{"unit.day", 86400}, {"unit.hour", 3600}, {"unit.minute", 60}, {"unit.second", 1}} {
		n := total / u.seconds
		total %= u.seconds
		switch {
		case len(parts) == 0 && n == 0 && u.seconds > 1:
		case n == 1:
			parts = append(parts, w.text(u.key))
		default:
			parts = append(parts, w.text(u.key+"s", n))
		}
	}
	return strings.Join(parts, ", ")
}

// languages are those that there are. The first is for whoever reads none of
// them.
func languages() []words { return []words{english, german} }

// languageCookie keeps what a visitor has chosen, over sessions.
const languageCookie = "__Host-language"

// language returns the pages for a request: in the language that its sender has
// chosen, or else in one that the browser asks for.
func (s *Server) language(r *http.Request) *pages {
	chosen := ""
	if c, err := r.Cookie(languageCookie); err == nil {
		chosen = c.Value
	}
	_, n := language.MatchStrings(s.matcher, chosen, r.Header.Get("Accept-Language"))
	return s.pages[n]
}

// words are those of a request's language.
func (s *Server) words(r *http.Request) words { return s.language(r).words }

// chooseLanguage keeps a choice and shows the page again that it was made on.
// It needs no login: the login page is in a language as well.
func (s *Server) chooseLanguage(w http.ResponseWriter, r *http.Request) {
	for _, l := range languages() {
		if tag := l.tag.String(); tag == r.PostFormValue("language") {
			http.SetCookie(w, &http.Cookie{
				Name: languageCookie, Value: tag, Path: "/", MaxAge: 365 * 24 * 3600,
				Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
			})
		}
	}
	http.Redirect(w, r, pageOf(r.PostFormValue("page")), http.StatusSeeOther)
}

// pageOf is path where that is a page: a form cannot lead anywhere else.
func pageOf(path string) string {
	for _, g := range menu {
		for _, i := range g.Items {
			if i.Path == path {
				return path
			}
		}
	}
	if path == passwordPath || path == "/login" {
		return path
	}
	return "/"
}
