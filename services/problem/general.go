package problem

// Codes that any service may return.
const (
	// NotReachable: {service} does not answer on its control socket.
	NotReachable Code = "not-reachable"
	// Internal: something failed inside {service}: {detail}.
	Internal Code = "internal"
)

var general = map[Code]string{
	NotReachable: "the {service} service does not answer; see 'syslog tail', then 'reboot' if it stays so",
	Internal:     "{service}: {detail}; see 'syslog tail' for more",
}
