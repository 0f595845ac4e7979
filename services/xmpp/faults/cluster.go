package faults

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"parley/services/xmpp/client"
	"parley/services/xmpp/xmppapi"
)

// Options of a cluster.
type Options struct {
	// Binary is the program parley.
	Binary string
	// Dir is a new folder for all that is written; its path must be short,
	// as sockets' are.
	Dir   string
	Nodes int
	// Disks gives each node a file system of its own.
	Disks bool
	// Users are accounts u0, u1 and so on.
	Users int
	// Log takes a line about each step.
	Log func(format string, args ...any)
}

// Domain is the cluster's.
const Domain = "tptac9.com"

// Cluster is some nodes that an operator has set up as the article says.
type Cluster struct {
	Nodes []*Node
	// Roots are of the authority that signed the certificate.
	Roots *x509.CertPool

	opts    Options
	place   Place
	network *Network
	// secrets of the Call Bridges, which a node that joins is given.
	secrets map[string]string
}

// Start makes the nodes, and the cluster of them.
func Start(ctx context.Context, place Place, opts Options) (*Cluster, error) {
	if opts.Log == nil {
		opts.Log = func(string, ...any) {}
	}
	c := &Cluster{opts: opts, place: place, Roots: x509.NewCertPool(), secrets: make(map[string]string)}
	var err error
	if c.network, err = NewNetwork(place); err != nil {
		return nil, err
	}
	if err := c.start(ctx); err != nil {
		c.Keep()
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	for i := range c.opts.Nodes {
		address, prefix, err := c.network.Add(i + 1)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("cb%d", i+1)
		state := filepath.Join(c.opts.Dir, name)
		var d *Disk
		if c.opts.Disks && (c.place.Root || c.place.Network) {
			if d, err = NewDisk(c.place, state); err != nil {
				return fmt.Errorf("disk of %s: %w", name, err)
			}
		} else if err := os.Mkdir(state, 0o700); err != nil {
			return err
		}
		n, err := newNode(c.opts.Binary, name, address, state, prefix, d)
		if err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, n)
		if err := n.Start(ctx); err != nil {
			return err
		}
	}
	if err := c.certificates(ctx); err != nil {
		return err
	}
	for i, n := range c.Nodes {
		if err := c.configure(ctx, n); err != nil {
			return err
		}
		var err error
		if i == 0 {
			err = c.found(ctx, n)
		} else {
			err = c.join(ctx, n, c.Nodes[0])
		}
		if err != nil {
			return err
		}
	}
	if err := c.users(ctx); err != nil {
		return err
	}
	return c.Healthy(ctx)
}

// Close ends all that was started; the folder stays.
func (c *Cluster) Close() {
	c.network.heal()
	for _, n := range c.Nodes {
		n.Thaw()
		n.Kill()
		n.log.Close()
		if n.disk != nil {
			n.disk.Close()
		}
	}
	c.network.Close()
}

// Keep copies the state folders that would be gone with their file systems, to
// the folder of the cluster.
func (c *Cluster) Keep() {
	for _, n := range c.Nodes {
		if n.disk != nil {
			n.disk.free()
			command("", "cp", "-a", n.state, n.state+".kept")
		}
	}
}

// setUp is what all nodes are told; the files are there by then.
var setUp = [][]string{
	{"xmpp", "domain", Domain},
	{"xmpp", "listen", "a"},
	{"xmpp", "certs", "abhiall.key", "abhiall.cer", "certall.cer"},
}

// certificates has the first node make a key and a request, openssl sign it,
// and all nodes get the result.
func (c *Cluster) certificates(ctx context.Context) error {
	first := c.Nodes[0]
	names := []string{Domain}
	for _, n := range c.Nodes {
		names = append(names, n.Name+"."+Domain)
	}
	if _, err := first.console(ctx, "", "pki", "csr", "abhiall", "CN:"+Domain, "subAltName:"+strings.Join(names, ",")); err != nil {
		return err
	}
	at := func(name string) string { return filepath.Join(c.opts.Dir, name) }
	files := filepath.Join(first.state, "files")
	for _, args := range [][]string{
		{"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=Test CA", "-keyout", at("ca.key"), "-out", at("certall.cer")},
		{"x509", "-req", "-in", filepath.Join(files, "abhiall.csr"), "-CA", at("certall.cer"), "-CAkey", at("ca.key"), "-CAcreateserial",
			"-days", "20", "-copy_extensions", "copy", "-out", at("abhiall.cer")},
		{"rsa", "-in", filepath.Join(files, "abhiall.key"), "-out", at("abhiall.key")},
	} {
		if err := command("", "openssl", args...); err != nil {
			return err
		}
	}
	root, err := os.ReadFile(at("certall.cer"))
	if err != nil || !c.Roots.AppendCertsFromPEM(root) {
		return fmt.Errorf("no certificate authority: %w", err)
	}
	for i, n := range c.Nodes {
		put := []string{at("abhiall.cer"), at("certall.cer")}
		if i > 0 {
			put = append(put, at("abhiall.key"))
		}
		if err := n.put(ctx, put...); err != nil {
			return err
		}
		if _, err := n.console(ctx, "", "hostname", n.Name); err != nil {
			return err
		}
	}
	return nil
}

// run types commands.
func (n *Node) run(ctx context.Context, commands ...[]string) error {
	for _, words := range commands {
		if _, err := n.console(ctx, "", words...); err != nil {
			return err
		}
	}
	return nil
}

// clustered says that there is more than one node; one alone is set up as
// before there were clusters.
func (c *Cluster) clustered() bool { return c.opts.Nodes > 1 }

// configure is steps 3 and 4.
func (c *Cluster) configure(ctx context.Context, n *Node) error {
	if err := n.run(ctx, setUp...); err != nil {
		return err
	}
	if !c.clustered() {
		return nil
	}
	return n.run(ctx, []string{"xmpp", "cluster", "trust", "abhiall.cer"})
}

// found is steps 5 and 6.
func (c *Cluster) found(ctx context.Context, n *Node) error {
	for _, other := range c.Nodes {
		out, err := n.console(ctx, "", "xmpp", "callbridge", "add", other.Name)
		if err != nil {
			return err
		}
		_, secret, ok := strings.Cut(out, "Secret     : ")
		if !ok {
			return fmt.Errorf("callbridge add printed no secret: %s", out)
		}
		secret, _, _ = strings.Cut(secret, "\n")
		c.secrets[other.Name] = secret
	}
	if !c.clustered() {
		return n.run(ctx, []string{"xmpp", "enable"})
	}
	if err := n.run(ctx, []string{"xmpp", "disable"}, []string{"xmpp", "cluster", "enable"}); err != nil {
		return err
	}
	if err := c.patiently(ctx, n, "xmpp", "cluster", "initialize"); err != nil {
		return err
	}
	return n.run(ctx, []string{"xmpp", "enable"})
}

// patiently types a command again while its answer is to try again, as an
// operator would.
func (c *Cluster) patiently(ctx context.Context, n *Node, words ...string) error {
	end := time.Now().Add(15 * time.Second)
	for {
		_, err := n.console(ctx, "", words...)
		if err == nil || !strings.Contains(err.Error(), "try again") || time.Now().After(end) {
			return err
		}
		c.opts.Log("%v", err)
		time.Sleep(500 * time.Millisecond)
	}
}

// join is steps 7 and 8.
func (c *Cluster) join(ctx context.Context, n, to *Node) error {
	for name, secret := range c.secrets {
		if _, err := n.console(ctx, secret+"\n", "xmpp", "callbridge", "add-secret", name); err != nil {
			return err
		}
	}
	return n.run(ctx, []string{"xmpp", "disable"}, []string{"xmpp", "cluster", "enable"}, []string{"xmpp", "enable"},
		[]string{"xmpp", "cluster", "join", to.Address})
}

func user(i int) string     { return fmt.Sprintf("u%d", i) }
func password(i int) string { return "secret of " + user(i) }

func (c *Cluster) users(ctx context.Context) error {
	if c.opts.Users == 0 {
		return nil
	}
	var b strings.Builder
	for i := range c.opts.Users {
		fmt.Fprintf(&b, "%s,%s\n", user(i), password(i))
	}
	file := filepath.Join(c.opts.Dir, "users.csv")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return err
	}
	if err := c.Nodes[0].put(ctx, file); err != nil {
		return err
	}
	if err := c.Nodes[0].run(ctx, []string{"xmpp", "user", "import", "users.csv"}); err != nil {
		return err
	}
	// A follower hears of it a moment later.
	for _, n := range c.Nodes {
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			users, err := n.API.Users(ctx)
			if err == nil && len(users) == c.opts.Users {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("%s knows %d of %d accounts, 10 s after their import, error %v", n.Name, len(users), c.opts.Users, err)
			}
		}
	}
	return nil
}

// healthyTime is how long a cluster has to be whole again.
const healthyTime = 60 * time.Second

// caughtUp is how many entries a node may lag, as it does for a moment under
// load.
const caughtUp = 200

// Healthy waits until each node says that all are members, reachable and
// caught up, and all name the same leader.
func (c *Cluster) Healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthyTime)
	defer cancel()
	var last error
	for {
		err := c.check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster is not whole: %w", last)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *Cluster) check(ctx context.Context) error {
	leader := ""
	for _, n := range c.Nodes {
		st, err := n.status(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
		if !st.Running {
			return fmt.Errorf("%s: the doors are shut: %s", n.Name, st.Trouble)
		}
		if !c.clustered() {
			leader = n.Client()
			continue
		}
		cl, err := n.cluster(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
		if !cl.Member || !cl.Leader || len(cl.Nodes) != len(c.Nodes) {
			return fmt.Errorf("%s: member %t, leader %t, of %d nodes", n.Name, cl.Member, cl.Leader, len(cl.Nodes))
		}
		for _, m := range cl.Nodes {
			if m.Learner || !m.Reachable && !m.Self {
				return fmt.Errorf("%s: %s is learner %t, reachable %t", n.Name, m.Address, m.Learner, m.Reachable)
			}
			if m.Lag > caughtUp {
				return fmt.Errorf("%s: %s lags by %d entries", n.Name, m.Address, m.Lag)
			}
			if m.Leader && leader == "" {
				leader = m.Address
			}
			if m.Leader && leader != m.Address {
				return fmt.Errorf("%s: the leader is %s, not %s", n.Name, m.Address, leader)
			}
		}
	}
	if leader == "" {
		return errors.New("nobody leads")
	}
	return nil
}

// apiTime is how long a control socket has: a frozen node's takes for ever.
const apiTime = 2 * time.Second

func (n *Node) status(ctx context.Context) (xmppapi.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTime)
	defer cancel()
	return n.API.Status(ctx)
}

func (n *Node) cluster(ctx context.Context) (xmppapi.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTime)
	defer cancel()
	return n.API.Cluster(ctx)
}

// Leader is the node that leads, by its own word; it waits for one.
func (c *Cluster) Leader(ctx context.Context) (*Node, error) {
	ctx, cancel := context.WithTimeout(ctx, healthyTime)
	defer cancel()
	for {
		for _, n := range c.Nodes {
			if st, err := n.status(ctx); err == nil && st.State == "LEADER" && st.Running {
				return n, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("nobody leads")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Others are all nodes but n.
func (c *Cluster) Others(n *Node) []*Node {
	var others []*Node
	for _, o := range c.Nodes {
		if o != n {
			others = append(others, o)
		}
	}
	return others
}

// resource that clients ask for.
const resource = "r"

// Config is that of the client of account i, which begins at a node and, with
// roam, may go on to the others.
func (c *Cluster) Config(i int, at *Node, roam bool) client.Config {
	cfg := client.Config{
		Addresses: []string{at.Client()}, Domain: Domain, User: user(i), Password: password(i), Resource: resource, Roots: c.Roots,
		Attempt: 3 * time.Second,
	}
	if roam {
		for _, n := range c.Others(at) {
			cfg.Addresses = append(cfg.Addresses, n.Client())
		}
	}
	return cfg
}

// Build makes the program to test.
func Build(ctx context.Context, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", out, "parley/cmd/parley")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build parley: %w: %s", err, b)
	}
	return nil
}
