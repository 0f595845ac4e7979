package problem

// Codes of the system family.
const (
	// NoSuchService: init does not run a {service}.
	NoSuchService Code = "no-such-service"
	// Stopping: the system is already on its way down.
	Stopping Code = "stopping"
)

var system = map[Code]string{
	NoSuchService: "there is no service '{service}' that can be started anew by itself; use 'reboot' to restart everything",
	Stopping:      "the system is already stopping; wait until it is up again",
}
