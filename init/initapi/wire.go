package initapi

import (
	"context"
	"net/http"

	"parley/services/control"
)

// service is the name in paths of logs and problems.
const service = "init"

// Client calls init behind its control socket.
type Client struct{ c *control.Client }

var _ API = (*Client)(nil)

// NewClient returns the client of the socket at path.
func NewClient(path string) *Client { return &Client{control.NewClient(service, path)} }

// Status implements API.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.c.Call(ctx, "GET", "/status", nil, &s)
}

// Restart implements API.
func (c *Client) Restart(ctx context.Context, service string) error {
	return c.c.Call(ctx, "POST", "/restart", service, nil)
}

// Reboot implements API.
func (c *Client) Reboot(ctx context.Context) error {
	return c.c.Call(ctx, "POST", "/reboot", nil, nil)
}

// Poweroff implements API.
func (c *Client) Poweroff(ctx context.Context) error {
	return c.c.Call(ctx, "POST", "/poweroff", nil, nil)
}

// Handler serves api to Clients.
func Handler(api API) http.Handler {
	type none = control.None
	mux := http.NewServeMux()
	do := func(path string, f func(context.Context) error) {
		control.Handle(mux, service, "POST "+path, func(ctx context.Context, _ none) (none, error) { return none{}, f(ctx) })
	}
	control.Handle(mux, service, "GET /status", func(ctx context.Context, _ none) (Status, error) { return api.Status(ctx) })
	control.Handle(mux, service, "POST /restart", func(ctx context.Context, name string) (none, error) {
		return none{}, api.Restart(ctx, name)
	})
	do("/reboot", api.Reboot)
	do("/poweroff", api.Poweroff)
	return mux
}
