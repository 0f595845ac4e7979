package directory

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Step is one step of Walk. Err is nil where it went well.
type Step struct {
	// What was done: "DNS", "TCP", "TLS", "log-in", "users".
	What, Detail string
	Err          error
	Took         time.Duration
}

// Walk does what Check and Users need, one step after the other on a connection
// of its own, and ends with the first that fails.
func (d *Directory) Walk(ctx context.Context) (steps []Step) {
	step := func(what string, do func() (string, error)) bool {
		begun := time.Now()
		detail, err := do()
		steps = append(steps, Step{What: what, Detail: detail, Err: err, Took: time.Since(begun)})
		return err == nil
	}
	var addresses []netip.AddrPort
	if !step("DNS", func() (_ string, err error) {
		if addresses, err = d.resolve(ctx); err != nil {
			return "", err
		}
		if _, err := netip.ParseAddr(d.settings.host); err == nil {
			return d.settings.host + " is an address", nil
		}
		var texts []string
		for _, a := range addresses {
			texts = append(texts, a.Addr().String())
		}
		return d.settings.host + " is " + strings.Join(texts, ", "), nil
	}) {
		return steps
	}
	at := slices.IndexFunc(addresses, func(a netip.AddrPort) bool {
		return step("TCP", func() (string, error) {
			tcp, err := d.reach(ctx, a)
			if err != nil {
				return "", err
			}
			return a.String(), tcp.Close()
		})
	})
	if at < 0 {
		return steps
	}
	var c *conn
	if step("TLS", func() (_ string, err error) {
		ctx, cancel := context.WithTimeoutCause(ctx, d.limits.Connect, errSilent)
		defer cancel()
		t := trust{}
		if d.settings.mode != noTLS {
			if t, err = loadTrust(d.deps.Files, d.settings.trust); err != nil {
				return "", err
			}
		}
		if c, err = d.dial(ctx, addresses[at], t); err != nil {
			return "", err
		}
		return d.protection(), nil
	}) {
		defer c.close()
		d.walkIn(ctx, c, step)
	}
	return steps
}

// probeTime bounds Probe.
const probeTime = 4 * time.Second

// Probe looks for one user, on a connection of its own, and returns why it
// cannot.
func (d *Directory) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTime, errSilent)
	defer cancel()
	c, err := d.connect(ctx, d.bindService)
	if err != nil {
		return err
	}
	defer c.close()
	_, err = c.search(ctx, d.request("", 1, d.settings.user.attribute))
	if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		// There are more.
		err = nil
	}
	return d.refusal(err, "a search")
}

// walkIn are the steps of a connection that is protected.
func (d *Directory) walkIn(ctx context.Context, c *conn, step func(string, func() (string, error)) bool) {
	if step("log-in", func() (string, error) {
		if d.settings.username == "" {
			return "none: no service account is set", nil
		}
		return d.settings.username, d.bindService(ctx, c)
	}) {
		step("users", func() (string, error) {
			list, err := d.Users(ctx)
			return listed(list), err
		})
	}
}

// protection is how connections are protected, for a person.
func (d *Directory) protection() string {
	switch d.settings.mode {
	case noTLS:
		return "none: passwords go in clear"
	case ldaps:
		return "LDAPS, the certificate is trusted"
	}
	return "StartTLS, the certificate is trusted"
}

// listed is how many users there are, with the first of them, and who is not.
func listed(list List) string {
	const shown = 3
	users := list.Users
	var names []string
	for _, u := range users[:min(shown, len(users))] {
		names = append(names, u.Name)
	}
	more := ""
	if n := len(users) - len(names); n > 0 {
		more = " and " + strconv.Itoa(n) + " more"
	}
	text := strings.Join(names, ", ") + more
	if left := LeftOut(list.Unfit, list.Like); left != "" {
		text += "; " + left
	}
	return text
}
