package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"parley/services/problem"
)

// defaultPort is what an address without a port means.
const defaultPort = "5222"

// DialError is why a node was not reached: a problem for people, and the
// cause.
type DialError struct {
	problem *problem.Problem
	cause   error
	// gone: nobody listens there.
	gone bool
}

// Error implements error.
func (e *DialError) Error() string { return e.problem.Error() }

// Unwrap gives the problem and the cause.
func (e *DialError) Unwrap() []error { return []error{e.problem, e.cause} }

// Refused reports whether err of Dial or Call says that nobody listens there: the
// connection was refused, or reset before TLS began. After a connection broke
// this is proof that its process is gone, which silence is not.
func Refused(err error) bool {
	d, ok := errors.AsType[*DialError](err)
	return ok && d.gone
}

// Dial connects to the node at addr, "host:port", for a kind of connection.
// Where a member of SetMembers has that address, any other node there is
// refused. Errors that a person can mend are ClusterName, ClusterRoute and
// ClusterTLS problems. The connection ends with Run.
func (n *Net) Dial(ctx context.Context, addr, kind string) (net.Conn, error) {
	c, err := n.dialReady(ctx, addr, kind)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// dial also takes who is meant: "" is whoever answers.
func (n *Net) dial(ctx context.Context, addr, kind, to string) (*conn, error) {
	id, err := n.deps.Identity()
	if err != nil {
		return nil, fmt.Errorf("dial %s: own certificate: %w", addr, err)
	}
	if id.shown() == nil {
		return nil, fmt.Errorf("dial %s: this node has no certificate", addr)
	}
	target := addr
	if _, _, err := net.SplitHostPort(addr); err != nil {
		target = net.JoinHostPort(strings.Trim(addr, "[]"), defaultPort)
	}
	wait := n.cfg.Wait
	if kind == kindPing {
		wait = min(wait, maxRedial)
	}
	soon, cancel := context.WithTimeout(ctx, wait)
	raw, err := n.deps.DialContext(soon, "tcp", target)
	cancel()
	if err != nil {
		return nil, n.explain(ctx, addr, id, err, connecting)
	}
	tune(raw)
	talking, cancel := context.WithTimeout(ctx, n.cfg.Wait)
	defer cancel()
	t := tls.Client(raw, n.clientTLS(id, addr))
	if err := t.HandshakeContext(talking); err != nil {
		raw.Close()
		return nil, n.explain(ctx, addr, id, err, handshaking)
	}
	c, err := n.begin(talking, t, addr, kind, to, id)
	if err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

// begin does the dialer's side of the opening.
func (n *Net) begin(ctx context.Context, t *tls.Conn, addr, kind, to string, id Identity) (*conn, error) {
	deadline, _ := ctx.Deadline()
	t.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { t.NetConn().SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := writeFrame(t, maxOpening, opening{Kind: kind, Hello: n.hello(), To: to})
	var a answer
	// A refusal may be there although the opening could not be sent.
	if readErr := readFrame(t, maxOpening, &a); readErr != nil {
		if err == nil {
			err = readErr
		}
		return nil, n.explain(ctx, addr, id, err, opened)
	}
	switch {
	case a.Untrusted != "":
		return nil, tlsProblem(addr, fmt.Errorf("%s does not trust this node's certificate %s: it %s", addr, ownName(id), short(a.Untrusted)))
	case a.Problem != nil:
		return nil, a.Problem
	case a.Refused != "":
		return nil, fmt.Errorf("%s refuses %s: %s", addr, kind, short(a.Refused))
	case a.Hello == nil:
		return nil, fmt.Errorf("dial %s: answer: %w", addr, errFrame)
	}
	if err := a.Hello.check(); err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	if to != "" && a.Hello.ID != to {
		return nil, fmt.Errorf("dial %s: node %s answers, not %s", addr, a.Hello.ID, to)
	}
	if !stop() {
		return nil, n.explain(ctx, addr, id, ctx.Err(), opened)
	}
	t.SetDeadline(time.Time{})
	c, ok := n.newConn(t, true, kind, addr, *a.Hello, id)
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

// clientTLS is this node's as a dialer. There is no host name to check: the trust
// bundle and the domain say who is a node, also where a session is resumed.
func (n *Net) clientTLS(id Identity, addr string) *tls.Config {
	cache, _ := n.sessions.with(id)
	return &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		NextProtos:                  []string{ALPN},
		ClientSessionCache:          cache,
		DynamicRecordSizingDisabled: true,
		InsecureSkipVerify:          true,
		// Whatever authorities a server might ask for: it shows the one that
		// it has, and the other says what it makes of it.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return id.shown(), nil },
		VerifyConnection: func(s tls.ConnectionState) error {
			if s.NegotiatedProtocol != ALPN {
				return errNoPeer
			}
			err := id.check(s.PeerCertificates, true, time.Now())
			if d, ok := errors.AsType[*Distrust](err); ok {
				d.Of = addr
			}
			return err
		},
	}
}

var errNoPeer = errors.New("it does not take part in a cluster: cluster mode is off there, or it is no Parley")

// phase is how far a dial came: it failed connecting, in the handshake, or in the
// opening.
type phase int

const (
	connecting phase = iota
	handshaking
	opened
)

// explain makes the error of a failed dial. ctx is the caller's, so that its end
// is not taken for the network's fault.
func (n *Net) explain(ctx context.Context, addr string, id Identity, err error, at phase) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("dial %s: %w", addr, ctx.Err())
	}
	route := func(detail string) error {
		return &DialError{problem: problem.New(problem.ClusterRoute, "node", addr, "detail", detail), cause: err,
			gone: errors.Is(err, syscall.ECONNREFUSED) || at == handshaking && closedByPeer(err)}
	}
	dns, isDNS := errors.AsType[*net.DNSError](err)
	// crypto/tls does not export its type of alerts.
	alert, isAlert := errors.AsType[*net.OpError](err)
	isAlert = isAlert && alert.Op == "remote error"
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	_, isDistrust := errors.AsType[*Distrust](err)
	switch {
	case isDNS:
		detail := short(dns.Err)
		if dns.IsTimeout {
			detail = "the name servers do not answer"
		}
		return &DialError{problem: problem.New(problem.ClusterName, "node", addr, "detail", detail), cause: err}
	case isDistrust, errors.Is(err, errNoPeer):
		return tlsProblem(addr, err)
	case isRecord:
		return tlsProblem(addr, fmt.Errorf("what answers there does not speak TLS: %w", err))
	case isAlert:
		return tlsProblem(addr, alertText(alert.Err, addr, id))
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		if at > connecting {
			return route("it took the connection, but did not answer in time")
		}
		return route("no answer in time")
	case errors.Is(err, syscall.ECONNREFUSED):
		return route("connection refused, nothing listens there")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return route("no route to it")
	case closedByPeer(err):
		return route("it closed the connection")
	case at == handshaking:
		return tlsProblem(addr, errors.New(short(strings.TrimPrefix(err.Error(), "tls: "))))
	}
	return route(short(err.Error()))
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

func tlsProblem(addr string, cause error) error {
	return &DialError{problem: problem.New(problem.ClusterTLS, "node", addr, "detail", cause.Error()), cause: cause}
}

// Alerts of RFC 8446 §6.2 that say something about the two nodes.
var (
	alertProtocolVersion = tls.AlertError(70).Error()
	alertInternalError   = tls.AlertError(80).Error()
	alertNoALPN          = tls.AlertError(120).Error()
)

func alertText(alert error, addr string, id Identity) error {
	switch alert.Error() {
	case alertProtocolVersion:
		return errors.New("it does not speak TLS 1.3, so it is no Parley")
	case alertNoALPN:
		return errNoPeer
	case alertInternalError:
		return fmt.Errorf("%s has an error of its own, perhaps no certificate", addr)
	}
	return fmt.Errorf("%s refuses this node's certificate %s: %s", addr, ownName(id), strings.TrimPrefix(alert.Error(), "tls: "))
}

func ownName(id Identity) string {
	leaf := id.shown().Leaf
	if leaf == nil {
		return "(unknown)"
	}
	return nameOf(leaf)
}

// isRefused is the stronger half of Refused: no reset, a refusal.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
