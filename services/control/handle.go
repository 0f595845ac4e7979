package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"parley/services/problem"
)

// Handle adds a call to mux: pattern as in http.ServeMux ("POST /users"), the
// request body decoded into In, Out sent back as JSON. An error of f that is
// a Problem reaches the caller as it is, any other as Internal of service.
func Handle[In, Out any](mux *http.ServeMux, service, pattern string, f func(ctx context.Context, in In) (Out, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil && !errors.Is(err, io.EOF) {
			reply(w, http.StatusBadRequest, problem.New(problem.Internal, "service", service, "detail", err.Error()))
			return
		}
		out, err := f(r.Context(), in)
		if err == nil {
			reply(w, http.StatusOK, out)
			return
		}
		p, ok := errors.AsType[*problem.Problem](err)
		if !ok {
			p = problem.New(problem.Internal, "service", service, "detail", err.Error())
		}
		reply(w, http.StatusConflict, p)
	})
}

// none is the In or Out of a call that has none.
type none struct{}

// Get is Handle for a call that asks and says nothing.
func Get[Out any](mux *http.ServeMux, service, path string, f func(context.Context) (Out, error)) {
	Handle(mux, service, "GET "+path, func(ctx context.Context, _ none) (Out, error) { return f(ctx) })
}

// Ask is Get for what does more than to read.
func Ask[Out any](mux *http.ServeMux, service, path string, f func(context.Context) (Out, error)) {
	Handle(mux, service, "POST "+path, func(ctx context.Context, _ none) (Out, error) { return f(ctx) })
}

// Do is Handle for a call without an answer that says nothing.
func Do(mux *http.ServeMux, service, path string, f func(context.Context) error) {
	Handle(mux, service, "POST "+path, func(ctx context.Context, _ none) (none, error) { return none{}, f(ctx) })
}

// Tell is Handle for a call without an answer.
func Tell[In any](mux *http.ServeMux, service, path string, f func(context.Context, In) error) {
	Handle(mux, service, "POST "+path, func(ctx context.Context, in In) (none, error) { return none{}, f(ctx, in) })
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The peer may be gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(v)
}
