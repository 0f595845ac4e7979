package problem

// Codes of the system family.
const (
	// NoSuchService: init does not run a {service}.
	NoSuchService Code = "no-such-service"
	// Stopping: the system is already on its way down.
	Stopping Code = "stopping"
	// NoNode: no node ever ran in {folder}.
	NoNode Code = "no-node"
)

var system = map[Code]string{
	NoNode:        "no node has run in {folder}; start one with 'parley run -state {folder} -a ADDRESS'",
	NoSuchService: "there is no service '{service}' that can be started anew by itself; use 'reboot' to restart everything",
	Stopping:      "the system is already stopping; wait until it is up again",
}
