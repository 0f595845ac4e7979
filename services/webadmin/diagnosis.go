package webadmin

import (
	"context"
	"net/http"

	"parley/services/diagnosis"
)

// diagnosisView is Status > Diagnosis: what to expect, or the findings.
type diagnosisView struct {
	Ran bool
	// Wrong are the checks that did not go well, Well the others, both in the
	// order of the console's.
	Wrong, Well    []diagnosis.Finding
	Failed, Warned int
}

func (s *Server) diagnosisPage(w http.ResponseWriter, r *http.Request, v *visitor) error {
	s.show(w, r, http.StatusOK, v, "diagnosis", diagnosisView{})
	return nil
}

// diagnose runs all checks and shows what came of them. It is a form's, since
// it opens connections to all nodes, and is recorded as the console's is.
func (s *Server) diagnose(w http.ResponseWriter, r *http.Request, v *visitor) error {
	if err := s.audit(v.who(), "xmpp diagnose"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxRequest-callWait)
	defer cancel()
	data := diagnosisView{Ran: true}
	for _, f := range s.deps.Diagnose(ctx) {
		switch f.Level {
		case diagnosis.OK:
			data.Well = append(data.Well, f)
			continue
		case diagnosis.Warn:
			data.Warned++
		default:
			data.Failed++
		}
		data.Wrong = append(data.Wrong, f)
	}
	s.show(w, r, http.StatusOK, v, "diagnosis", data)
	return nil
}
