package callbridgeapi

import (
	"context"
	"net/http"

	"parley/services/control"
)

// service is the name in paths of logs and problems.
const service = "callbridge"

// Client calls the Call Bridge behind a control socket.
type Client struct{ c *control.Client }

var _ API = (*Client)(nil)

// NewClient returns the client of the socket at path.
func NewClient(path string) *Client { return &Client{control.NewClient(service, path)} }

// Status implements API.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.c.Call(ctx, "GET", "/status", nil, &s)
}

// Reload implements API.
func (c *Client) Reload(ctx context.Context) error {
	return c.c.Call(ctx, "POST", "/reload", nil, nil)
}

// Restart implements API.
func (c *Client) Restart(ctx context.Context) error {
	return c.c.Call(ctx, "POST", "/restart", nil, nil)
}

// Test implements API.
func (c *Client) Test(ctx context.Context) (steps []Step, err error) {
	return steps, c.c.Call(ctx, "POST", "/test", nil, &steps)
}

// Directory implements API.
func (c *Client) Directory(ctx context.Context) (d Directory, err error) {
	return d, c.c.Call(ctx, "GET", "/directory", nil, &d)
}

// TestDirectory implements API.
func (c *Client) TestDirectory(ctx context.Context) (steps []Step, err error) {
	return steps, c.c.Call(ctx, "POST", "/directory/test", nil, &steps)
}

// ProbeDirectory implements API.
func (c *Client) ProbeDirectory(ctx context.Context) error {
	return c.c.Call(ctx, "POST", "/directory/probe", nil, nil)
}

// SyncDirectory implements API.
func (c *Client) SyncDirectory(ctx context.Context) (d Directory, err error) {
	return d, c.c.Call(ctx, "POST", "/directory/sync", nil, &d)
}

// Handler serves api to Clients.
func Handler(api API) http.Handler {
	mux := http.NewServeMux()
	control.Get(mux, service, "/status", api.Status)
	control.Do(mux, service, "/reload", api.Reload)
	control.Do(mux, service, "/restart", api.Restart)
	control.Ask(mux, service, "/test", api.Test)
	control.Get(mux, service, "/directory", api.Directory)
	control.Ask(mux, service, "/directory/test", api.TestDirectory)
	control.Do(mux, service, "/directory/probe", api.ProbeDirectory)
	control.Ask(mux, service, "/directory/sync", api.SyncDirectory)
	return mux
}
