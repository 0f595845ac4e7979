package stream

import "parley/services/xmpp/stanza"

// Condition is a defined condition of a stream error (RFC 6120 §4.9.3).
type Condition string

// The conditions in use.
const (
	BadFormat              Condition = "bad-format"
	BadNamespacePrefix     Condition = "bad-namespace-prefix"
	Conflict               Condition = "conflict"
	ConnectionTimeout      Condition = "connection-timeout"
	HostGone               Condition = "host-gone"
	HostUnknown            Condition = "host-unknown"
	ImproperAddressing     Condition = "improper-addressing"
	InternalServerError    Condition = "internal-server-error"
	InvalidFrom            Condition = "invalid-from"
	InvalidNamespace       Condition = "invalid-namespace"
	NotAuthorized          Condition = "not-authorized"
	NotWellFormed          Condition = "not-well-formed"
	PolicyViolation        Condition = "policy-violation"
	RemoteConnectionFailed Condition = "remote-connection-failed"
	Reset                  Condition = "reset"
	ResourceConstraint     Condition = "resource-constraint"
	RestrictedXML          Condition = "restricted-xml"
	SeeOtherHost           Condition = "see-other-host"
	SystemShutdown         Condition = "system-shutdown"
	UndefinedCondition     Condition = "undefined-condition"
	UnsupportedEncoding    Condition = "unsupported-encoding"
	UnsupportedStanzaType  Condition = "unsupported-stanza-type"
	UnsupportedVersion     Condition = "unsupported-version"
)

// nsErrors is the namespace of the conditions.
const nsErrors = "urn:ietf:params:xml:ns:xmpp-streams"

// Error is a fault for which the stream is closed.
type Error struct {
	Condition Condition
	// Text says more to whoever reads the peer's log; it may be empty.
	Text string
	// Specific is an application-specific condition, or nil.
	Specific *stanza.Element
}

// Error implements error.
func (e *Error) Error() string {
	s := "stream error " + string(e.Condition)
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// Append serialises the error as it stands below a stream header.
func (e *Error) Append(b []byte) []byte {
	x := stanza.New(stanza.NSStreams, "error").Add(stanza.New(nsErrors, string(e.Condition)))
	if e.Text != "" {
		x.Add(stanza.New(nsErrors, "text").AddText(e.Text))
	}
	return x.Add(e.Specific).Append(b, stanza.NSClient)
}

func notWellFormed(text string) error { return &Error{Condition: NotWellFormed, Text: text} }

func badEncoding() error {
	return &Error{Condition: UnsupportedEncoding, Text: "the encoding is not valid UTF-8"}
}
