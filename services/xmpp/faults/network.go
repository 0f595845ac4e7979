package faults

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Network is a bridge that this process is on, and the nodes' namespaces on
// its ports; or loopback.
type Network struct {
	place Place
	mu    sync.Mutex
	// cut are the pairs of addresses, from and to, that nothing passes
	// between.
	cuts map[[2]string]bool
	// names are the namespaces.
	names []string
}

// Here is this process's address on the bridge.
const Here = "10.77.0.254"

// cutRules drop what goes from one address of a pair to the other, on its way
// over the bridge and from and to this process, without a word to either.
const cutRules = `table bridge faults {
	set cut { type ipv4_addr . ipv4_addr; }
	chain forward { type filter hook forward priority 0; ip saddr . ip daddr @cut drop; }
	chain input { type filter hook input priority 0; ip saddr . ip daddr @cut drop; }
	chain output { type filter hook output priority 0; ip saddr . ip daddr @cut drop; }
}
`

// command runs a program, with stdin, and has its output in the error.
func command(stdin string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// NewNetwork makes the bridge.
func NewNetwork(place Place) (*Network, error) {
	n := &Network{place: place, cuts: make(map[[2]string]bool)}
	if !place.Network {
		return n, nil
	}
	for _, args := range []string{"link add br0 type bridge", "addr add " + Here + "/24 dev br0", "link set br0 up"} {
		if err := command("", "ip", strings.Fields(args)...); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Add gives node i, counted from 1, an address and, off loopback, the words
// that run a program there.
func (n *Network) Add(i int) (address string, prefix []string, err error) {
	if !n.place.Network {
		return fmt.Sprintf("127.0.1.%d", i), nil, nil
	}
	name := namespace(i)
	address = fmt.Sprintf("10.77.0.%d", i)
	n.names = append(n.names, name)
	for _, args := range []string{
		"netns add " + name,
		"link add v" + name + " type veth peer name eth0 netns " + name,
		"link set v" + name + " master br0 up",
		"-n " + name + " addr add " + address + "/24 dev eth0",
		"-n " + name + " link set eth0 up",
		"-n " + name + " link set lo up",
	} {
		if err := command("", "ip", strings.Fields(args)...); err != nil {
			return "", nil, err
		}
	}
	return address, []string{"ip", "netns", "exec", name}, nil
}

// namespace is that of node i.
func namespace(i int) string { return fmt.Sprintf("n%d", i) }

// Firewall gives node i, counted from 1, these rules of nft for what comes in, in
// the place of those that it had. What the node sends itself passes them.
func (n *Network) Firewall(i int, rules ...string) error {
	table := fmt.Sprintf("table inet firewall\ndelete table inet firewall\ntable inet firewall {\n"+
		"chain input { type filter hook input priority 0; iif lo accept;\n%s\n}\n}\n", strings.Join(rules, "\n"))
	return command(table, "ip", "netns", "exec", namespace(i), "nft", "-f", "-")
}

// In calls f in the namespace of node i, so that what it dials is dialled from
// there.
func (n *Network) In(i int, f func() error) error {
	done := make(chan error)
	go func() {
		// Never unlocked: the thread is in another namespace, and ends with this.
		runtime.LockOSThread()
		done <- enter("/run/netns/"+namespace(i), f)
	}()
	return <-done
}

func enter(namespace string, f func() error) error {
	there, err := os.Open(namespace)
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter %s: %w", namespace, err)
	}
	return f()
}

// Close heals the cuts and takes namespaces and bridge away.
func (n *Network) Close() {
	if !n.place.Network {
		return
	}
	n.heal()
	for _, name := range n.names {
		// A namespace takes its time to go, and its links with it.
		command("", "ip", "link", "del", "v"+name)
		command("", "ip", "netns", "del", name)
	}
	command("", "ip", "link", "del", "br0")
}

// cut drops what goes from each of some addresses to each of others.
func (n *Network) cut(from, to []string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var elements []string
	for _, f := range from {
		for _, t := range to {
			if pair := [2]string{f, t}; f != t && !n.cuts[pair] {
				n.cuts[pair] = true
				elements = append(elements, f+" . "+t)
			}
		}
	}
	if len(elements) == 0 {
		return nil
	}
	return command("", "nft", "add element bridge faults cut { "+strings.Join(elements, ", ")+" }")
}

// heal undoes all cuts.
func (n *Network) heal() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.cuts) == 0 {
		return nil
	}
	clear(n.cuts)
	return command("", "nft", "flush set bridge faults cut")
}
