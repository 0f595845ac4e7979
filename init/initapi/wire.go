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
	mux := http.NewServeMux()
	control.Get(mux, service, "/status", api.Status)
	control.Tell(mux, service, "/restart", api.Restart)
	control.Do(mux, service, "/reboot", api.Reboot)
	control.Do(mux, service, "/poweroff", api.Poweroff)
	return mux
}
