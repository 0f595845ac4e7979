package webadmin

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"strconv"
	"time"

	"parley/services/account"
	"parley/services/files"
	"parley/services/journal"
	"parley/services/problem"
)

// cookie is the name of the session's: the prefix has the browser insist on
// Secure, on no Domain, and on Path=/ (RFC 6265bis §4.1.3.2).
const cookie = "__Host-session"

// liveHeader marks the requests by which a page keeps itself up to date.
const liveHeader = "Parley-Live"

// formField is the hidden field of a session's form token.
const formField = "form"

// visitor is who has logged in with a browser, for one request.
type visitor struct {
	account.User
	source string
	token  string
	form   string
}

func (v *visitor) who() files.Who { return files.Who{Name: v.Name, Role: v.Role, Source: v.source} }

// hasPages says whether a role has Webadmin's pages. Those of API have the API
// alone, those of the console the console.
func hasPages(r account.Role) bool { return r == account.Admin || r == account.AppAdmin }

func errRole(r account.Role) error { return problem.New(problem.WebadminRole, "role", string(r)) }

// visitorOf finds the session of a request; nil is that there is none. The
// account is looked up each time: it may be gone, or its password be new.
func (s *Server) visitorOf(r *http.Request) (*visitor, error) {
	c, err := r.Cookie(cookie)
	if err != nil {
		return nil, nil
	}
	v, ok := s.sessions.find(c.Value, r.Header.Get(liveHeader) == "")
	if !ok {
		return nil, nil
	}
	info, err := s.deps.Accounts.Info(v.user)
	if problem.CodeOf(err) != problem.AccountUnknown && err != nil {
		return nil, err
	}
	if err != nil || !info.Changed.Equal(v.changed) || !hasPages(info.Role) {
		s.sessions.close(c.Value)
		return nil, nil
	}
	return &visitor{User: info.User, source: r.RemoteAddr, token: c.Value, form: v.form}, nil
}

// page answers a request of somebody who is logged in; its error is shown.
type page func(w http.ResponseWriter, r *http.Request, v *visitor) error

// look is for pages that change nothing.
func (s *Server) look(p page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := s.visitorOf(r)
		switch {
		case err != nil:
			s.fail(w, r, nil, err)
		case v == nil && r.Header.Get(liveHeader) != "":
			w.WriteHeader(http.StatusUnauthorized)
		case v == nil:
			http.Redirect(w, r, "/login", http.StatusSeeOther)
		case v.MustChange && r.URL.Path != passwordPath && r.URL.Path != "/logout":
			http.Redirect(w, r, passwordPath, http.StatusSeeOther)
		default:
			if err := p(w, r, v); err != nil {
				s.fail(w, r, v, err)
			}
		}
	})
}

// change is for forms: it wants the token of the session's own pages. The
// cookie is not sent by other sites' pages (SameSite) and their requests are
// refused by their origin; this is for browsers that know neither.
func (s *Server) change(p page) http.Handler {
	return s.look(func(w http.ResponseWriter, r *http.Request, v *visitor) error {
		if err := readForm(r); err != nil {
			return err
		}
		if subtle.ConstantTimeCompare([]byte(r.PostFormValue(formField)), []byte(v.form)) != 1 {
			return problem.New(problem.FormStale)
		}
		return p(w, r, v)
	})
}

// readForm reads a form, with its file where it has one.
func readForm(r *http.Request) error {
	err := r.ParseForm()
	if err == nil {
		err = r.ParseMultipartForm(maxBody)
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return problem.New(problem.FormLarge, "max", maxBodyText, "file", maxFileText)
	}
	// What else is wrong with it shows by what it lacks.
	return nil
}

// audit records a command before it has any effect.
func (s *Server) audit(who files.Who, command string) error {
	if err := s.deps.Audit.Audit(who.Name, who.Source, journal.Clean(command), journal.Granted); err != nil {
		return problem.New(problem.AuditFailed, "detail", err.Error())
	}
	return nil
}

const passwordPath = "/password"

// loginPage is the form; whoever is logged in already goes on.
func (s *Server) loginPage(w http.ResponseWriter, r *http.Request) {
	if v, err := s.visitorOf(r); err == nil && v != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	s.show(w, r, http.StatusOK, nil, "login", loginView{})
}

type loginView struct{ Name, Failure string }

// login opens a session. What is wrong is told on the form.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	name := r.PostFormValue("name")
	token, err := s.enter(name, r.PostFormValue("password"), r.RemoteAddr)
	if err != nil {
		status := http.StatusForbidden
		switch problem.CodeOf(err) {
		case problem.LoginsTooMany:
			status = http.StatusTooManyRequests
		case "":
			s.log.Error("login", "err", err)
			status, err = http.StatusInternalServerError, errAccounts
		}
		s.show(w, r, status, nil, "login", loginView{Name: name, Failure: problem.Text(err)})
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookie, Value: token, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// errAccounts is shown where the reason is not for who is not logged in.
var errAccounts = problem.New(problem.Internal, "service", "webadmin", "detail", "accounts cannot be read or written")

// enter checks a login and returns the new session's token.
func (s *Server) enter(name, password, remote string) (token string, err error) {
	user, err := s.authenticate(name, password, remote)
	if err == nil && !hasPages(user.Role) {
		err = errRole(user.Role)
	}
	if err != nil {
		s.denied(doorPages, name, remote, err)
		return "", err
	}
	if err := s.audit(files.Who{Name: name, Source: remote}, doorPages); err != nil {
		return "", err
	}
	info, err := s.deps.Accounts.Info(name)
	if err != nil {
		return "", err
	}
	s.log.Info("login", "user", name, "source", remote)
	return s.sessions.open(name, info.Changed), nil
}

// authenticate checks a password, as often as an address may try.
func (s *Server) authenticate(name, password, remote string) (account.User, error) {
	if wait := s.throttle.take(remote); wait > 0 {
		return account.User{}, problem.New(problem.LoginsTooMany, "seconds", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	}
	return s.deps.Accounts.Authenticate(name, password, remote)
}

// The ways in, as audit lines have them.
const (
	doorPages = "login to webadmin by password"
	doorAPI   = "login to API by password"
)

// denied records a failed login. A name that does not exist is left out, since
// people type passwords there. Floods are not recorded line by line.
func (s *Server) denied(door, name, remote string, why error) {
	if errors.Is(why, problem.New(problem.LoginsTooMany)) {
		s.log.Debug("login throttled", "source", remote)
		return
	}
	if _, err := s.deps.Accounts.Lookup(name); err != nil {
		name = "(unknown)"
	}
	s.log.Warn("login failed", "user", name, "source", remote, "reason", problem.CodeOf(why))
	if err := s.deps.Audit.Audit(name, remote, door, journal.Denied); err != nil {
		s.log.Error("audit a failed login", "err", err)
	}
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request, v *visitor) error {
	s.sessions.close(v.token)
	http.SetCookie(w, &http.Cookie{Name: cookie, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: -1})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

type passwordView struct {
	Must    bool
	Failure string
}

func (s *Server) passwordPage(w http.ResponseWriter, r *http.Request, v *visitor) error {
	s.show(w, r, http.StatusOK, v, "password", passwordView{Must: v.MustChange})
	return nil
}

// setPassword changes the visitor's own password, which ends all sessions of
// that account but this one.
func (s *Server) setPassword(w http.ResponseWriter, r *http.Request, v *visitor) error {
	err := s.newPassword(r, v)
	if problem.CodeOf(err) != "" {
		s.show(w, r, http.StatusBadRequest, v, "password", passwordView{Must: v.MustChange, Failure: problem.Text(err)})
		return nil
	}
	if err != nil {
		return err
	}
	info, err := s.deps.Accounts.Info(v.Name)
	if err != nil {
		return err
	}
	s.sessions.close(v.token)
	http.SetCookie(w, &http.Cookie{
		Name: cookie, Value: s.sessions.open(v.Name, info.Changed), Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, "/status/general?done=password", http.StatusSeeOther)
	return nil
}

func (s *Server) newPassword(r *http.Request, v *visitor) error {
	next := r.PostFormValue("password")
	if next != r.PostFormValue("again") {
		return problem.New(problem.PasswordsDiffer)
	}
	if !v.MustChange {
		_, err := s.authenticate(v.Name, r.PostFormValue("current"), v.source)
		if problem.CodeOf(err) == problem.AccountDenied {
			return problem.New(problem.PasswordWrong)
		}
		if err != nil {
			return err
		}
	}
	if err := s.audit(v.who(), "passwd"); err != nil {
		return err
	}
	return s.deps.Accounts.SetPassword(v.Name, next)
}
