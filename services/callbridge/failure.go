package callbridge

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// failure is why there is no connection, or none any more.
type failure struct {
	reason callbridgeapi.Reason
	// detail is what was tried and what came back; hint the command that
	// mends it.
	detail, hint string
	// target and address are where it happened; zero where no server was
	// found.
	target  target
	address netip.AddrPort
	// nameless are the names that have no records, of this failure and of
	// those that it stands for.
	nameless []string
	// evicted: another connection took the place. To come back at once
	// would be to take it from there, again and again.
	evicted bool
}

// telling orders reasons by how much they say of what is wrong: a server that
// was reached and refuses, before one that is down.
var telling = []callbridgeapi.Reason{
	callbridgeapi.AuthenticationFailure, callbridgeapi.TLSFailure, callbridgeapi.ServiceUnavailable,
	callbridgeapi.ConnectionFailure, callbridgeapi.DNSError,
}

// worse is the failure that tells more, the first of equals, and stands for the
// other one too.
func worse(a, b *failure) *failure {
	if a == nil {
		return b
	}
	names := slices.Concat(a.nameless, b.nameless)
	if slices.Index(telling, b.reason) < slices.Index(telling, a.reason) {
		a = b
	}
	a.nameless = names
	return a
}

// numbers of the reasons in the line "dropped … for reason"; that of the DNS is
// the original's.
var numbers = map[callbridgeapi.Reason]int{
	callbridgeapi.ConnectionFailure: 1, callbridgeapi.DNSError: 2, callbridgeapi.TLSFailure: 3,
	callbridgeapi.AuthenticationFailure: 4, callbridgeapi.ServiceUnavailable: 5,
}

// at says where a failure was.
func (f *failure) at(t target, addr netip.AddrPort) *failure {
	f.target, f.address = t, addr
	switch {
	case t.port != clientPort || f.reason == callbridgeapi.DNSError:
	case t.given:
		f.hint = fmt.Sprintf("%d is the client port, components are served on %d; correct 'callbridge xmpp server'", clientPort, componentPort)
	default:
		f.hint = fmt.Sprintf("SRV points to %d, the client port; components are served on %d: correct the record, see 'dns lookup srv'", clientPort, componentPort)
	}
	return f
}

// unreached is a server that TCP does not get to.
func unreached(t target, err error) *failure {
	detail := "no answer"
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		detail = "connection refused"
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		detail = "no route to it"
	case !errors.Is(err, os.ErrDeadlineExceeded) && !isTimeout(err):
		detail = err.Error()
	}
	return &failure{
		reason: callbridgeapi.ConnectionFailure, detail: detail,
		hint: fmt.Sprintf("see 'xmpp status' on %s; TCP port %d must be open on the way, try 'ping %s'", t.name, t.port, t.name),
	}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// broken is a connection that ended without a word of XMPP.
func broken(err error) *failure {
	switch {
	case errors.Is(err, io.EOF):
		return &failure{reason: callbridgeapi.ServiceUnavailable, detail: "the server closed the stream", hint: restartHint}
	case isTimeout(err):
		return &failure{reason: callbridgeapi.ConnectionFailure, detail: "the server fell silent", hint: restartHint}
	}
	return &failure{reason: callbridgeapi.ConnectionFailure, detail: "the connection broke: " + err.Error(), hint: restartHint}
}

// restartHint is for what mends itself if anything does.
const restartHint = "it is tried again by itself, or at once with 'callbridge restart'; see 'xmpp status' there"

// cutOffHint is of a node that serves nobody until it has a leader.
const cutOffHint = "it is cut off from the other nodes or has no majority: see 'xmpp cluster status' there"

// refused is what a stream error of the server means to the bridge of link.
func refused(e *stream.Error, link config.BridgeLink) *failure {
	name := link.Name
	f := &failure{reason: callbridgeapi.ServiceUnavailable, detail: "the server says " + string(e.Condition), hint: restartHint}
	if e.Text != "" {
		f.detail += ": " + e.Text
	}
	switch e.Condition {
	case stream.NotAuthorized:
		f.reason = callbridgeapi.AuthenticationFailure
		f.detail = fmt.Sprintf("the secret is not that of Call Bridge %s there", name)
		f.hint = "compare 'xmpp callbridge list' on all XMPP servers, then type 'callbridge xmpp secret'"
		if link.Secret == "" {
			f.detail = "no secret is set"
			f.hint = "copy it from 'xmpp callbridge list' on the XMPP server to 'callbridge xmpp secret'"
		}
	case stream.HostUnknown:
		f.reason = callbridgeapi.AuthenticationFailure
		f.detail = fmt.Sprintf("no Call Bridge %s is registered there, or the domain is another", name)
		f.hint = fmt.Sprintf("type 'xmpp callbridge add-secret %s' there, or correct 'callbridge xmpp name' and 'callbridge xmpp domain' here", name)
	case stream.Conflict:
		f.detail = fmt.Sprintf("another Call Bridge has connected as %s", name)
		f.hint = "each Call Bridge has a name of its own; give this or the other one another with 'callbridge xmpp name'"
		f.evicted = true
	case stream.SeeOtherHost:
		// The port is that of clients.
		host, _, err := net.SplitHostPort(e.Text)
		f.detail, f.hint = "the server serves nobody at present", cutOffHint
		if err != nil || host == "" {
			break
		}
		f.detail += ", and names another: " + host
		if link.Server != "" {
			f.hint += fmt.Sprintf("; until then use another with 'callbridge xmpp server %s', or all that the DNS names with 'callbridge xmpp server none'", host)
		}
	case stream.RemoteConnectionFailed:
		f.hint = cutOffHint
	case stream.InvalidNamespace:
		f.detail = "that is no component port"
		f.hint = fmt.Sprintf("components are served on %d; correct the SRV record or 'callbridge xmpp server'", componentPort)
	}
	return f
}

// nsErrors is the namespace of the conditions of stream errors.
const nsErrors = "urn:ietf:params:xml:ns:xmpp-streams"

// streamError reads a <stream:error/>; nil where e is none.
func streamError(e *stanza.Element) *stream.Error {
	if !e.Is(stanza.NSStreams, "error") {
		return nil
	}
	fault := &stream.Error{Condition: stream.UndefinedCondition}
	for _, child := range e.Children() {
		switch {
		case child.Is(nsErrors, "text"):
			fault.Text = short(child.Text())
		case child.Name.Space == nsErrors:
			fault.Condition = stream.Condition(short(child.Name.Local))
			// It has the address for a text (RFC 6120 §4.9.3.19).
			if fault.Condition == stream.SeeOtherHost {
				fault.Text = short(child.Text())
			}
		}
	}
	return fault
}
