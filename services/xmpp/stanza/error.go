package stanza

// Condition is a defined condition of a stanza error (RFC 6120 §8.3.3).
type Condition string

// The conditions in use, each with the type that the RFC gives it.
const (
	BadRequest            Condition = "bad-request"
	Conflict              Condition = "conflict"
	FeatureNotImplemented Condition = "feature-not-implemented"
	Forbidden             Condition = "forbidden"
	InternalServerError   Condition = "internal-server-error"
	ItemNotFound          Condition = "item-not-found"
	JIDMalformed          Condition = "jid-malformed"
	NotAcceptable         Condition = "not-acceptable"
	NotAllowed            Condition = "not-allowed"
	NotAuthorized         Condition = "not-authorized"
	PolicyViolation       Condition = "policy-violation"
	RecipientUnavailable  Condition = "recipient-unavailable"
	RemoteServerNotFound  Condition = "remote-server-not-found"
	ResourceConstraint    Condition = "resource-constraint"
	ServiceUnavailable    Condition = "service-unavailable"
	SubscriptionRequired  Condition = "subscription-required"
	UnexpectedRequest     Condition = "unexpected-request"
)

var errorTypes = map[Condition]string{
	BadRequest: "modify", JIDMalformed: "modify", NotAcceptable: "modify", PolicyViolation: "modify",
	Forbidden: "auth", NotAuthorized: "auth", SubscriptionRequired: "auth",
	RecipientUnavailable: "wait", ResourceConstraint: "wait", UnexpectedRequest: "wait", InternalServerError: "cancel",
}

// ErrorReply returns the error that answers e, addressed back to its sender,
// or nil where RFC 6120 §8.3.1 forbids one: errors and IQ results are never
// answered.
func ErrorReply(e *Element, c Condition, text string) *Element {
	kind := e.Attr("type")
	if kind == "error" || e.Name.Local == "iq" && kind == "result" {
		return nil
	}
	r := New(e.Name.Space, e.Name.Local, "type", "error", "id", e.Attr("id"), "from", e.Attr("to"), "to", e.Attr("from"))
	if e.Name.Local == "iq" {
		r.Add(e.First())
	}
	return r.Add(Error(c, text))
}

// Error returns the <error/> child itself.
func Error(c Condition, text string) *Element {
	kind := errorTypes[c]
	if kind == "" {
		kind = "cancel"
	}
	err := New(NSClient, "error", "type", kind).Add(New(NSStanzas, string(c)))
	if text != "" {
		err.Add(New(NSStanzas, "text").AddText(text))
	}
	return err
}

// Result returns the empty result of an IQ, addressed back to its sender.
func Result(iq *Element) *Element {
	return New(iq.Name.Space, "iq", "type", "result", "id", iq.Attr("id"), "from", iq.Attr("to"), "to", iq.Attr("from"))
}
