package callbridge

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// way is how one configuration gets to a server.
type way struct {
	link   config.BridgeLink
	trust  *trust
	names  Names
	own    func() []netip.Addr
	dial   func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
	random func(n int) int
	// told takes each step; nil: nobody does.
	told func(callbridgeapi.Step)
	// log takes the stanzas of a trace.
	log *slog.Logger
}

// tell is the end of a step that was begun then.
func (w *way) tell(s callbridgeapi.Step, begun time.Time, f *failure, detail string) {
	if w.told == nil {
		return
	}
	s.OK, s.Detail, s.Took = f == nil, detail, time.Since(begun)
	if f != nil {
		s.Detail, s.Hint = f.detail, f.hint
	}
	w.told(s)
}

// address of the component.
func (w *way) address() string { return strings.ToLower(w.link.Name) + "." + w.link.Domain }

const (
	// dialTime is what TCP may take, negotiationTime all that comes after.
	dialTime        = 3 * time.Second
	negotiationTime = 5 * time.Second
)

// limits of what a server may send.
var limits = &stream.Limits{Stanza: 1 << 20, Depth: 64, Attrs: 64, Name: 256}

// reach makes a TCP connection to a server.
func (w *way) reach(ctx context.Context, t target, addr netip.AddrPort) (net.Conn, *failure) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := w.dial(ctx, addr)
	if err != nil {
		f := unreached(t, err).at(t, addr)
		f.detail = addr.String() + ": " + f.detail
		w.tell(callbridgeapi.Step{Target: t.name, What: "TCP"}, begun, f, "")
		return nil, f
	}
	w.tell(callbridgeapi.Step{Target: t.name, What: "TCP"}, begun, nil, addr.String())
	return conn, nil
}

// open does TLS on a connection and opens the stream, up to where the secret is
// asked for.
func (w *way) open(ctx context.Context, t target, addr netip.AddrPort, raw net.Conn) (*wire, *failure) {
	ctx, cancel := context.WithTimeout(ctx, negotiationTime)
	defer cancel()
	begun := time.Now()
	conn, f := w.secure(ctx, t, raw)
	if f != nil {
		raw.Close()
		w.tell(callbridgeapi.Step{Target: t.name, What: "TLS"}, begun, f.at(t, addr), "")
		return nil, f
	}
	leaf := conn.ConnectionState().PeerCertificates[0]
	w.tell(callbridgeapi.Step{Target: t.name, What: "TLS"}, begun, nil, fmt.Sprintf("certificate of %s, valid until %s", short(leaf.Subject.CommonName), leaf.NotAfter.UTC().Format(time.DateOnly)))
	begun = time.Now()
	wire := newWire(conn, t, addr)
	wire.log = w.log
	if err := wire.begin(ctx, w.address()); err != nil {
		wire.close()
		f := w.refused(err).at(t, addr)
		w.tell(callbridgeapi.Step{Target: t.name, What: "authentication"}, begun, f, "")
		return nil, f
	}
	return wire, nil
}

// secure does TLS. Whether the certificate is to be trusted is not what
// crypto/tls would look for: see trust.
func (w *way) secure(ctx context.Context, t target, raw net.Conn) (*tls.Conn, *failure) {
	var distrust error
	conn := tls.Client(raw, &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: w.link.Domain, InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			distrust = w.trust.check(s.PeerCertificates, w.link.Domain, t.name, time.Now())
			return distrust
		},
	})
	err := conn.HandshakeContext(ctx)
	switch {
	case err == nil:
		return conn, nil
	case distrust != nil:
		return nil, &failure{reason: callbridgeapi.TLSFailure, detail: short(strings.TrimPrefix(distrust.Error(), "x509: ")), hint: w.trust.hint()}
	case isTimeout(err), errors.Is(err, io.EOF), errors.Is(err, context.DeadlineExceeded):
		return nil, &failure{reason: callbridgeapi.ConnectionFailure, detail: "it does not answer to TLS", hint: fmt.Sprintf("see 'xmpp status' on %s", t.name)}
	}
	return nil, &failure{reason: callbridgeapi.TLSFailure, detail: short(err.Error()), hint: fmt.Sprintf("see 'xmpp certs' on %s; the port has to be that of components, with TLS", t.name)}
}

// refused is what an error of the stream means.
func (w *way) refused(err error) *failure {
	if e, ok := errors.AsType[*stream.Error](err); ok {
		return refused(e, w.link)
	}
	return broken(err)
}

// authenticate shows the secret (XEP-0114 §3).
func (w *way) authenticate(ctx context.Context, wire *wire) *failure {
	ctx, cancel := context.WithTimeout(ctx, negotiationTime)
	defer cancel()
	begun := time.Now()
	step := callbridgeapi.Step{Target: wire.target.name, What: "authentication"}
	sum := sha1.Sum([]byte(wire.id + w.link.Secret.Reveal()))
	err := wire.during(ctx, func() error {
		if err := wire.send(stanza.New(stanza.NSClient, "handshake").AddText(hex.EncodeToString(sum[:])).Append(nil, stanza.NSClient)); err != nil {
			return err
		}
		e, err := wire.next()
		if err == nil && !e.Is(stanza.NSClient, "handshake") {
			err = fmt.Errorf("%s instead of a handshake", short(e.Name.Local))
		}
		return err
	})
	if err != nil {
		f := w.refused(err).at(wire.target, wire.addr)
		w.tell(step, begun, f, "")
		return f
	}
	w.tell(step, begun, nil, "the secret is right")
	return nil
}
