package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"

	"parley/services/problem"
)

// Client calls the service behind a control socket. It may be used by any
// number of goroutines.
type Client struct {
	service string
	http    *http.Client
}

// NewClient returns a client; service is the name that a person reads when
// nothing answers at path.
func NewClient(service, path string) *Client {
	var d net.Dialer
	return &Client{service: service, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}}
}

// Call does one request: in is sent as JSON unless nil, the answer decoded
// into out unless nil. A Problem of the service is returned as such; a service
// that does not answer is problem.NotReachable.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return fmt.Errorf("encode call %s: %w", path, err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.service+path, &body)
	if err != nil {
		return fmt.Errorf("call %s: %w", path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return ctx.Err()
		}
		return problem.New(problem.NotReachable, "service", c.service)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p := &problem.Problem{}
		if err := json.NewDecoder(resp.Body).Decode(p); err != nil || p.Code == "" {
			return problem.New(problem.Internal, "service", c.service, "detail", resp.Status)
		}
		return p
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("decode answer of %s: %w", path, err)
	}
	return nil
}
