package webadmin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/services/callbridge"
	"parley/services/callbridge/callbridgeapi"
	"parley/services/callbridge/directory"
	"parley/services/config"
	"parley/services/files"
	"parley/services/pki"
	"parley/services/problem"
)

// directoryView is Configuration > Active Directory.
type directoryView struct {
	// Form is what the fields show: what is set, or what was refused. It has no
	// password.
	Form directoryForm
	// Shared says that they are the database's, set on Host at Set.
	Shared bool
	Host   string
	Set    time.Time
	// HasPassword says that one is set, ChangePassword that fields for one are
	// shown.
	HasPassword, ChangePassword bool
	// Wrong is the field that was refused.
	Wrong string
	// TLS are the ways to protect a connection, Trusts the files to choose
	// from.
	TLS    []string
	Trusts []string
	// Missing is what is to be filled in before the server can be asked.
	Missing string
	// Now is what the Call Bridge says, NowFailure why it says nothing.
	Now callbridgeapi.Directory
	// Unread says that it has yet to read these settings.
	Unread     bool
	NowFailure string
	// Tested says that Steps are of a test that was just made.
	Tested bool
	Steps  []callbridgeapi.Step
}

// directoryForm are the fields as text.
type directoryForm struct {
	Address, Port, TLS, Trust, Username, BaseDN, Filter, User, DisplayName string
}

func formOf(c config.Directory) directoryForm {
	f := directoryForm{
		Address: c.Address, TLS: c.TLS, Trust: c.Trust, Username: c.Username,
		BaseDN: c.BaseDN, Filter: c.Filter, User: c.User, DisplayName: c.DisplayName,
	}
	if c.Port != 0 {
		f.Port = strconv.Itoa(c.Port)
	}
	return f
}

// settings are the fields as the configuration has them.
func (f directoryForm) settings() (config.Directory, error) {
	c := config.Directory{
		Address: f.Address, TLS: f.TLS, Trust: f.Trust, Username: f.Username,
		BaseDN: f.BaseDN, Filter: f.Filter, User: f.User, DisplayName: f.DisplayName,
	}
	if f.Port == "" {
		return c, nil
	}
	n, err := strconv.ParseUint(f.Port, 10, 16)
	if err != nil || n == 0 {
		return c, problem.New(problem.DirectorySetting, "field", "Port", "value", short(f.Port), "reason", "ports are 1 to 65535, as a rule 389 or 636", "command", "callbridge directory port")
	}
	c.Port = int(n)
	return c, nil
}

func (s *Server) directoryPage(w http.ResponseWriter, r *http.Request, v *visitor) error {
	return s.showDirectory(w, r, v, nil)
}

// showDirectory shows the page as the configuration is, after change has had
// its way with it; that returns why something was refused.
func (s *Server) showDirectory(w http.ResponseWriter, r *http.Request, v *visitor, change func(*directoryView) error) error {
	ctx, cancel := brief(r)
	defer cancel()
	inForce, err := s.settings.Load(ctx)
	if err != nil {
		return err
	}
	c := inForce.Directory
	data := directoryView{Form: formOf(c), Shared: inForce.Shared(), Host: inForce.Host, Set: inForce.Set, HasPassword: c.Password != "", ChangePassword: c.Password == "", TLS: []string{"starttls", "ldaps", "none"}}
	if list, err := pki.List(s.deps.Files); err == nil {
		for _, e := range list {
			if e.Kind == pki.Certificate || e.Kind == pki.Bundle {
				data.Trusts = append(data.Trusts, e.Name)
			}
		}
	}
	if t := c.Trust; t != "" && !slices.Contains(data.Trusts, t) {
		data.Trusts = append(data.Trusts, t)
	}
	if err := directory.CheckComplete(c); err != nil && problem.CodeOf(err) != problem.DirectoryUnset {
		data.Missing = problem.Text(err)
	}
	page := view{Page: "directory", Path: directoryPath, Done: done(r)}
	status := http.StatusOK
	if change != nil {
		if err := change(&data); err != nil {
			page.Failure, status = s.explain(err), statusOf(err)
			if wrong, ok := errors.AsType[*wrongField](err); ok {
				data.Wrong, status = wrong.field, http.StatusBadRequest
			}
		}
	}
	soon, stop := brief(r)
	defer stop()
	if data.Now, err = s.deps.CallBridge.Directory(soon); err != nil {
		data.NowFailure = s.explain(err)
	}
	data.Unread = callbridge.Unread(data.Now, c)
	page.Data = data
	s.write(w, r, status, page, v)
	return nil
}

const directoryPath = "/configuration/directory"

// setDirectory takes the form. Its button [change] only shows it again with the
// fields for a new password.
func (s *Server) setDirectory(w http.ResponseWriter, r *http.Request, v *visitor) error {
	field := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	form := directoryForm{
		Address: strings.ToLower(field("address")), Port: field("port"), TLS: field("tls"), Trust: field("trust"), Username: field("username"),
		BaseDN: field("basedn"), Filter: field("filter"), User: field("user"), DisplayName: field("displayname"),
	}
	again := func(err error) error {
		return s.showDirectory(w, r, v, func(data *directoryView) error {
			data.Form = form
			data.ChangePassword = data.ChangePassword || r.PostForm.Has("change") || r.PostForm.Has("password") || errors.Is(err, problem.New(problem.PasswordAgain))
			return err
		})
	}
	if r.PostForm.Has("change") {
		return again(nil)
	}
	if r.PostFormValue("password") != r.PostFormValue("confirm") {
		return again(&wrongField{"password", problem.New(problem.PasswordsDiffer)})
	}
	ctx, cancel := patient(r)
	defer cancel()
	if err := s.changeDirectory(ctx, v.who(), form, config.Secret(r.PostFormValue("password"))); err != nil {
		return again(err)
	}
	http.Redirect(w, r, directoryPath+"?done=saved", http.StatusSeeOther)
	return nil
}

// changeDirectory makes the settings those of the form. An empty password is
// the one that there is, but for another server, or another way to it: whoever
// may change the address is not to be sent the password that way.
func (s *Server) changeDirectory(ctx context.Context, who files.Who, form directoryForm, password config.Secret) error {
	return s.settings.Change(ctx, func(d *config.Directory) error {
		old := *d
		next, err := form.settings()
		if err != nil {
			return wrongSetting(err)
		}
		same := next.Address == "" || old.Address == next.Address && old.Port == next.Port && old.TLS == next.TLS && old.Trust == next.Trust
		switch {
		case password != "":
			next.Password = password
		case next == config.Directory{}, next.Username == "":
		case old.Password != "" && !same:
			return &wrongField{"password", problem.New(problem.PasswordAgain)}
		default:
			next.Password = old.Password
		}
		if err := directory.CheckSettings(next); err != nil {
			return wrongSetting(err)
		}
		if next.Trust != "" && next.Trust != old.Trust {
			if _, err := s.deps.Files.Read(next.Trust); err != nil {
				return &wrongField{"trust", err}
			}
		}
		*d = next
		for _, c := range directoryCommands(old, next) {
			if err := s.audit(who, c); err != nil {
				return err
			}
		}
		return nil
	}, func() error { return s.deps.CallBridge.Reload(ctx) })
}

// settingFields are the form's fields by what problems call them.
var settingFields = map[string]string{
	"Address": "address", "Port": "port", "TLS": "tls", "Password": "password", "Base distinguished name": "basedn",
	"Filter": "filter", "Username mapping": "user", "Display name": "displayname",
}

func wrongSetting(err error) error {
	if p, ok := errors.AsType[*problem.Problem](err); ok && p.Code == problem.DirectorySetting {
		return &wrongField{settingFields[p.Values["field"]], err}
	}
	return err
}

// directoryCommands are the console's that would have changed the same.
func directoryCommands(old, next config.Directory) []string {
	var all []string
	a, b := formOf(old), formOf(next)
	// On the console 'tls none' is without TLS; what is left out is what it
	// means.
	_, a.TLS = directory.Server(old)
	_, b.TLS = directory.Server(next)
	for _, f := range []struct{ what, before, after string }{
		{"address", a.Address, b.Address},
		{"port", a.Port, b.Port},
		{"tls", a.TLS, b.TLS},
		{"trust", a.Trust, b.Trust},
		{"username", a.Username, b.Username},
		{"basedn", a.BaseDN, b.BaseDN},
		{"filter", a.Filter, b.Filter},
		{"user", a.User, b.User},
		{"displayname", a.DisplayName, b.DisplayName},
	} {
		value := f.after
		switch {
		case f.before == f.after, f.what == "tls" && value == "":
			continue
		case value == "":
			value = "none"
		case strings.ContainsAny(value, ` "`):
			value = strconv.Quote(value)
		}
		all = append(all, "callbridge directory "+f.what+" "+value)
	}
	// 'username none' takes the password as well.
	if old.Password != next.Password && (next.Password != "" || next.Username != "") {
		all = append(all, "callbridge directory password")
	}
	return all
}

// testDirectory walks to the LDAP server of the saved settings, and shows each
// step.
func (s *Server) testDirectory(w http.ResponseWriter, r *http.Request, v *visitor) error {
	if err := s.audit(v.who(), "callbridge directory test"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxRequest-2*callWait)
	defer cancel()
	return s.showDirectory(w, r, v, func(data *directoryView) (err error) {
		data.Steps, err = s.deps.CallBridge.TestDirectory(ctx)
		data.Tested = err == nil
		return err
	})
}

// syncDirectory has the users listed now.
func (s *Server) syncDirectory(w http.ResponseWriter, r *http.Request, v *visitor) error {
	if err := s.audit(v.who(), "callbridge directory sync"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxRequest-2*callWait)
	defer cancel()
	if _, err := s.deps.CallBridge.SyncDirectory(ctx); err != nil {
		return s.showDirectory(w, r, v, func(*directoryView) error { return err })
	}
	http.Redirect(w, r, directoryPath+"?done=synced", http.StatusSeeOther)
	return nil
}
