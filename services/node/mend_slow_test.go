package node_test

import (
	"os"
	"strings"
	"testing"
	"time"
)

// slowEnv is set by `make trouble`, for what takes longer than it teaches daily.
const slowEnv = "PARLEY_TROUBLE"

// What is done wrong with machines and firewalls, and takes its time to be found.
var slowMistakes = []mistake{
	firewallOf("5222 dropped", theFirst, "10.77.0.3: TCP port 5222: no reply to 10.77.0.1 and 10.77.0.2",
		"let TCP from 10.77.0.1 and 10.77.0.2 through to port 5222 of 10.77.0.3", "tcp dport 5222 drop"),
	firewallOf("5222 dropped, as one sees it behind", theThird, "TCP port 5222: no reply to 10.77.0.1 and 10.77.0.2",
		"let TCP from 10.77.0.1 and 10.77.0.2 through to port 5222 of 10.77.0.3", "tcp dport 5222 drop"),
	firewallOf("5222 dropped one way", theFirst, "10.77.0.3: TCP port 5222: no reply to 10.77.0.1",
		"let TCP from 10.77.0.1 through to port 5222 of 10.77.0.3", "ip saddr 10.77.0.1 tcp dport 5222 drop"),
	firewallOf("5222 dropped both ways", theThird, "10.77.0.1: TCP port 5222: no reply to 10.77.0.3",
		"let TCP from 10.77.0.3 through to port 5222 of 10.77.0.1", "tcp dport 5222 drop", "tcp sport 5222 drop"),
	firewallOf("all dropped", theFirst, "member 10.77.0.3: it cannot be reached since",
		"let TCP from 10.77.0.1 and 10.77.0.2 through to ports 5222 and 5223 of 10.77.0.3", "drop"),
	{
		name: "a member that hangs", what: "though its ports are open: its service hangs", command: "xmpp cluster remove 10.77.0.3", advice: "restart it",
		make: func(d *deployment) { d.third.freeze() },
		hand: func(d *deployment) { d.third.thaw() },
	},
}

// TestDiagnoseInTime has three of four members not answer, each in another way.
func TestDiagnoseInTime(t *testing.T) {
	if os.Getenv(slowEnv) == "" {
		t.Skip("make trouble")
	}
	if !onMachines(t) {
		return
	}
	c, m := connect(t, 4)
	c.unite()
	dead, silent, cut := c.nodes[1], c.nodes[2], c.nodes[3]
	dead.kill()
	silent.freeze()
	m.firewall(t, 4, "tcp dport { 5222, 5223 } drop", "tcp sport { 5222, 5223 } drop")
	// At once, and when the others are missed.
	for _, when := range []time.Duration{0, 6 * time.Second} {
		time.Sleep(when)
		begun := time.Now()
		lines, status := c.nodes[0].diagnose()
		all := strings.Join(lines, "\n")
		t.Logf("it took %v\n%s", time.Since(begun), all)
		if status != 1 {
			t.Errorf("exit status %d; want 1", status)
		}
		for _, p := range []*program{dead, silent, cut} {
			if want := "FAIL  member " + p.address + ": it cannot be reached since"; when > 0 && !strings.Contains(all, want) {
				t.Errorf("no %q in\n%s", want, all)
			}
		}
	}
}
