package webadmin

import (
	"cmp"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"parley/services/config"
	"parley/services/files"
	"parley/services/problem"
)

// The REST API: paths, names and elements are the original's, as far as this
// product has the matter; what it lacked, the state of XMPP and of its
// cluster, is beside them. GET answers XML, or JSON where Accept wants it.

// call answers a request of a program; what it returns is encoded, its error
// becomes failureDetails.
type call func(r *http.Request, who files.Who) (any, error)

const apiPath = "/api/v1/"

func (s *Server) routeAPI(mux *http.ServeMux) {
	mux.Handle("GET "+apiPath+"system/status", s.api(s.apiStatus))
	mux.Handle("GET "+apiPath+"system/alarms", s.api(s.apiAlarms))
	mux.Handle("GET "+apiPath+"system/xmpp", s.api(s.apiXMPP))
	mux.Handle("GET "+apiPath+"system/database", s.api(s.apiDatabase))
	mux.Handle("GET "+apiPath+"system/configuration/xmpp", s.api(s.apiLink))
	mux.Handle("PUT "+apiPath+"system/configuration/xmpp", s.api(s.setAPILink))
	mux.Handle("POST "+apiPath+"system/configuration/xmpp", s.api(s.setAPILink))
	mux.Handle("GET "+apiPath+"callBridges", s.api(s.apiBridges))
	mux.Handle("POST "+apiPath+"callBridges", s.api(s.addAPIBridge))
	mux.Handle("GET "+apiPath+"callBridges/{id}", s.api(s.apiBridge))
	mux.Handle("PUT "+apiPath+"callBridges/{id}", s.api(s.setAPIBridge))
	mux.Handle("DELETE "+apiPath+"callBridges/{id}", s.api(s.deleteAPIBridge))
	mux.Handle(apiPath, s.api(func(*http.Request, files.Who) (any, error) { return nil, &failure{tag: "unrecognisedObject"} }))
	mux.HandleFunc("GET /metrics", s.metrics)
}

// api lets a program in and encodes what c returns; nil is an empty answer.
func (s *Server) api(c call) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := s.programOf(r)
		if err != nil {
			s.refuse(w, err)
			return
		}
		answer, err := c(r, who)
		if err != nil {
			f := s.failureOf(err)
			encode(w, r, f.status(), f)
			return
		}
		if c, ok := answer.(*created); ok {
			w.Header().Set("Location", c.location)
			answer = nil
		}
		encode(w, r, http.StatusOK, answer)
	})
}

// refuse answers whoever may not use the API.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	status := http.StatusForbidden
	switch problem.CodeOf(err) {
	case problem.AccountDenied, problem.AccountLocked, problem.CredentialsMissing:
		w.Header().Set("WWW-Authenticate", `Basic realm="Parley", charset="UTF-8"`)
		status = http.StatusUnauthorized
	case problem.LoginsTooMany:
		status = http.StatusTooManyRequests
	case "":
		s.log.Error("login to API", "err", err)
		status, err = http.StatusInternalServerError, errAccounts
	}
	http.Error(w, problem.Text(err), status)
}

// failure is failureDetails of one kind.
type failure struct {
	tag string
	// parameter and detail are attributes, where they are not empty.
	parameter, detail string
}

func (f *failure) Error() string { return f.tag + " " + f.parameter + " " + f.detail }

func (f *failure) status() int {
	switch f.tag {
	case "unrecognisedObject", "callBridgeDoesNotExist":
		return http.StatusNotFound
	case "unsupportedMediaType":
		return http.StatusUnsupportedMediaType
	case "serviceUnavailable":
		return http.StatusServiceUnavailable
	case "internalError":
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// parameterOf is how the API calls a field of the form.
var parameterOf = map[string]string{
	fieldName: "uniqueName", fieldDomain: "domain", fieldServer: "serverAddressOverride", fieldSecret: "sharedSecret",
}

func (s *Server) failureOf(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if wrong, ok := errors.AsType[*wrongField](err); ok {
		return &failure{tag: "parameterError", parameter: parameterOf[wrong.field], detail: problem.Text(wrong.err)}
	}
	tag := "invalidOperation"
	switch problem.CodeOf(err) {
	case problem.NotReachable, problem.NoLeader, problem.DatabaseNoLeader:
		tag = "serviceUnavailable"
	case "", problem.Internal, problem.AuditFailed:
		tag = "internalError"
	}
	return &failure{tag: tag, detail: s.explain(err)}
}

// apiLink is the Call Bridge's XMPP settings, but for the secret.
func (s *Server) apiLink(*http.Request, files.Who) (any, error) {
	d, err := s.deps.Config.Load()
	if err != nil {
		return nil, err
	}
	l := d.CallBridge.XMPP
	return &linkAnswer{UniqueName: l.Name, Domain: l.Domain, Server: l.Server}, nil
}

// setAPILink changes the parameters that are given.
func (s *Server) setAPILink(r *http.Request, who files.Who) (any, error) {
	if err := readParameters(r); err != nil {
		return nil, err
	}
	for name := range r.PostForm {
		switch name {
		case "uniqueName", "domain", "serverAddressOverride", "sharedSecret":
		default:
			return nil, noParameter(name)
		}
	}
	ctx, cancel := patient(r)
	defer cancel()
	label := func(field string) string { return parameterOf[field] }
	return nil, s.setLink(ctx, who, label, func(l *config.BridgeLink) {
		set := func(name string, to *string) {
			if r.PostForm.Has(name) {
				*to = strings.TrimSpace(r.PostForm.Get(name))
			}
		}
		var secret string
		set("uniqueName", &l.Name)
		set("domain", &l.Domain)
		set("serverAddressOverride", &l.Server)
		set("sharedSecret", &secret)
		*l = withSecret(*l, config.Secret(secret))
	})
}

// readParameters reads those of a body into r.PostForm. What it does not
// understand it refuses: to a program, a change that is passed over looks as
// if it had been made.
func readParameters(r *http.Request) error {
	const form = "application/x-www-form-urlencoded"
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.ContentLength != 0 && (err != nil || kind != form) {
		return &failure{tag: "unsupportedMediaType", detail: "the body is to be " + form + ", as in name=cb1&sharedSecret=…"}
	}
	err := r.ParseForm()
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return &failure{tag: "parameterError", detail: "the body is larger than " + maxBodyText}
	}
	if err != nil {
		return &failure{tag: "parameterError", detail: "the body is not " + form}
	}
	return nil
}

func noParameter(name string) error {
	return &failure{tag: "parameterError", parameter: short(name), detail: "there is no such parameter"}
}

// window is the part of a collection that offset and limit ask for.
func window(r *http.Request, total int) (from, to int, err error) {
	number := func(name string, otherwise int) int {
		text := r.FormValue(name)
		if text == "" {
			return otherwise
		}
		n, bad := strconv.Atoi(text)
		if bad != nil || n < 0 {
			err = cmp.Or(err, error(&failure{tag: "parameterError", parameter: name, detail: "it is not a number from 0"}))
		}
		return n
	}
	from = min(max(0, number("offset", 0)), total)
	to = from + min(max(0, number("limit", total)), total-from)
	return from, to, err
}
