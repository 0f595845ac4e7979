package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-ldap/ldap/v3"
	"github.com/miekg/dns"

	"parley/services/problem"
)

// connect opens a connection to the first of the server's addresses that takes
// one, and prepares it; prepare may be nil.
func (d *Directory) connect(ctx context.Context, prepare func(context.Context, *conn) error) (*conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.limits.Connect, errSilent)
	defer cancel()
	trust := trust{}
	if d.settings.mode != noTLS {
		var err error
		if trust, err = loadTrust(d.deps.Files, d.settings.trust); err != nil {
			return nil, err
		}
	}
	addresses, err := d.resolve(ctx)
	if err != nil {
		return nil, err
	}
	var first error
	for _, a := range addresses {
		c, err := d.dial(ctx, a, trust)
		if err == nil {
			if prepare != nil {
				if err := prepare(ctx, c); err != nil {
					c.close()
					return nil, err
				}
			}
			d.mu.Lock()
			d.good = a
			d.mu.Unlock()
			d.log.Debug("connected", "server", d.settings.address(), "addr", a, "tls", string(d.settings.mode))
			return c, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errSilent) {
		return nil, cause
	}
	return nil, first
}

// resolve returns the server's addresses, the one that took the last
// connection first.
func (d *Directory) resolve(ctx context.Context) ([]netip.AddrPort, error) {
	port, err := strconv.ParseUint(d.settings.port, 10, 16)
	if err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(d.settings.host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip, uint16(port))}, nil
	}
	var addresses []netip.AddrPort
	var said []string
	var failed error
	for _, kind := range []string{"a", "aaaa"} {
		answer, err := d.deps.Names.Lookup(ctx, kind, d.settings.host)
		if err != nil {
			if failed == nil {
				failed = err
			}
			continue
		}
		text := strings.ToUpper(kind) + ": " + answer.Code
		if answer.Server.IsValid() {
			text += " from " + answer.Origin()
		}
		said = append(said, text)
		for _, record := range answer.Records {
			rr, err := dns.NewRR(record)
			if err != nil {
				continue
			}
			var ip netip.Addr
			switch rr := rr.(type) {
			case *dns.A:
				ip, _ = netip.AddrFromSlice(rr.A)
			case *dns.AAAA:
				ip, _ = netip.AddrFromSlice(rr.AAAA)
			}
			if ip.IsValid() {
				addresses = append(addresses, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
			}
		}
	}
	switch {
	case len(addresses) == 0 && failed != nil:
		return nil, failed
	case len(addresses) == 0:
		return nil, problem.New(problem.DirectoryUnknown, "host", d.settings.host, "answers", strings.Join(said, ", "))
	}
	d.mu.Lock()
	good := d.good
	d.mu.Unlock()
	if i := slices.Index(addresses, good); i > 0 {
		addresses[0], addresses[i] = addresses[i], addresses[0]
	}
	return addresses, nil
}

// dial opens a connection to one address, and protects it.
func (d *Directory) dial(ctx context.Context, a netip.AddrPort, t trust) (*conn, error) {
	tcp, err := d.reach(ctx, a)
	if err != nil {
		return nil, err
	}
	return d.secure(ctx, tcp, t)
}

// reach opens a TCP connection.
func (d *Directory) reach(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
	tcp, err := (&net.Dialer{Timeout: d.limits.Address}).DialContext(ctx, "tcp", a.String())
	if err != nil {
		return nil, d.unreachable(a, reasonOf(ctx, err))
	}
	return tcp, nil
}

// secure protects a connection as the settings have it. It owns tcp.
func (d *Directory) secure(ctx context.Context, tcp net.Conn, t trust) (*conn, error) {
	var verdict error
	conf := t.config(d.settings.host, d.settings.address(), &verdict)
	if d.settings.mode == ldaps {
		secure := tls.Client(tcp, conf)
		if err := secure.HandshakeContext(ctx); err != nil {
			tcp.Close()
			return nil, d.tlsFailed(ctx, verdict, err)
		}
		return newConn(secure, true, d.limits), nil
	}
	c := newConn(tcp, false, d.limits)
	if d.settings.mode == noTLS {
		return c, nil
	}
	if err := c.call(ctx, d.limits.Connect, func() error { return c.ldap.StartTLS(conf) }); err != nil {
		c.close()
		if fromServer(err) {
			return nil, problem.New(problem.DirectoryNoStartTLS, "address", d.settings.address(), "reason", said(err))
		}
		return nil, d.tlsFailed(ctx, verdict, err)
	}
	return c, nil
}

func (d *Directory) unreachable(a netip.AddrPort, reason string) error {
	at := d.settings.address()
	if a.String() != at {
		at += " (" + a.Addr().String() + ")"
	}
	return problem.New(problem.DirectoryUnreachable, "address", at, "host", d.settings.host, "reason", reason)
}

// tlsFailed is the problem of a handshake: what is wrong with the certificate,
// if that is it.
func (d *Directory) tlsFailed(ctx context.Context, verdict, err error) error {
	if verdict != nil {
		return verdict
	}
	reason := reasonOf(ctx, err)
	if reason == noAnswer {
		return problem.New(problem.DirectorySilent, "address", d.settings.address(), "what", "the start of TLS")
	}
	other := "use 'callbridge directory tls ldaps' if the port is 636"
	if d.settings.mode == ldaps {
		other = "use 'callbridge directory tls starttls' if the port is 389"
	}
	return problem.New(problem.DirectoryNoTLS, "address", d.settings.address(), "reason", reason, "other", other)
}

// noAnswer is the reason of what took too long.
const noAnswer = "no answer in time"

// reasonOf is what a person reads of a failure of the network.
func reasonOf(ctx context.Context, err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to it"
	case ctx.Err() != nil, errors.Is(err, errSilent), errors.As(err, &timeout) && timeout.Timeout():
		return noAnswer
	}
	return short(err.Error())
}

// bindService binds as the service account, if there is one.
func (d *Directory) bindService(ctx context.Context, c *conn) error {
	s := &d.settings
	if s.username == "" {
		return nil
	}
	err := c.bind(ctx, s.username, s.password)
	if declined(err) || ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidDNSyntax) {
		return problem.New(problem.DirectoryBind, "username", short(s.username), "address", s.address(), "reason", why(err))
	}
	return d.refusal(err, "the log-in of "+short(s.username))
}
