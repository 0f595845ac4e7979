package webadmin

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/problem"
)

// generalView is Configuration > General.
type generalView struct {
	Name, Domain, Server string
	// HasSecret says that one is set; ChangeSecret that fields for one are
	// shown. The secret itself is never part of a page.
	HasSecret, ChangeSecret bool
	// Wrong is the field that was refused.
	Wrong string
	// Off is what to do where the form is filled in and nothing connects.
	Off string
	// Now is the row of Status > General, "" where it is not known, with its
	// hint.
	Now, NowHint string
	// Tested says that Steps are of a test that was just made.
	Tested bool
	Steps  []callbridgeapi.Step
}

func (s *Server) generalPage(w http.ResponseWriter, r *http.Request, v *visitor) error {
	data, err := s.general(r)
	if err != nil {
		return err
	}
	s.show(w, r, http.StatusOK, v, "general", data)
	return nil
}

// general is the page as the configuration has it.
func (s *Server) general(r *http.Request) (generalView, error) {
	d, err := s.deps.Config.Load()
	if err != nil {
		return generalView{}, err
	}
	l := d.CallBridge.XMPP
	data := generalView{Name: l.Name, Domain: l.Domain, Server: l.Server, HasSecret: l.Secret != "", ChangeSecret: l.Secret == ""}
	if complete(l) && !d.CallBridge.Enabled {
		data.Off = problem.Text(problem.New(problem.CallBridgeOff))
	}
	ctx, cancel := brief(r)
	defer cancel()
	st, err := s.deps.CallBridge.Status(ctx)
	data.Now, data.NowHint = st.XMPPRow, st.Hint
	if err != nil {
		data.Now, data.NowHint = "", s.explain(err)
	}
	return data, nil
}

// setGeneral takes the form. Its button [change] only shows it again with the
// fields for a new secret.
func (s *Server) setGeneral(w http.ResponseWriter, r *http.Request, v *visitor) error {
	field := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	link := config.BridgeLink{Name: field(fieldName), Domain: field(fieldDomain), Server: field(fieldServer)}
	secret, confirm := r.PostFormValue(fieldSecret), r.PostFormValue("confirm")
	again := func(err error) error {
		data, loadErr := s.general(r)
		if loadErr != nil {
			return loadErr
		}
		data.Name, data.Domain, data.Server = link.Name, link.Domain, link.Server
		data.ChangeSecret = data.ChangeSecret || r.PostForm.Has("change") || r.PostForm.Has(fieldSecret) || r.PostForm.Has("confirm")
		page := view{Page: "general", Path: r.URL.Path}
		status := http.StatusOK
		if err != nil {
			if wrong, ok := errors.AsType[*wrongField](err); ok {
				data.Wrong = wrong.field
			}
			page.Failure, status = s.explain(err), statusOf(err)
		}
		page.Data = data
		s.write(w, r, status, page, v)
		return nil
	}
	if r.PostForm.Has("change") {
		return again(nil)
	}
	// Secrets are pasted, with a line's end as a rule.
	secret, confirm = strings.TrimSpace(secret), strings.TrimSpace(confirm)
	if secret != confirm {
		return again(&wrongField{fieldSecret, problem.New(problem.SecretsDiffer)})
	}
	ctx, cancel := patient(r)
	defer cancel()
	label := func(field string) string { return s.words(r).text("general." + field) }
	err := s.setLink(ctx, v.who(), label, func(l *config.BridgeLink) {
		link.Secret = l.Secret
		*l = withSecret(link, config.Secret(secret))
	})
	if err != nil {
		return again(err)
	}
	d, err := s.deps.Config.Load()
	if err != nil {
		return err
	}
	// What is disabled is not in use.
	done := "saved"
	if !d.CallBridge.Enabled {
		done = "kept"
	}
	http.Redirect(w, r, "/configuration/general?done="+done, http.StatusSeeOther)
	return nil
}

// testBridge walks through a connection as it is configured, and shows each
// step.
func (s *Server) testBridge(w http.ResponseWriter, r *http.Request, v *visitor) error {
	if err := s.audit(v.who(), "callbridge test"); err != nil {
		return err
	}
	data, err := s.general(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxRequest-callWait)
	defer cancel()
	page := view{Page: "general", Path: "/configuration/general"}
	if data.Steps, err = s.deps.CallBridge.Test(ctx); err != nil {
		page.Failure = s.explain(err)
	}
	data.Tested = err == nil
	page.Data = data
	s.write(w, r, http.StatusOK, page, v)
	return nil
}
