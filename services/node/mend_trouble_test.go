package node_test

import (
	"os"
	"testing"
	"time"

	"parley/services/xmpp/faults"
)

// TestDiagnoseMendsMachines is TestDiagnoseMends of what is done wrong to the
// machines that nodes run on, and to the network between them.
func TestDiagnoseMendsMachines(t *testing.T) {
	if !onMachines(t) {
		return
	}
	d := newMachines(t)
	d.awaitWell(d.first, "before any mistake")
	d.mendAll(machineMistakes)
	d.mendAll(firewallMistakes)
	if os.Getenv(slowEnv) != "" {
		d.mendAll(slowMistakes)
	}
}

func theFirst(d *deployment) *program  { return d.first }
func theSecond(d *deployment) *program { return d.second }
func theThird(d *deployment) *program  { return d.third }

// What is done wrong with machines.
var machineMistakes = []mistake{
	{
		name: "a full disk", what: "state disk: 100% in use", command: "rm recording.bin",
		make: func(d *deployment) { d.fillDisk(d.third) },
	}, {
		name: "a full disk of the leader", what: "state disk: 100% in use", command: "rm recording.bin",
		make: func(d *deployment) { d.fillDisk(d.leader()) },
		from: theSecond,
	}, {
		name: "a full disk at the start", what: "state disk: 100% in use", command: "rm recording.bin",
		make: func(d *deployment) {
			d.third.kill()
			d.fillDisk(d.third)
			d.third.start()
		},
		from: theThird,
	}, {
		name: "a clock that is ahead", what: "10.77.0.3: clock: 30s ahead of those of this node and 10.77.0.2", command: "date", advice: "set it",
		make: func(d *deployment) { d.setClock(d.third, 30*time.Second) },
		hand: func(d *deployment) { d.setClock(d.third, 0) },
	}, {
		name: "a clock of its own that is behind", what: "clock: 30s behind those of 10.77.0.1 and 10.77.0.2", command: "date", advice: "set it",
		make: func(d *deployment) { d.setClock(d.third, -30*time.Second) },
		hand: func(d *deployment) { d.setClock(d.third, 0) },
		from: theThird,
	},
}

// fillDisk leaves no room on a node's, by a file such as somebody puts there.
func (d *deployment) fillDisk(p *program) {
	d.t.Helper()
	if err := faults.Fill(p.file("recording.bin")); err != nil {
		d.t.Fatal(err)
	}
}

// firewallOf is a mistake in the third's, and what to let through.
func firewallOf(name string, from func(*deployment) *program, what, advice string, rules ...string) mistake {
	return mistake{
		name: name, from: from, what: what, advice: advice,
		make: func(d *deployment) { d.machines.firewall(d.t, 3, rules...) },
		hand: func(d *deployment) { d.machines.firewall(d.t, 3, established) },
	}
}

// What is done wrong with firewalls.
var firewallMistakes = []mistake{
	firewallOf("5222 refused", theFirst, "10.77.0.3: TCP port 5222: refused to 10.77.0.1 and 10.77.0.2, though it is open",
		"let TCP from 10.77.0.1 and 10.77.0.2 through to port 5222 of 10.77.0.3", "tcp dport 5222 reject with tcp reset"),
	firewallOf("5222 refused, as one sees it behind", theThird, "TCP port 5222: refused to 10.77.0.1 and 10.77.0.2, though it is open",
		"let TCP from 10.77.0.1 and 10.77.0.2 through to port 5222 of 10.77.0.3", "tcp dport 5222 reject with tcp reset"),
	firewallOf("5222 refused one way, as the second sees it", theSecond, "10.77.0.3: TCP port 5222: refused to 10.77.0.1, though it is open",
		"let TCP from 10.77.0.1 through to port 5222 of 10.77.0.3", "ip saddr 10.77.0.1 tcp dport 5222 reject with tcp reset"),
	firewallOf("5222 dropped for new connections", theFirst, "10.77.0.3: TCP port 5222: no reply to 10.77.0.1 and 10.77.0.2",
		"let TCP from 10.77.0.1 and 10.77.0.2 through to port 5222 of 10.77.0.3", established, "tcp dport 5222 drop"),
	firewallOf("5223 dropped", theFirst, "10.77.0.3: TCP port 5223: no reply to 10.77.0.1 and 10.77.0.2",
		"let TCP from 10.77.0.1 and 10.77.0.2 through to port 5223 of 10.77.0.3", "tcp dport 5223 drop"),
	firewallOf("5223 prohibited", theSecond, "10.77.0.3: TCP port 5223: no reply to 10.77.0.1 and 10.77.0.2 (no route to host)",
		"let TCP from 10.77.0.1 and 10.77.0.2 through to port 5223 of 10.77.0.3", "tcp dport 5223 reject with icmpx admin-prohibited"),
	nameServer("53 dropped", "(no reply)", "drop"),
	nameServer("53 refused", "(port closed)", "reject"),
}

// nameServer is that the first node has its records of the third, which does not
// let it ask.
func nameServer(name, what, verdict string) mistake {
	own := func(d *deployment) (all []string) {
		for i := range d.nodes {
			all = append(all, hostName(i)+". 86400 IN A "+d.nodes[i].address, record("component", 5223, hostName(i)), record("client", 5222, hostName(i)))
		}
		return all
	}
	m := firewallOf(name, theFirst, "no usable answer from 10.77.0.3 "+what, "let UDP and TCP from 10.77.0.1 through to port 53 of 10.77.0.3",
		"udp dport 53 "+verdict, "tcp dport 53 "+verdict)
	close := m.make
	m.make = func(d *deployment) {
		d.third.mmp("dns", "listen", "a")
		d.first.mmp("dns", "add", "forwardzone", domain, d.third.address)
		for i := range d.nodes {
			d.first.mmp("dns", "del", "rr", hostName(i), "A")
		}
		d.first.mmp("dns", "del", "rr", "_xmpp-component._tcp."+domain, "SRV")
		d.first.mmp("dns", "del", "rr", "_xmpp-client._tcp."+domain, "SRV")
		d.awaitWell(d.first, "with the third's records")
		close(d)
		d.first.mmp("dns", "flush")
	}
	m.after = func(d *deployment) {
		for _, r := range own(d) {
			d.first.mmp("dns", "add", "rr", r)
		}
		d.first.mmp("dns", "del", "forwardzone", domain, d.third.address)
		d.third.mmp("dns", "listen", "none")
	}
	return m
}
