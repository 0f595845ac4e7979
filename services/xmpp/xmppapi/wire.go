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
	// Sure: again, or discard.
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
func (c *Client) ClusterRemove(ctx context.Context, node string) error {
	return c.c.Call(ctx, "POST", "/cluster/remove", clusterChange{Node: node}, nil)
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
	type none = control.None
	mux := http.NewServeMux()
	get := func(path string, f func(context.Context) (any, error)) {
		control.Handle(mux, service, "GET "+path, func(ctx context.Context, _ none) (any, error) { return f(ctx) })
	}
	do := func(path string, f func(context.Context) error) {
		control.Handle(mux, service, "POST "+path, func(ctx context.Context, _ none) (none, error) { return none{}, f(ctx) })
	}
	account := func(path string, f func(context.Context, Credential) error) {
		control.Handle(mux, service, "POST "+path, func(ctx context.Context, u Credential) (none, error) { return none{}, f(ctx, u) })
	}
	get("/status", func(ctx context.Context) (any, error) { return api.Status(ctx) })
	get("/callbridges", func(ctx context.Context) (any, error) { return api.CallBridges(ctx) })
	get("/users", func(ctx context.Context) (any, error) { return api.Users(ctx) })
	do("/reload", api.Reload)
	do("/restart", api.Restart)
	do("/cluster/leave", api.ClusterLeave)
	control.Handle(mux, service, "POST /reset", func(ctx context.Context, _ none) (string, error) { return api.Reset(ctx) })
	get("/cluster", func(ctx context.Context) (any, error) { return api.Cluster(ctx) })
	change := func(path string, f func(context.Context, clusterChange) error) {
		control.Handle(mux, service, "POST /cluster/"+path, func(ctx context.Context, ch clusterChange) (none, error) { return none{}, f(ctx, ch) })
	}
	change("initialize", func(ctx context.Context, ch clusterChange) error { return api.ClusterInitialize(ctx, ch.Sure) })
	change("join", func(ctx context.Context, ch clusterChange) error { return api.ClusterJoin(ctx, ch.Node, ch.Sure) })
	change("remove", func(ctx context.Context, ch clusterChange) error { return api.ClusterRemove(ctx, ch.Node) })
	account("/users/add", api.AddUser)
	account("/users/passwd", api.SetPassword)
	account("/users/del", func(ctx context.Context, u Credential) error { return api.DelUser(ctx, u.Name) })
	control.Handle(mux, service, "POST /users/import", func(ctx context.Context, us []Credential) (none, error) {
		return none{}, api.ImportUsers(ctx, us)
	})
	if e, ok := api.(Examiner); ok {
		control.Handle(mux, service, "POST /cluster/examine", e.Examine)
	}
	control.Handle(mux, service, "POST /callbridges/add", func(ctx context.Context, cb CallBridge) (CallBridge, error) {
		return api.AddCallBridge(ctx, cb.Name, cb.Secret)
	})
	control.Handle(mux, service, "POST /callbridges/del", func(ctx context.Context, cb CallBridge) (none, error) {
		return none{}, api.DelCallBridge(ctx, cb.Name)
	})
	control.Handle(mux, service, "POST /callbridges/describe", func(ctx context.Context, cb CallBridge) (none, error) {
		return none{}, api.DescribeCallBridge(ctx, cb.Name, cb.Description)
	})
	return mux
}
