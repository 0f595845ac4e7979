// Package webadminapi is what Webadmin offers the console over its control
// socket: the types, the client, and the handler that puts a server behind it.
// It holds no state and decides nothing. The REST API for programs elsewhere
// is not this but part of Webadmin.
package webadminapi

import (
	"context"
	"net/http"
	"time"

	"parley/services/control"
)

// API is Webadmin as others see it. *Client and the server implement it.
type API interface {
	Status(ctx context.Context) (Status, error)
	// Reload takes live.json as it now is: opens or closes the listener,
	// loads the certificate. A problem means that nothing has changed.
	Reload(ctx context.Context) error
	// Restart drops all connections, logs everybody out, and opens again.
	Restart(ctx context.Context) error
}

// Status is Webadmin at one moment.
type Status struct {
	// Running says that it listens.
	Running bool `json:"running"`
	// Sessions are the browsers that are logged in.
	Sessions int `json:"sessions"`
	// Expires is when the certificate in use ends, or the one that would be
	// once it is enabled; zero with none.
	Expires time.Time `json:"expires,omitzero"`
	// Trouble is why it does not listen although enabled.
	Trouble string `json:"trouble,omitempty"`
}

// service is the name in paths of logs and problems.
const service = "webadmin"

// Client calls the Webadmin behind a control socket.
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

// Handler serves api to Clients.
func Handler(api API) http.Handler {
	mux := http.NewServeMux()
	control.Get(mux, service, "/status", api.Status)
	control.Do(mux, service, "/reload", api.Reload)
	control.Do(mux, service, "/restart", api.Restart)
	return mux
}
