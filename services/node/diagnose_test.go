package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/services/config"
	"parley/services/diagnosis"
)

// diagnose returns the lines that are not OK, and the exit status.
func (p *program) diagnose() (lines []string, status int) {
	p.t.Helper()
	start := time.Now()
	out, status := p.try("", "xmpp", "diagnose")
	if took := time.Since(start); took > 10*time.Second {
		p.t.Errorf("xmpp diagnose took %v; want less than 10 s", took)
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

// TestDiagnoseMends makes mistakes on a working cluster, one after the other,
// has one member diagnose, types what it says where it says so, and wants all
// to be well again.
func TestDiagnoseMends(t *testing.T) {
	c, _ := newCluster(t, 3)
	first, second, third := c.nodes[0], c.nodes[1], c.nodes[2]
	names := []string{"cb1", "cb2", "cb3"}
	srv := func(service string, port int, name string) string {
		return fmt.Sprintf("_xmpp-%s._tcp.%s. 86400 IN SRV 0 0 %d %s.%s.", service, domain, port, name, domain)
	}
	for _, p := range c.nodes {
		// A renewed certificate is trusted by its authority.
		p.mmp("xmpp", "cluster", "trust", "certall.cer")
		for i, name := range names {
			p.mmp("dns", "add", "rr", name+"."+domain+". 86400 IN A "+c.nodes[i].address)
			p.mmp("dns", "add", "rr", srv("component", 5223, name))
			p.mmp("dns", "add", "rr", srv("client", 5222, name))
		}
	}
	d := diagnosis.New(diagnosis.Machine(config.FolderPaths(first.state)))
	// faults are the findings that are not of the test's own short ways.
	faults := func() (found []diagnosis.Finding) {
		for _, f := range d.Run(t.Context()) {
			if f.Level == diagnosis.OK || strings.Contains(f.Detail, "expires in") || strings.HasPrefix(f.What, "Call Bridge cb") {
				continue
			}
			found = append(found, f)
		}
		return found
	}
	well := func(what string) {
		t.Helper()
		await(t, what, func(context.Context) error {
			if found := faults(); len(found) > 0 {
				return errors.New(found[0].Text())
			}
			return nil
		})
	}
	well("before any mistake")
	at := func(address string) *program {
		i := slices.IndexFunc(c.nodes, func(p *program) bool { return p.address == address })
		if i < 0 {
			return first
		}
		return c.nodes[i]
	}
	const goneForGood = "member that is gone for good"
	for _, m := range []struct {
		name string
		make func()
		// what is in the findings before they are mended.
		what string
		// rounds is how often one has to diagnose until it is mended.
		rounds int
	}{
		{"component record with the client port", func() {
			second.mmp("dns", "del", "rr", "_xmpp-component._tcp."+domain, "SRV")
			second.mmp("dns", "add", "rr", srv("component", 5222, "cb1"))
		}, "points to port 5222 of cb1." + domain + ", the client port", 1},
		{"client record with the article's port", func() {
			first.mmp("dns", "del", "rr", "_xmpp-client._tcp."+domain, "SRV")
			first.mmp("dns", "add", "rr", srv("client", 522, "cb1"))
		}, "points to port 522 of cb1." + domain, 1},
		{"a member without record", func() {
			third.mmp("dns", "del", "rr", "_xmpp-component._tcp."+domain, "SRV")
			third.mmp("dns", "add", "rr", srv("component", 5223, "cb1"))
			third.mmp("dns", "add", "rr", srv("component", 5223, "cb2"))
		}, "leads to the member " + third.address, 1},
		{"no records of the service", func() {
			for _, p := range c.nodes {
				p.mmp("dns", "del", "rr", "_xmpp-client._tcp."+domain, "SRV")
			}
		}, "there is no SRV record _xmpp-client._tcp." + domain, 1},
		{"neither records nor addresses", func() {
			second.mmp("dns", "del", "rr", "_xmpp-client._tcp."+domain, "SRV")
			for _, name := range names {
				second.mmp("dns", "del", "rr", name+"."+domain, "A")
			}
		}, "there is no SRV record _xmpp-client._tcp." + domain, 2},
		{"wrong address", func() {
			first.mmp("dns", "del", "rr", "cb3."+domain, "A")
			first.mmp("dns", "add", "rr", "cb3."+domain+". 86400 IN A 127.9.9.9")
		}, "it is 127.9.9.9, which is no member", 1},
		{"alias for a target", func() {
			first.mmp("dns", "del", "rr", "cb2."+domain, "A")
			first.mmp("dns", "add", "rr", "cb2."+domain+". 86400 IN CNAME chat."+domain+".")
			first.mmp("dns", "add", "rr", "chat."+domain+". 86400 IN A "+second.address)
		}, "is an alias (CNAME)", 1},
		{"XMPP disabled here", func() { first.mmp("xmpp", "disable") }, "it is disabled", 1},
		{"XMPP disabled there", func() { third.mmp("xmpp", "disable") }, "it is disabled", 1},
		{"two secrets alike", func() {
			out := first.mmp("xmpp", "callbridge", "list")
			_, secret, _ := strings.Cut(out, "Secret     : ")
			secret, _, _ = strings.Cut(secret, "\n")
			first.mmpWith(secret+"\n", "xmpp", "callbridge", "add-secret", "cb9")
		}, "cb1 and cb9 have the same secret", 1},
		{"certificate renewed and not taken", func() {
			c.ca.Sign(first.file("abhiall.csr"), c.file("abhiall.cer"))
			second.put(c.file("abhiall.cer"))
		}, "still shows the certificate of before", 1},
		{goneForGood, func() { third.kill() }, "it cannot be reached since", 1},
	} {
		m.make()
		var found []diagnosis.Finding
		await(t, m.name+" is found", func(context.Context) error {
			found = faults()
			if !slices.ContainsFunc(found, func(f diagnosis.Finding) bool { return strings.Contains(f.Detail, m.what) }) {
				return fmt.Errorf("found: %v", found)
			}
			return nil
		})
		for range m.rounds {
			for _, f := range found {
				// A member may be missed for a moment when its doors are shut;
				// it is not gone for good then.
				taken := func(command string) bool { return strings.HasPrefix(command, "xmpp cluster remove") }
				if m.name != goneForGood && slices.ContainsFunc(f.Commands, taken) {
					continue
				}
				for _, where := range append([]string{f.Node}, f.Also...) {
					for _, command := range f.Commands {
						if !strings.ContainsAny(command, "<>") {
							at(where).mmp(command)
						}
					}
				}
			}
			found = faults()
		}
		if m.name == goneForGood {
			await(t, m.name+": removed", func(ctx context.Context) error {
				cl, err := first.api().Cluster(ctx)
				if err == nil && len(cl.Nodes) != 2 {
					err = fmt.Errorf("members: %v", cl.Nodes)
				}
				return err
			})
			continue
		}
		well(m.name + " is mended")
	}
}
