package diagnosis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"parley/services/xmpp/xmppapi"
)

// ports are those on which a member has to be reached: by clients and members,
// and by Call Bridges.
var ports = []int{clientPort, componentPort}

// knocks are what came of connecting to "address:port": opened, or why it was not.
type knocks map[string]string

// What comes of a knock, apart from what else the kernel says.
const (
	opened  = ""
	refused = "refused"
	noReply = "no reply"
)

// knock connects to both ports of all nodes.
func (d *Diagnosis) knock(ctx context.Context, nodes []xmppapi.Node) knocks {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	came := knocks{}
	for _, n := range nodes {
		for _, port := range ports {
			addr := door(host(n.Address), port)
			all.Go(func() {
				what := dialled(d.deps.Dial(ctx, addr))
				mu.Lock()
				defer mu.Unlock()
				came[addr] = what
			})
		}
	}
	all.Wait()
	return came
}

func door(address string, port int) string { return net.JoinHostPort(address, strconv.Itoa(port)) }

// dialled is what came of a knock.
func dialled(err error) string {
	if err == nil {
		return opened
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return noReply
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return refused
	}
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}

// doors are the members' ports, as this node and the others have found them.
type doors struct {
	// from are the knocks of each node, by its address.
	from map[string]knocks
	// reports are what members say of themselves, this node too.
	reports map[string]report
}

func (f *facts) doors(own report, reports map[string]report) doors {
	d := doors{map[string]knocks{f.own(): own.Knocks}, maps.Clone(reports)}
	for addr, r := range reports {
		d.from[addr] = r.Knocks
	}
	d.reports[f.own()] = own
	return d
}

// came are the nodes that a port has answered so, sorted, by what it was. The
// member's own knock is not among them.
func (d doors) came(address string, port int) map[string][]string {
	all := map[string][]string{}
	for _, from := range slices.Sorted(maps.Keys(d.from)) {
		if what, knocked := d.from[from][door(address, port)]; knocked && from != address {
			all[what] = append(all[what], from)
		}
	}
	return all
}

// answers are the kinds of answer that the member's ports have given to others: a
// port is open, or its machine refuses, or there is none.
type answers struct{ open, refusal, silence bool }

func (d doors) answers(address string) (a answers) {
	for _, port := range ports {
		for result := range d.came(address, port) {
			switch result {
			case opened:
				a.open = true
			case refused:
				a.refusal = true
			default:
				a.silence = true
			}
		}
	}
	return a
}

// mixed: the member's machine is on, and something keeps some from some port.
func (a answers) mixed() bool { return a.silence && (a.open || a.refusal) || a.open && a.refusal }

// runs: the member's XMPP server is known to listen on the port.
func (d doors) runs(address string, port int) bool {
	r, reported := d.reports[address]
	if !reported {
		// What listens for Call Bridges does so for the others.
		return port == clientPort && d.came(address, componentPort)[opened] != nil
	}
	what, knocked := d.from[address][door(address, port)]
	return knocked && what == opened && !r.disabled()
}

// disabled: it has said so itself, so its closed ports are no news.
func (r report) disabled() bool {
	return slices.ContainsFunc(r.Findings, func(n Finding) bool { return n.Node == "" && n.What == whatXMPP && n.Level == Fail })
}

// findings are what is wrong with the ports of a member; what is wrong with both
// is told once. Where it is gone, and they all answer alike, that is told with the
// member.
func (d doors) findings(address string, gone bool) (all []Finding) {
	r, reported := d.reports[address]
	if gone && !reported && !d.answers(address).mixed() {
		return nil
	}
	wrong := map[string][]int{}
	from := map[string][]string{}
	for _, port := range ports {
		if own := d.from[address][door(address, port)]; reported && own != opened {
			// Nobody can connect then.
			wrong[closed] = append(wrong[closed], port)
			continue
		}
		for result, who := range d.came(address, port) {
			if result == opened {
				continue
			}
			detail := saying(result, who)
			if result == refused && !d.runs(address, port) {
				detail = closed
			}
			wrong[detail], from[detail] = append(wrong[detail], port), who
		}
	}
	for _, detail := range slices.Sorted(maps.Keys(wrong)) {
		at := wrong[detail]
		switch finding := fail("TCP "+numbers(at), "%s", detail); {
		case detail != closed:
			all = append(all, finding.first(letThrough(from[detail], address, at)))
		case !r.disabled():
			all = append(all, finding.by("xmpp enable"))
		}
	}
	return all
}

// closed: the machine answers, and nobody listens.
const closed = "closed"

// saying tells who has come to know that.
func saying(result string, who []string) string {
	switch result {
	case refused:
		return "refused to " + list(who) + ", though it is open"
	case noReply:
		return "no reply to " + list(who)
	}
	return "no reply to " + list(who) + " (" + result + ")"
}

// letThrough is what to tell the firewalls.
func letThrough(from []string, to string, at []int) string {
	return fmt.Sprintf("let TCP from %s through to %s of %s, in the firewalls on the way", list(from), numbers(at), to)
}

// numbers are "port 5222", or "ports 5222 and 5223".
func numbers(at []int) string {
	var all []string
	for _, p := range at {
		all = append(all, strconv.Itoa(p))
	}
	if len(all) == 1 {
		return "port " + all[0]
	}
	return "ports " + list(all)
}

// list is "a, b and c".
func list(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// withDoors puts what is found of ports before what comes of it, XMPP's state.
func (f *facts) withDoors(own []Finding, d doors) []Finding {
	var all []Finding
	open := 0
	for _, n := range f.cluster.Nodes {
		address := host(n.Address)
		for _, finding := range d.findings(address, f.isGone(address)) {
			if !n.Self {
				finding.Node = address
			}
			all = append(all, finding)
		}
		if f.opened(address) {
			open++
		}
	}
	if len(all) == 0 && open > 0 && open == len(f.cluster.Nodes) {
		all = append(all, ok("ports", "%d and %d of %s open", clientPort, componentPort, count(open, "member")))
	}
	at := slices.IndexFunc(own, func(n Finding) bool { return n.What == whatXMPP })
	return slices.Insert(slices.Clone(own), max(at, 0), all...)
}

// opened: this node has been let in at all doors of a member.
func (f *facts) opened(address string) bool {
	return !slices.ContainsFunc(ports, func(port int) bool {
		what, knocked := f.knocks[door(address, port)]
		return !knocked || what != opened
	})
}

// gone is why a member that cannot be reached may be so, and what to do.
func (f *facts) gone(n xmppapi.Node, d doors) Finding {
	address := host(n.Address)
	what := "member " + address
	since := "it cannot be reached since " + date(n.Since)
	finding := func(detail string) Finding { return fail(what, "%s", since+detail) }
	remove := "xmpp cluster remove " + address
	restart := "start it again, or, where it is gone for good,"
	if f.cluster.Margin < 0 {
		// Nobody can be taken out either.
		remove, restart = "ping "+address, "start it again"
	}
	came, machine := f.knocks[door(address, clientPort)], d.answers(address)
	switch {
	case came == refused && machine.open, came != refused && came != opened && machine.mixed():
		return finding(", though its machine is on").first(letThrough([]string{f.own()}, address, []int{clientPort}))
	case f.now.Sub(n.Since) < restarting:
		return finding("").first("where it was restarted, wait for it").by("xmpp cluster status")
	case came == opened:
		return finding(", though its ports are open: its service hangs, or takes this node for a stranger").
			first("where it stays so, " + strings.Replace(restart, "start it again", "restart it", 1)).by(remove)
	case machine.refusal:
		return finding(": its machine is on, and XMPP does not run there").first(restart).by(remove)
	}
	return finding(": none of its ports answers").
		first("start it again, or, where it runs, " + letThrough(d.nodes(address), address, ports) + strings.TrimPrefix(restart, "start it again")).by(remove)
}

// nodes are those that have knocked at a member's door, but for itself.
func (d doors) nodes(address string) []string {
	var all []string
	for _, port := range ports {
		for _, who := range d.came(address, port) {
			all = append(all, who...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
