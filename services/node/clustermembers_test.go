package node_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"parley/services/config"
	"parley/services/pki/opensslca"
)

// joinLimit is how long a join that is refused may take.
const joinLimit = 15 * time.Second

// TestMembers has nodes, with a certificate each, come and go, as an operator
// has them do. Each subtest leaves the cluster whole.
func TestMembers(t *testing.T) {
	c := newNodes(t, 5, false)
	all := c.nodes
	extra := all[3]
	c.nodes = all[:3]
	first := c.nodes[0]
	first.mmp("xmpp", "callbridge", "add", "cb1")
	c.found(first)
	for _, p := range c.nodes[1:] {
		c.join(p, first)
	}
	c.awaitMembers(c.nodes...)

	t.Run("joins that are refused", func(t *testing.T) { c.joinsRefused(t, extra) })
	t.Run("accounts of its own", func(t *testing.T) {
		extra.mmp("xmpp", "cluster", "disable")
		extra.mmp("xmpp", "enable")
		extra.mmpWith("secret\nsecret\n", "xmpp", "user", "add", "own")
		extra.mmp("xmpp", "disable")
		extra.mmp("xmpp", "cluster", "enable")
		extra.mmp("xmpp", "enable")
		out, status := extra.try("n\n", "xmpp", "cluster", "join", first.address)
		if status == 0 || !strings.Contains(out, "1 chat account of its own") || !strings.Contains(out, "not confirmed, nothing was done") {
			t.Errorf("join with an account, answered with n: exit status %d\n%s", status, out)
		}
		c.notJoined(t, extra, "own")
		extra.mmpWith("Y\n", "xmpp", "cluster", "join", c.without(c.leader())[0].address)
		c.awaitMembers(all[:4]...)
		if out := extra.mmp("xmpp", "user", "list"); strings.Contains(out, "own") {
			t.Errorf("the joined node still has its own account:\n%s", out)
		}
	})
	t.Run("five", func(t *testing.T) {
		c.join(all[4], c.without(c.leader())[0])
		c.nodes = all
		c.awaitMembers(all...)
		first.awaitStatus(t, "five", "The cluster stands the failure of 2 more nodes.")
		dead := []*program{c.leader(), c.without(c.leader())[0]}
		for _, p := range dead {
			p.kill()
		}
		rest := c.without(dead...)
		c.awaitAmong(rest, all)
		rest[0].mmpWith("secret of ada\nsecret of ada\n", "xmpp", "user", "add", "ada")
		rest[1].mmpWith("secret of bob\nsecret of bob\n", "xmpp", "user", "add", "bob")
		rest[2].mmp("xmpp", "callbridge", "add", "cb2")
		c.sendxmpp(t, rest[2], "ada", "bob", "three of five")
		rest[0].awaitStatus(t, "three of five", "the cluster stands no more failure")
		for _, p := range dead {
			p.start()
		}
		c.awaitMembers(all...)
		for _, p := range all[3:] {
			p.mmpWith("Y\n", "xmpp", "cluster", "remove")
		}
		c.nodes = all[:3]
		c.awaitMembers(c.nodes...)
	})
	t.Run("resets", func(t *testing.T) { c.resets(t) })
}

// ready has p in cluster mode and enabled, in no cluster.
func (c *cluster) ready(p *program) {
	c.t.Helper()
	p.mmp("xmpp", "cluster", "enable")
	p.mmp("xmpp", "enable")
}

// notJoined checks that a join has changed nothing, here or there.
func (c *cluster) notJoined(t *testing.T, p *program, account string) {
	t.Helper()
	if out := p.status(); !strings.Contains(out, "not a member of a cluster") {
		t.Errorf("after a join that was refused:\n%s", out)
	}
	if account != "" {
		if out := p.mmp("xmpp", "user", "list"); !strings.Contains(out, account) {
			t.Errorf("a join that was refused has dropped the account %s:\n%s", account, out)
		}
	}
	c.awaitMembers(c.nodes...)
}

// joinsRefused has p try to join with one thing wrong at a time.
func (c *cluster) joinsRefused(t *testing.T, p *program) {
	first := c.nodes[0]
	disabled := func(f func()) {
		t.Helper()
		p.mmp("xmpp", "disable")
		f()
		p.mmp("xmpp", "enable")
	}
	foreign := opensslca.New(t)
	if out, err := exec.Command("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN="+domain, "-addext", "subjectAltName=DNS:"+domain,
		"-keyout", c.file("foreign.key"), "-out", c.file("foreign.csr")).CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	foreign.Sign(c.file("foreign.csr"), c.file("foreign.cer"))
	copyFile(t, foreign.Certificate(), c.file("foreignroot.cer"))
	concatenate(t, c.file("foreignboth.cer"), c.file("foreign.cer"), c.file(c.trust))
	p.put(c.file("foreign.key"), c.file("foreign.cer"), c.file("foreignroot.cer"), c.file("foreignboth.cer"))

	strange := func() {
		p.mmp("xmpp", "cluster", "trust", "foreignboth.cer")
		p.mmp("xmpp", "certs", "foreign.key", "foreign.cer", "foreignroot.cer")
	}
	known := func() {
		p.mmp("xmpp", "cluster", "trust", "foreignboth.cer")
		p.mmp("xmpp", "certs", "abhiall.key", "abhiall.cer", "certall.cer")
		p.mmp("xmpp", "cluster", "trust", c.trust)
	}
	// A node that starts has no connections of before.
	anew := func() { p.kill(); p.start() }
	c.ready(p)
	nobody := first.address[:strings.LastIndexByte(first.address, '.')] + ".99"
	for _, tt := range []struct {
		name    string
		prepare func()
		node    string
		want    []string
		// elsewhere is as good as want: what is said where p has no connection
		// of before with who leads by now.
		elsewhere []string
		repair    func()
	}{
		{
			name: "unreachable node", node: nobody, want: []string{nobody, "cannot be reached", "connection refused"},
		}, {
			name: "name that does not resolve", node: "nobody.invalid", want: []string{"nobody.invalid", "does not resolve"},
		}, {
			name: "itself", node: p.address, want: []string{"this node itself"},
		}, {
			name: "another secret", prepare: func() { p.mmpWith("another-secret-1\n", "xmpp", "callbridge", "add-secret", "cb1") },
			node: first.address, want: []string{"cb1", "is not the cluster's", "xmpp callbridge del"},
			repair: func() { p.mmp("xmpp", "callbridge", "del", "cb1") },
		}, {
			name: "another domain", prepare: func() { disabled(func() { p.mmp("xmpp", "domain", "example.com") }) },
			node: first.address, want: []string{domain, "example.com", "xmpp domain"},
			repair: func() { disabled(func() { p.mmp("xmpp", "domain", domain) }) },
		}, {
			name: "certificate that the cluster does not trust any more", prepare: strange,
			node: first.address, want: []string{"TLS with ", "CN=" + domain, "of " + p.address, "not in the trust bundle"}, repair: known,
			elsewhere: []string{"does not trust this node's certificate CN=" + domain},
		}, {
			name: "certificate that the cluster does not trust", prepare: func() { strange(); anew() },
			node: first.address, want: []string{"TLS with " + first.address, "does not trust this node's certificate CN=" + domain}, repair: known,
		}, {
			name: "certificates that this node does not trust", prepare: func() { strange(); p.mmp("xmpp", "cluster", "trust", "foreignroot.cer"); anew() },
			node: first.address, want: []string{"TLS with " + first.address, "CN=" + domain, "of " + first.address, "not in the trust bundle"}, repair: known,
		}, {
			name: "frozen node", node: "", want: []string{"cannot be reached"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var frozen *program
			if tt.node == "" {
				frozen = c.without(c.leader())[0]
				tt.node = frozen.address
				frozen.freeze()
			}
			if tt.prepare != nil {
				tt.prepare()
			}
			begun := time.Now()
			out, status := p.try("", "xmpp", "cluster", "join", tt.node)
			took := time.Since(begun)
			if frozen != nil {
				frozen.thaw()
			}
			t.Logf("after %v: %s", took.Round(time.Millisecond), out)
			if status == 0 || took > joinLimit {
				t.Errorf("join: exit status %d after %v; want a refusal within %v\n%s", status, took, joinLimit, out)
			}
			unsaid := func(want []string) (missing []string) {
				for _, w := range want {
					if !strings.Contains(out, w) {
						missing = append(missing, w)
					}
				}
				return missing
			}
			if missing := unsaid(tt.want); missing != nil && (tt.elsewhere == nil || unsaid(tt.elsewhere) != nil) {
				t.Errorf("join says nothing of %q:\n%s", missing, out)
			}
			c.notJoined(t, p, "")
			if tt.repair != nil {
				tt.repair()
			}
		})
	}
	p.mmp("xmpp", "disable")
}

// resets is the article's third trouble: nodes that are reset while they are
// members, and join again.
func (c *cluster) resets(t *testing.T) {
	again := func(p, by *program) {
		t.Helper()
		c.configure(p)
		c.join(p, by)
		c.awaitMembers(c.nodes...)
	}
	reset := func(p *program) string {
		t.Helper()
		return p.mmpWith("Y\n", "xmpp", "reset")
	}
	leader := func() *program { return c.leader() }
	follower := func() *program { return c.without(leader())[0] }
	for _, tt := range []struct {
		name      string
		reset, by func() *program
	}{
		{"a follower, by the leader", follower, leader},
		{"a follower, by another follower", follower, follower},
		{"the leader, by the next leader", leader, leader},
		{"the leader, by a follower", leader, follower},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.reset()
			if out := reset(p); strings.Contains(out, "WARNING") {
				t.Errorf("reset while the others run: %s", out)
			}
			rest := c.without(p)
			c.awaitMembers(rest...)
			by := tt.by
			nodes := c.nodes
			c.nodes = rest
			other := by()
			c.nodes = nodes
			again(p, other)
		})
	}
	t.Run("while the others are down", func(t *testing.T) {
		p := follower()
		rest := c.without(p)
		for _, o := range rest {
			o.kill()
		}
		begun := time.Now()
		out := reset(p)
		if took := time.Since(begun); took > joinLimit {
			t.Errorf("reset took %v", took)
		}
		if want := "xmpp cluster remove " + p.address; !strings.Contains(out, "WARNING") || !strings.Contains(out, want) {
			t.Errorf("reset while the others are down says nothing of %q:\n%s", want, out)
		}
		for _, o := range rest {
			o.start()
		}
		c.awaitAmong(rest, c.nodes)
		again(p, rest[0])
	})
	t.Run("state lost", func(t *testing.T) {
		p := follower()
		p.kill()
		if err := os.RemoveAll(config.FolderPaths(p.state).XMPP()); err != nil {
			t.Fatal(err)
		}
		p.start()
		p.mmp("xmpp", "cluster", "join", c.without(p)[0].address)
		c.awaitMembers(c.nodes...)
	})
	t.Run("removed by the others meanwhile", func(t *testing.T) {
		p := follower()
		p.kill()
		rest := c.without(p)
		rest[0].mmp("xmpp", "cluster", "remove", p.address)
		c.awaitMembers(rest...)
		p.start()
		await(t, "the removed node knows it", func(context.Context) error {
			if out := p.status(); !strings.Contains(out, "not a member of a cluster") {
				return errors.New(out)
			}
			return nil
		})
		// It has kept its copy of the accounts.
		p.mmpWith("Y\n", "xmpp", "cluster", "join", rest[1].address)
		c.awaitMembers(c.nodes...)
	})
	if out := c.nodes[2].mmp("xmpp", "user", "list"); !strings.Contains(out, "ada") || !strings.Contains(out, "bob") {
		t.Errorf("accounts after all that:\n%s", out)
	}
}
