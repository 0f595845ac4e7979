package node_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"parley/services/network/loopback"
)

// awaitAlarms waits until the console shows just these fault conditions, beside
// those of the certificates: openssl's are for less than 30 days.
func (p *program) awaitAlarms(want ...string) {
	p.t.Helper()
	await(p.t, "alarms "+strings.Join(want, ", "), func(context.Context) error {
		out := p.mmp("alarms")
		n := 0
		for line := range strings.Lines(out) {
			// Others are a headline and hints.
			if line[0] >= '0' && line[0] <= '9' && !strings.Contains(line, "  Certificate of ") {
				n++
			}
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				return errors.New(out)
			}
		}
		if n != len(want) {
			return errors.New(out)
		}
		return nil
	})
}

// What is lost of a cluster is told of by the nodes that are left, with the
// command that mends it, and is over when it is back.
func TestAlarmsOfACluster(t *testing.T) {
	c, _ := newCluster(t, 3)
	first, second, third := c.nodes[0], c.nodes[1], c.nodes[2]
	expiring := "Certificate of " + domain + " in abhiall.cer, used for XMPP, expires on "
	await(t, expiring, func(context.Context) error {
		if out := first.mmp("alarms"); !strings.Contains(out, expiring) {
			return errors.New(out)
		}
		return nil
	})
	first.awaitAlarms()
	third.kill()
	first.awaitAlarms("XMPP node " + third.address + ":5222 cannot be reached")
	if out := first.mmp("alarms"); !strings.Contains(out, "xmpp cluster remove "+third.address) {
		t.Errorf("alarms:\n%swant the command that mends it", out)
	}
	second.kill()
	first.awaitAlarms("XMPP node "+third.address+":5222 cannot be reached", "XMPP node "+second.address+":5222 cannot be reached", "XMPP cluster has no majority")
	first.mmp("eventlog", "clear")
	second.start()
	third.start()
	first.awaitAlarms()
	out := first.mmp("eventlog")
	for _, want := range []string{`log messages cleared by "admin"`, "no longer so: XMPP cluster has no majority", "no longer so: XMPP node " + third.address + ":5222 cannot be reached"} {
		if !strings.Contains(out, want) {
			t.Errorf("eventlog has no %q:\n%s", want, out)
		}
	}

	// The log is there again after the process is not.
	first.kill()
	first.start()
	if again := first.mmp("eventlog", "1000"); !strings.HasPrefix(again, out) {
		t.Errorf("eventlog after a restart:\n%swant what was before:\n%s", again, out)
	}
}

// What is wrong with one node's secrets and with Webadmin is told of as long as
// it is so.
func TestAlarmsOfANode(t *testing.T) {
	p := newProgram(t)
	p.start()
	setUp(t, p)
	secret, other := p.register("cb1"), p.register("cb3")
	p.mmp("callbridge", "xmpp", "name", "cb1")
	p.mmp("callbridge", "xmpp", "domain", domain)
	p.mmp("callbridge", "xmpp", "server", "localhost")
	p.mmp("callbridge", "trust", "certall.cer")
	p.mmpWith(other+"\n", "callbridge", "xmpp", "secret")
	p.mmp("callbridge", "enable")
	p.awaitAlarms("XMPP connection to 'localhost' failed", "Call Bridge cb1 of this node was given the secret of cb3")
	p.mmpWith(secret+"\n", "callbridge", "xmpp", "secret")
	p.awaitAlarms()
	p.mmpWith(other+"\n", "xmpp", "callbridge", "add-secret", "cb9")
	p.awaitAlarms("Call Bridges cb3 and cb9 have the same secret")
	p.mmp("xmpp", "callbridge", "del", "cb9")
	p.awaitAlarms()

	p.mmp("pki", "selfsigned", "web", "CN:cb1."+domain)
	p.mmp("webadmin", "listen", "a", strconv.Itoa(loopback.Port(t)))
	p.mmp("webadmin", "certs", "web.key", "web.crt")
	p.mmp("webadmin", "enable")
	key := filepath.Join(t.TempDir(), "web.key")
	copyFile(t, p.file("web.key"), key)
	if err := os.Remove(p.file("web.key")); err != nil {
		t.Fatal(err)
	}
	p.kill()
	p.start()
	p.awaitAlarms("Webadmin not running: there is no file web.key")
	p.put(key)
	p.mmp("webadmin", "restart")
	p.awaitAlarms()
}

// Two Call Bridges of one name and secret end each other's connection. Each
// node says so, whichever of them is connected at the moment.
func TestAlarmsOfTwins(t *testing.T) {
	c, secrets := newCluster(t, 2)
	for _, p := range c.nodes {
		p.mmp("callbridge", "xmpp", "name", "cb1")
		p.mmp("callbridge", "xmpp", "domain", domain)
		p.mmp("callbridge", "xmpp", "server", p.address)
		p.mmp("callbridge", "trust", "certall.cer")
		p.mmpWith(secrets[0]+"\n", "callbridge", "xmpp", "secret")
		p.mmp("callbridge", "enable")
	}
	const alarm = "Another Call Bridge connects as 'cb1'"
	for _, p := range c.nodes {
		p.awaitAlarm(alarm, true)
		if out, status := p.try("", "callbridge", "test"); status == 0 || !strings.Contains(out, alarm) {
			t.Errorf("callbridge test on %s: exit status %d\n%s\nwant that the name fails", p.address, status, out)
		}
		out, _ := p.try("", "xmpp", "diagnose")
		line := "FAIL  "
		if p == c.nodes[0] {
			line += c.nodes[1].address + ": own Call Bridge: the same as that of " + p.address + ", cb1; "
		} else {
			line += "own Call Bridge: " + p.address + " has the same as " + c.nodes[0].address + ", cb1; "
		}
		if !strings.Contains(out, line) {
			t.Errorf("xmpp diagnose on %s:\n%swant %q", p.address, out, line)
		}
	}
}
