package databaseapi

import (
	"context"
	"encoding/json"
	"net/http"

	"parley/services/control"
)

// service is the name in paths of logs and problems.
const service = "database"

// Client calls the database behind a control socket.
type Client struct{ c *control.Client }

var _ API = (*Client)(nil)

// NewClient returns the client of the socket at path.
func NewClient(path string) *Client { return &Client{control.NewClient(service, path)} }

// change is what the calls that change the cluster carry.
type change struct {
	Node  string `json:"node,omitempty"`
	Again bool   `json:"again,omitempty"`
}

// rows is what the calls that change a table carry.
type rows struct {
	Table   string   `json:"table"`
	Records []Record `json:"records,omitempty"`
	Keys    []string `json:"keys,omitempty"`
}

// swap is what Swap carries.
type swap struct {
	Table  string          `json:"table"`
	Old    json.RawMessage `json:"old,omitempty"`
	Record Record          `json:"record"`
}

// Status implements API.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.c.Call(ctx, "GET", "/status", nil, &s)
}

// Reload implements API.
func (c *Client) Reload(ctx context.Context) error {
	return c.c.Call(ctx, "POST", "/reload", nil, nil)
}

// Initialize implements API.
func (c *Client) Initialize(ctx context.Context, again bool) error {
	return c.c.Call(ctx, "POST", "/cluster/initialize", change{Again: again}, nil)
}

// Join implements API.
func (c *Client) Join(ctx context.Context, node string) error {
	return c.c.Call(ctx, "POST", "/cluster/join", change{Node: node}, nil)
}

// Connect implements API.
func (c *Client) Connect(ctx context.Context, node string) error {
	return c.c.Call(ctx, "POST", "/cluster/connect", change{Node: node}, nil)
}

// Remove implements API.
func (c *Client) Remove(ctx context.Context, node string) error {
	return c.c.Call(ctx, "POST", "/cluster/remove", change{Node: node}, nil)
}

// ClearError implements API.
func (c *Client) ClearError(ctx context.Context) error {
	return c.c.Call(ctx, "POST", "/cluster/clear-error", nil, nil)
}

// Put implements Records.
func (c *Client) Put(ctx context.Context, table string, records ...Record) error {
	return c.c.Call(ctx, "POST", "/records/put", rows{Table: table, Records: records}, nil)
}

// Swap implements Records.
func (c *Client) Swap(ctx context.Context, table string, old json.RawMessage, r Record) error {
	return c.c.Call(ctx, "POST", "/records/swap", swap{Table: table, Old: old, Record: r}, nil)
}

// Delete implements Records.
func (c *Client) Delete(ctx context.Context, table string, keys ...string) error {
	return c.c.Call(ctx, "POST", "/records/delete", rows{Table: table, Keys: keys}, nil)
}

// List implements Records.
func (c *Client) List(ctx context.Context, table string) (rs []Record, err error) {
	return rs, c.c.Call(ctx, "POST", "/records/list", rows{Table: table}, &rs)
}

// Handler serves api to Clients.
func Handler(api API) http.Handler {
	mux := http.NewServeMux()
	control.Get(mux, service, "/status", api.Status)
	control.Do(mux, service, "/reload", api.Reload)
	control.Tell(mux, service, "/cluster/initialize", func(ctx context.Context, c change) error { return api.Initialize(ctx, c.Again) })
	control.Tell(mux, service, "/cluster/join", func(ctx context.Context, c change) error { return api.Join(ctx, c.Node) })
	control.Tell(mux, service, "/cluster/connect", func(ctx context.Context, c change) error { return api.Connect(ctx, c.Node) })
	control.Tell(mux, service, "/cluster/remove", func(ctx context.Context, c change) error { return api.Remove(ctx, c.Node) })
	control.Do(mux, service, "/cluster/clear-error", api.ClearError)
	control.Tell(mux, service, "/records/put", func(ctx context.Context, r rows) error { return api.Put(ctx, r.Table, r.Records...) })
	control.Tell(mux, service, "/records/swap", func(ctx context.Context, s swap) error { return api.Swap(ctx, s.Table, s.Old, s.Record) })
	control.Tell(mux, service, "/records/delete", func(ctx context.Context, r rows) error { return api.Delete(ctx, r.Table, r.Keys...) })
	control.Handle(mux, service, "POST /records/list", func(ctx context.Context, r rows) ([]Record, error) { return api.List(ctx, r.Table) })
	return mux
}
