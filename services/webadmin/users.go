package webadmin

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"parley/services/problem"
	"parley/services/xmpp/jid"
	"parley/services/xmpp/xmppapi"
)

// usersView is Configuration > XMPP users: all of them, or what to do with one.
type usersView struct {
	Domain string
	Users  []xmppapi.User
	// Do is "delete" or "password", for User; "" shows the list.
	Do, User string
	// Directory says that the directory checks User's password.
	Directory bool
	// Name is what was typed for a new user and refused.
	Name string
}

func (s *Server) usersPage(w http.ResponseWriter, r *http.Request, v *visitor) error {
	return s.users(w, r, v, usersView{Do: r.FormValue("do"), User: r.FormValue("user")}, nil)
}

// users shows the page; refused is why a change was not made.
func (s *Server) users(w http.ResponseWriter, r *http.Request, v *visitor, data usersView, refused error) error {
	d, err := s.deps.Config.Load()
	if err != nil {
		return err
	}
	data.Domain = d.XMPP.Domain
	ctx, cancel := brief(r)
	defer cancel()
	if data.Users, err = s.deps.XMPP.Users(ctx); err != nil && refused == nil {
		refused = err
	}
	if data.Do != "delete" && data.Do != "password" || data.User == "" {
		data.Do = ""
	}
	if data.Do != "" && err == nil {
		i := slices.IndexFunc(data.Users, func(u xmppapi.User) bool { return u.Name == data.User })
		if i < 0 {
			refused = cmp.Or[error](refused, problem.New(problem.UserUnknown, "name", short(data.User)))
			data.Do = ""
		} else {
			data.Directory = data.Users[i].Directory
		}
	}
	page := view{Page: "users", Path: r.URL.Path, Done: done(r), Data: data}
	status := http.StatusOK
	if refused != nil {
		page.Failure, status = s.explain(refused), statusOf(refused)
	}
	s.write(w, r, status, page, v)
	return nil
}

// changeUser adds a user, deletes one, or sets a password.
func (s *Server) changeUser(w http.ResponseWriter, r *http.Request, v *visitor) error {
	do, name := r.PostFormValue("do"), strings.TrimSpace(r.PostFormValue("user"))
	if err := s.applyUser(r, v, do, name); err != nil {
		return s.users(w, r, v, usersView{Do: do, User: name, Name: name}, err)
	}
	done := map[string]string{"add": "user-added", "delete": "user-deleted", "password": "user-password"}[do]
	http.Redirect(w, r, "/configuration/users?done="+done, http.StatusSeeOther)
	return nil
}

// applyUser does what the console's commands do, and leaves the same lines in
// the audit log.
func (s *Server) applyUser(r *http.Request, v *visitor, do, name string) error {
	local, err := jid.Local(name)
	if err != nil || local == "" {
		return problem.New(problem.UserName, "name", cmp.Or(short(name), "''"))
	}
	password := r.PostFormValue("password")
	if do != "delete" && password != r.PostFormValue("again") {
		return problem.New(problem.PasswordsDiffer)
	}
	ctx, cancel := patient(r)
	defer cancel()
	var command string
	var call func() error
	switch do {
	case "add":
		command, call = "xmpp user add "+local, func() error {
			return s.deps.XMPP.AddUser(ctx, xmppapi.Credential{Name: local, Password: password})
		}
	case "delete":
		command, call = "xmpp user del "+local, func() error { return s.deps.XMPP.DelUser(ctx, local) }
	case "password":
		command, call = "xmpp user passwd "+local, func() error {
			return s.deps.XMPP.SetPassword(ctx, xmppapi.Credential{Name: local, Password: password})
		}
	default:
		return problem.New(problem.PageUnknown, "page", r.URL.Path)
	}
	if err := s.audit(v.who(), command); err != nil {
		return err
	}
	return call()
}
