package node_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// diagnose returns the lines that are not OK, and the exit status.
func (p *program) diagnose() (lines []string, status int) {
	p.t.Helper()
	start := time.Now()
	out, status := p.try("", "xmpp", "diagnose")
	if took := time.Since(start); took > diagnoseLimit {
		p.t.Errorf("xmpp diagnose took %v; want less than %v", took, diagnoseLimit)
	}
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "OK ") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines, status
}

// TestDiagnose has a real cluster examined, each member by itself and for the
// others: while all is well, and after mistakes that are mended by the commands
// that it names.
func TestDiagnose(t *testing.T) {
	c, _ := newCluster(t, 3)
	for _, p := range c.nodes {
		for i, name := range []string{"cb1", "cb2", "cb3"} {
			p.mmp("dns", "add", "rr", name+"."+domain+". 86400 IN A "+c.nodes[i].address)
			p.mmp("dns", "add", "rr", "_xmpp-component._tcp."+domain+". 86400 IN SRV 0 0 5223 "+name+"."+domain+".")
			p.mmp("dns", "add", "rr", "_xmpp-client._tcp."+domain+". 86400 IN SRV 10 50 5222 "+name+"."+domain+".")
		}
	}
	first, second, third := c.nodes[0], c.nodes[1], c.nodes[2]
	// The CA's certificates are short-lived, and there is no Call Bridge.
	usual := func(line string) bool {
		return strings.Contains(line, "expires in") || strings.HasPrefix(line, "WARN  Call Bridge") && strings.Contains(line, "registered and not connected")
	}
	await(t, "diagnosis without mistakes", func(context.Context) error {
		lines, status := first.diagnose()
		for _, line := range lines[:len(lines)-1] {
			if !usual(line) {
				return errors.New(line)
			}
		}
		if last := lines[len(lines)-1]; status != 0 || !strings.HasPrefix(last, "SUCCESS: ") {
			return errors.New(last)
		}
		return nil
	})
	// wants has each node find it, in words of where the mistake is and of others.
	wants := func(what string, there *program, here, elsewhere string) {
		t.Helper()
		for _, p := range c.nodes {
			want := "FAIL  " + here
			if p != there {
				want = "FAIL  " + there.address + ": " + elsewhere
			}
			lines, status := p.diagnose()
			if status != 1 || !strings.Contains(strings.Join(lines, "\n"), want) {
				t.Errorf("%s: on %s exit status %d with\n%s\nwant 1 with %q", what, p.address, status, strings.Join(lines, "\n"), want)
			}
		}
	}
	srv := "DNS for Call Bridges: _xmpp-component._tcp." + domain + " points to port 5222 of cb1." + domain + ", the client port; it should be 5223; "
	mend := "type 'dns del rr _xmpp-component._tcp." + domain + " SRV', then 'dns add rr _xmpp-component._tcp." + domain + ". 86400 IN SRV 0 0 5223 cb1." + domain + ".', then "
	second.mmp("dns", "del", "rr", "_xmpp-component._tcp."+domain, "SRV")
	second.mmp("dns", "add", "rr", "_xmpp-component._tcp."+domain+". 86400 IN SRV 0 0 5222 cb1."+domain+".")
	wants("SRV with the client port", second, srv+mend, srv+"on "+second.address+" "+mend)
	second.mmp("dns", "del", "rr", "_xmpp-component._tcp."+domain, "SRV")
	for _, name := range []string{"cb1", "cb2", "cb3"} {
		second.mmp("dns", "add", "rr", "_xmpp-component._tcp."+domain+". 86400 IN SRV 0 0 5223 "+name+"."+domain+".")
	}

	third.mmp("xmpp", "disable")
	wants("XMPP disabled", third, "XMPP: it is disabled; type 'xmpp enable'", "XMPP: it is disabled; on "+third.address+" type 'xmpp enable'")
	third.mmp("xmpp", "enable")
	c.awaitMembers(c.nodes...)

	third.kill()
	await(t, "a member that was killed is missed", func(context.Context) error {
		lines, status := first.diagnose()
		all := strings.Join(lines, "\n")
		if status != 1 || !strings.Contains(all, "FAIL  member "+third.address+": it cannot be reached since ") || !strings.Contains(all, "type 'xmpp cluster remove "+third.address+"'") ||
			!strings.Contains(all, "WARN  majority: no more node may fail") {
			return errors.New(all)
		}
		return nil
	})
}
