package eventlogapi

import (
	"context"
	"net/http"
	"time"

	"parley/services/control"
)

// service is the name in paths of logs and problems.
const service = "eventlog"

// Client calls the event log behind a control socket.
type Client struct{ c *control.Client }

var _ API = (*Client)(nil)

// NewClient returns the client of the socket at path.
func NewClient(path string) *Client { return &Client{control.NewClient(service, path)} }

// trace is the body of Trace.
type trace struct {
	Subsystem string        `json:"subsystem"`
	For       time.Duration `json:"for"`
}

// name is the body of Clear and Drop.
type name struct {
	Name string `json:"name"`
}

// Log implements API.
func (c *Client) Log(ctx context.Context, events ...Event) error {
	return c.c.Call(ctx, "POST", "/log", events, nil)
}

// Events implements API.
func (c *Client) Events(ctx context.Context, q Query) (es []Event, err error) {
	return es, c.c.Call(ctx, "POST", "/events", q, &es)
}

// Clear implements API.
func (c *Client) Clear(ctx context.Context, by string) (n int, err error) {
	return n, c.c.Call(ctx, "POST", "/clear", name{by}, &n)
}

// Raise implements API.
func (c *Client) Raise(ctx context.Context, f Fault) error {
	return c.c.Call(ctx, "POST", "/faults/raise", f, nil)
}

// Drop implements API.
func (c *Client) Drop(ctx context.Context, key string) error {
	return c.c.Call(ctx, "POST", "/faults/drop", name{key}, nil)
}

// Faults implements API.
func (c *Client) Faults(ctx context.Context) (fs []Fault, err error) {
	return fs, c.c.Call(ctx, "GET", "/faults", nil, &fs)
}

// Trace implements API.
func (c *Client) Trace(ctx context.Context, subsystem string, d time.Duration) error {
	return c.c.Call(ctx, "POST", "/trace", trace{subsystem, d}, nil)
}

// Traces implements API.
func (c *Client) Traces(ctx context.Context) (ts map[string]time.Time, err error) {
	return ts, c.c.Call(ctx, "GET", "/traces", nil, &ts)
}

// Handler serves api to Clients.
func Handler(api API) http.Handler {
	mux := http.NewServeMux()
	control.Tell(mux, service, "/log", func(ctx context.Context, es []Event) error { return api.Log(ctx, es...) })
	control.Handle(mux, service, "POST /events", api.Events)
	control.Handle(mux, service, "POST /clear", func(ctx context.Context, by name) (int, error) { return api.Clear(ctx, by.Name) })
	control.Tell(mux, service, "/faults/raise", api.Raise)
	control.Tell(mux, service, "/faults/drop", func(ctx context.Context, key name) error { return api.Drop(ctx, key.Name) })
	control.Get(mux, service, "/faults", api.Faults)
	control.Tell(mux, service, "/trace", func(ctx context.Context, t trace) error { return api.Trace(ctx, t.Subsystem, t.For) })
	control.Get(mux, service, "/traces", api.Traces)
	return mux
}
