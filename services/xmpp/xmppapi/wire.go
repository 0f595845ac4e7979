package xmppapi

import (
	"context"
	"encoding/json"
	"net/http"

	"parley/services/control"
)

// service is the name in paths of logs and problems.
const service = "xmpp"

// Client calls the XMPP service behind a control socket.
type Client struct{ c *control.Client }

var (
	_ API      = (*Client)(nil)
	_ Examiner = (*Client)(nil)
)

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

// Reset implements API.
func (c *Client) Reset(ctx context.Context) (stillMember string, err error) {
	return stillMember, c.c.Call(ctx, "POST", "/reset", nil, &stillMember)
}

// Cluster implements API.
func (c *Client) Cluster(ctx context.Context) (cl Cluster, err error) {
	return cl, c.c.Call(ctx, "GET", "/cluster", nil, &cl)
}

// clusterChange is what the calls that change the cluster carry.
type clusterChange struct {
	Node string `json:"node,omitempty"`
	// Sure: again, discard or living.
	Sure bool `json:"sure,omitempty"`
}

// ClusterInitialize implements API.
func (c *Client) ClusterInitialize(ctx context.Context, again bool) error {
	return c.c.Call(ctx, "POST", "/cluster/initialize", clusterChange{Sure: again}, nil)
}

// ClusterJoin implements API.
func (c *Client) ClusterJoin(ctx context.Context, node string, discard bool) error {
	return c.c.Call(ctx, "POST", "/cluster/join", clusterChange{node, discard}, nil)
}

// ClusterLeave implements API.
func (c *Client) ClusterLeave(ctx context.Context) error {
	return c.c.Call(ctx, "POST", "/cluster/leave", nil, nil)
}

// ClusterRemove implements API.
func (c *Client) ClusterRemove(ctx context.Context, node string, living bool) error {
	return c.c.Call(ctx, "POST", "/cluster/remove", clusterChange{node, living}, nil)
}

// AddCallBridge implements API.
func (c *Client) AddCallBridge(ctx context.Context, name, secret string) (cb CallBridge, err error) {
	return cb, c.c.Call(ctx, "POST", "/callbridges/add", CallBridge{Name: name, Secret: secret}, &cb)
}

// DelCallBridge implements API.
func (c *Client) DelCallBridge(ctx context.Context, name string) error {
	return c.c.Call(ctx, "POST", "/callbridges/del", CallBridge{Name: name}, nil)
}

// DescribeCallBridge implements API.
func (c *Client) DescribeCallBridge(ctx context.Context, name string, d Description) error {
	return c.c.Call(ctx, "POST", "/callbridges/describe", CallBridge{Name: name, Description: d}, nil)
}

// CallBridges implements API.
func (c *Client) CallBridges(ctx context.Context) (cbs []CallBridge, err error) {
	return cbs, c.c.Call(ctx, "GET", "/callbridges", nil, &cbs)
}

// AddUser implements API.
func (c *Client) AddUser(ctx context.Context, u Credential) error {
	return c.c.Call(ctx, "POST", "/users/add", u, nil)
}

// DelUser implements API.
func (c *Client) DelUser(ctx context.Context, name string) error {
	return c.c.Call(ctx, "POST", "/users/del", Credential{Name: name}, nil)
}

// SetPassword implements API.
func (c *Client) SetPassword(ctx context.Context, u Credential) error {
	return c.c.Call(ctx, "POST", "/users/passwd", u, nil)
}

// Users implements API.
func (c *Client) Users(ctx context.Context) (us []User, err error) {
	return us, c.c.Call(ctx, "GET", "/users", nil, &us)
}

// ImportUsers implements API.
func (c *Client) ImportUsers(ctx context.Context, us []Credential) error {
	return c.c.Call(ctx, "POST", "/users/import", us, nil)
}

// Examine implements Examiner.
func (c *Client) Examine(ctx context.Context, in json.RawMessage) (out []Examined, err error) {
	return out, c.c.Call(ctx, "POST", "/cluster/examine", in, &out)
}

// Handler serves api to Clients, and what it has of Examiner.
func Handler(api API) http.Handler {
	mux := http.NewServeMux()
	control.Get(mux, service, "/status", api.Status)
	control.Do(mux, service, "/reload", api.Reload)
	control.Do(mux, service, "/restart", api.Restart)
	control.Ask(mux, service, "/reset", api.Reset)

	control.Get(mux, service, "/cluster", api.Cluster)
	control.Tell(mux, service, "/cluster/initialize", func(ctx context.Context, ch clusterChange) error { return api.ClusterInitialize(ctx, ch.Sure) })
	control.Tell(mux, service, "/cluster/join", func(ctx context.Context, ch clusterChange) error { return api.ClusterJoin(ctx, ch.Node, ch.Sure) })
	control.Do(mux, service, "/cluster/leave", api.ClusterLeave)
	control.Tell(mux, service, "/cluster/remove", func(ctx context.Context, ch clusterChange) error { return api.ClusterRemove(ctx, ch.Node, ch.Sure) })
	if e, ok := api.(Examiner); ok {
		control.Handle(mux, service, "POST /cluster/examine", e.Examine)
	}

	control.Get(mux, service, "/callbridges", api.CallBridges)
	control.Handle(mux, service, "POST /callbridges/add", func(ctx context.Context, cb CallBridge) (CallBridge, error) {
		return api.AddCallBridge(ctx, cb.Name, cb.Secret)
	})
	control.Tell(mux, service, "/callbridges/del", func(ctx context.Context, cb CallBridge) error { return api.DelCallBridge(ctx, cb.Name) })
	control.Tell(mux, service, "/callbridges/describe", func(ctx context.Context, cb CallBridge) error {
		return api.DescribeCallBridge(ctx, cb.Name, cb.Description)
	})

	control.Get(mux, service, "/users", api.Users)
	control.Tell(mux, service, "/users/add", api.AddUser)
	control.Tell(mux, service, "/users/passwd", api.SetPassword)
	control.Tell(mux, service, "/users/del", func(ctx context.Context, u Credential) error { return api.DelUser(ctx, u.Name) })
	control.Tell(mux, service, "/users/import", api.ImportUsers)
	return mux
}
