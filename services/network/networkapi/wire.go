package networkapi

import (
	"context"
	"net/http"
	"net/netip"

	"parley/services/control"
)

// service is the name in paths of logs and problems.
const service = "network"

// Client calls the network service behind a control socket.
type Client struct{ c *control.Client }

var _ API = (*Client)(nil)

// NewClient returns the client of the socket at path.
func NewClient(path string) *Client { return &Client{control.NewClient(service, path)} }

// question is the body of a look-up.
type question struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// target is the body of a ping.
type target struct {
	Host string `json:"host"`
	Seq  int    `json:"seq"`
}

// Interfaces implements API.
func (c *Client) Interfaces(ctx context.Context) (is []Interface, err error) {
	return is, c.c.Call(ctx, "GET", "/interfaces", nil, &is)
}

// Reload implements API.
func (c *Client) Reload(ctx context.Context) error {
	return c.c.Call(ctx, "POST", "/reload", nil, nil)
}

// NameServers implements API.
func (c *Client) NameServers(ctx context.Context) (s []netip.AddrPort, err error) {
	return s, c.c.Call(ctx, "GET", "/dns/servers", nil, &s)
}

// Lookup implements API.
func (c *Client) Lookup(ctx context.Context, kind, name string) (a Answer, err error) {
	return a, c.c.Call(ctx, "POST", "/lookup", question{kind, name}, &a)
}

// FlushDNS implements API.
func (c *Client) FlushDNS(ctx context.Context) error {
	return c.c.Call(ctx, "POST", "/dns/flush", nil, nil)
}

// ForgetDenials implements API.
func (c *Client) ForgetDenials(ctx context.Context) error {
	return c.c.Call(ctx, "POST", "/dns/forget-denials", nil, nil)
}

// Ping implements API.
func (c *Client) Ping(ctx context.Context, host string, seq int) (e Echo, err error) {
	return e, c.c.Call(ctx, "POST", "/ping", target{host, seq}, &e)
}

// Handler serves api to Clients.
func Handler(api API) http.Handler {
	mux := http.NewServeMux()
	control.Get(mux, service, "/interfaces", api.Interfaces)
	control.Do(mux, service, "/reload", api.Reload)
	control.Get(mux, service, "/dns/servers", api.NameServers)
	control.Handle(mux, service, "POST /lookup", func(ctx context.Context, q question) (Answer, error) { return api.Lookup(ctx, q.Kind, q.Name) })
	control.Do(mux, service, "/dns/flush", api.FlushDNS)
	control.Do(mux, service, "/dns/forget-denials", api.ForgetDenials)
	control.Handle(mux, service, "POST /ping", func(ctx context.Context, t target) (Echo, error) { return api.Ping(ctx, t.Host, t.Seq) })
	return mux
}
