package node_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parley/services/config"
	"parley/services/pki/opensslca"
	"parley/services/xmpp/realclient"
	"parley/services/xmpp/xmppapi"
)

// cluster is nodes that serve one domain, each a process of its own, set up
// through the console as the article has it.
type cluster struct {
	t     *testing.T
	nodes []*program
	ca    *opensslca.CA
	// dir holds the files that the operator moves; root is the CA's.
	dir  string
	root string
	// trust is the name of the trust bundle.
	trust string
}

// lastSubnet keeps the clusters of a test run apart, the number of the process
// those of several runs.
var lastSubnet atomic.Uint32

// newNodes returns n nodes that run, with their files and the article's steps
// 1 to 4 done, in no cluster and disabled. They share a certificate, or have
// one each, all of which are the trust bundle.
func newNodes(t *testing.T, n int, shared bool) *cluster {
	t.Helper()
	subnet := fmt.Sprintf("127.%d.%d.", 100+os.Getpid()%100, 100+lastSubnet.Add(1))
	var programs []*program
	for i := range n {
		p := newProgram(t)
		p.address = fmt.Sprintf("%s%d", subnet, i+1)
		programs = append(programs, p)
	}
	return prepare(t, programs, shared)
}

// prepare is newNodes of programs that have not started yet.
func prepare(t *testing.T, programs []*program, shared bool) *cluster {
	t.Helper()
	c := &cluster{t: t, nodes: programs, ca: opensslca.New(t), dir: t.TempDir(), trust: "abhiall.cer"}
	c.root = c.file("certall.cer")
	copyFile(t, c.ca.Certificate(), c.root)
	for i, p := range c.nodes {
		p.start()
		p.mmp("hostname", fmt.Sprintf("cb%d", i+1))
		if i == 0 || !shared {
			p.mmp("pki", "csr", "abhiall", "CN:"+domain, "subjectAltName:"+domain+",cb1."+domain+",cb2."+domain+",cb3."+domain)
			c.ca.Sign(p.file("abhiall.csr"), c.file("abhiall.cer"))
			copyFile(t, p.file("abhiall.key"), c.file("abhiall.key"))
			p.put(c.file("abhiall.cer"), c.root)
		} else {
			p.put(c.file("abhiall.key"), c.file("abhiall.cer"), c.root)
		}
	}
	if !shared {
		c.trust = "xmpp-cluster-bundle.crt"
		var certificates []string
		for _, p := range c.nodes {
			certificates = append(certificates, p.file("abhiall.cer"))
		}
		concatenate(t, c.file(c.trust), certificates...)
		for _, p := range c.nodes {
			p.put(c.file(c.trust))
		}
	}
	for _, p := range c.nodes {
		c.configure(p)
	}
	return c
}

// concatenate writes files into one.
func concatenate(t *testing.T, to string, from ...string) {
	t.Helper()
	var all []byte
	for _, f := range from {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	if err := os.WriteFile(to, all, 0o600); err != nil {
		t.Fatal(err)
	}
}

// newCluster returns n members and the secrets of the Call Bridges cb1 and cb2.
func newCluster(t *testing.T, n int, users ...string) (c *cluster, secrets []string) {
	t.Helper()
	c = newNodes(t, n, true)
	return c, c.unite(users...)
}

// unite makes members of prepared nodes.
func (c *cluster) unite(users ...string) (secrets []string) {
	t, n := c.t, len(c.nodes)
	t.Helper()
	first := c.nodes[0]
	for _, b := range []string{"cb1", "cb2"} {
		secrets = append(secrets, first.register(b))
	}
	c.found(first)
	for _, p := range c.nodes[1:] {
		p.mmpWith(secrets[0]+"\n", "xmpp", "callbridge", "add-secret", "cb1")
		c.join(p, first)
	}
	for i, u := range users {
		c.nodes[i%n].mmpWith(strings.Repeat("secret of "+u+"\n", 2), "xmpp", "user", "add", u)
	}
	c.awaitMembers(c.nodes...)
	return secrets
}

// file is a path among what the operator moves.
func (c *cluster) file(name string) string { return filepath.Join(c.dir, name) }

// file is a path in the node's SFTP root.
func (p *program) file(name string) string { return filepath.Join(p.state, "files", name) }

// configure is the article's steps 3 and 4.
func (c *cluster) configure(p *program) {
	c.t.Helper()
	p.mmp("xmpp", "domain", domain)
	p.mmp("xmpp", "listen", "a")
	p.mmp("xmpp", "certs", "abhiall.key", "abhiall.cer", "certall.cer")
	p.mmp("xmpp", "cluster", "trust", c.trust)
}

// found is the article's step 6.
func (c *cluster) found(p *program) {
	c.t.Helper()
	p.mmp("xmpp", "cluster", "enable")
	p.mmp("xmpp", "cluster", "initialize")
	p.mmp("xmpp", "enable")
}

// join is the end of the article's steps 7 and 8, by way of any member.
func (c *cluster) join(p, by *program) {
	c.t.Helper()
	p.mmp("xmpp", "cluster", "enable")
	p.mmp("xmpp", "enable")
	p.mmp("xmpp", "cluster", "join", by.address)
}

func (p *program) api() *xmppapi.Client {
	return xmppapi.NewClient(config.FolderPaths(p.state).Socket("xmpp"))
}

// await repeats f until it has no error. Its limit is for machines that do other
// things for seconds.
func await(t *testing.T, what string, f func(ctx context.Context) error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		err := f(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// awaitMembers waits until all of ps take just them for the members, reach
// each other, and serve clients.
func (c *cluster) awaitMembers(ps ...*program) {
	c.t.Helper()
	c.awaitAmong(ps, ps)
}

// awaitAmong waits until the living serve, and take all of members for such.
func (c *cluster) awaitAmong(living, members []*program) {
	c.t.Helper()
	var want []string
	for _, p := range members {
		want = append(want, p.address+":5222")
	}
	slices.Sort(want)
	for _, p := range living {
		await(c.t, p.address+" serves with "+strings.Join(want, ", "), func(ctx context.Context) error {
			cl, err := p.api().Cluster(ctx)
			if err != nil {
				return err
			}
			var got []string
			for _, n := range cl.Nodes {
				got = append(got, n.Address)
				alive := slices.ContainsFunc(living, func(p *program) bool { return p.address+":5222" == n.Address })
				if n.Learner || n.Reachable != alive {
					err = fmt.Errorf("%s is a learner (%v), or reachable (%v); it lives: %v", n.Address, n.Learner, n.Reachable, alive)
				}
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				return fmt.Errorf("members %v", got)
			}
			if err == nil && !cl.Leader {
				err = errors.New("no leader")
			}
			if err != nil {
				return err
			}
			if st, err := p.api().Status(ctx); err != nil || !st.Running {
				return fmt.Errorf("not running: %s %v", st.Trouble, err)
			}
			return nil
		})
	}
}

// leader is who leads, in the eyes of all of ps, or of all nodes.
func (c *cluster) leader(ps ...*program) *program {
	c.t.Helper()
	if len(ps) == 0 {
		ps = c.nodes
	}
	var leader *program
	await(c.t, "one leader", func(ctx context.Context) error {
		var seen []string
		for _, p := range ps {
			cl, err := p.api().Cluster(ctx)
			if err != nil {
				return err
			}
			for _, n := range cl.Nodes {
				if n.Leader {
					seen = append(seen, n.Address)
				}
			}
		}
		at := -1
		if len(seen) == len(ps) && len(slices.Compact(slices.Clone(seen))) == 1 {
			at = slices.IndexFunc(ps, func(p *program) bool { return p.address+":5222" == seen[0] })
		}
		if at < 0 {
			return fmt.Errorf("seen: %v", seen)
		}
		leader = ps[at]
		return nil
	})
	return leader
}

// without is the nodes other than gone.
func (c *cluster) without(gone ...*program) []*program {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(p *program) bool { return slices.Contains(gone, p) })
}

// status is what xmpp cluster status prints.
func (p *program) status() string {
	p.t.Helper()
	return p.mmp("xmpp", "cluster", "status")
}

// awaitStatus waits until that says something: a leader that has just been lost
// is all that it speaks of.
func (p *program) awaitStatus(t *testing.T, what, want string) {
	t.Helper()
	await(t, what+", "+p.address, func(context.Context) error {
		if out := p.status(); !strings.Contains(out, want) {
			return fmt.Errorf("no %q in\n%s", want, out)
		}
		return nil
	})
}

// freeze stops the process where it is, thaw lets it go on.
func (p *program) freeze() { p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *program) thaw()   { p.cmd.Process.Signal(syscall.SIGCONT) }

// client starts one on the first of ps; it comes back to any of them.
func (c *cluster) client(t *testing.T, library realclient.Library, user string, ps ...*program) *realclient.Client {
	t.Helper()
	cfg := c.clientConfig(library, user, ps...)
	return realclient.Start(t, cfg)
}

func (c *cluster) clientConfig(library realclient.Library, user string, ps ...*program) realclient.Config {
	cfg := realclient.Config{
		Library: library, JID: user + "@" + domain, Password: "secret of " + user, Host: ps[0].address, Port: 5222, CA: c.root,
	}
	for _, p := range ps[1:] {
		cfg.Others = append(cfg.Others, p.address+":5222")
	}
	return cfg
}

// bridge starts a component of slixmpp on a node.
func (c *cluster) bridge(t *testing.T, name, secret string, p *program) *realclient.Client {
	t.Helper()
	return realclient.Start(t, realclient.Config{
		Library: realclient.Slixmpp, Component: true, JID: name + "." + domain, Password: secret, Host: p.address, Port: 5223, CA: c.root,
	})
}

func body(s string) func(realclient.Event) bool {
	return func(e realclient.Event) bool { return e.Event == "message" && e.Body == s }
}

// presenceOf is a presence of any resource of a user.
func presenceOf(user, kind string) func(realclient.Event) bool {
	return func(e realclient.Event) bool {
		return e.Event == "presence" && e.Type == kind && strings.HasPrefix(e.From, user+"@"+domain+"/")
	}
}

// lost matches what a client sees when it loses its stream.
func lost(e realclient.Event) bool {
	return slices.Contains([]string{"disconnected", "resumed", "stream-error"}, e.Event)
}
