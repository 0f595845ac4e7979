package problem

// Codes of the event log.
const (
	// TraceSubsystem: {subsystem} cannot be the name of one.
	TraceSubsystem Code = "trace-subsystem"
	// TraceTime: a trace is for {max} at most.
	TraceTime Code = "trace-time"
	// TraceMany: there are {max} traces already.
	TraceMany Code = "trace-many"
)

var eventlog = map[Code]string{
	TraceSubsystem: "'{subsystem}' cannot be a subsystem to trace; use letters, digits, blanks and dashes, 40 at most, as in xmpp",
	TraceTime:      "a trace cannot take that long; choose {max} at most",
	TraceMany:      "{max} subsystems are traced already; end one of these traces first",
}
