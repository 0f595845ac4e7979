package node_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/pki/opensslca"
	"parley/services/xmpp/realclient"
)

// database is the node's, behind its control socket.
func (p *program) database() *databaseapi.Client {
	return databaseapi.NewClient(config.FolderPaths(p.state).Socket("database"))
}

// databaseFiles puts what 'database cluster certs' takes on each node, made as
// the operator makes it.
func (c *cluster) databaseFiles(ca *opensslca.CA) {
	c.t.Helper()
	first := c.nodes[0]
	copyFile(c.t, ca.Certificate(), c.file("dbca.cer"))
	names := []string{c.file("dbca.cer")}
	for base, name := range map[string]string{"dbclusterserver": "db." + domain, "dbclusterclient": "postgres"} {
		first.mmp("pki", "csr", base, "CN:"+name)
		ca.Sign(first.file(base+".csr"), c.file(base+".cer"))
		copyFile(c.t, first.file(base+".key"), c.file(base+".key"))
		names = append(names, c.file(base+".cer"), c.file(base+".key"))
	}
	first.put(c.file("dbca.cer"), c.file("dbclusterserver.cer"), c.file("dbclusterclient.cer"))
	for _, p := range c.nodes[1:] {
		p.put(names...)
	}
}

// databaseReady does what comes before initialize and join.
func (c *cluster) databaseReady(ps ...*program) {
	c.t.Helper()
	for _, p := range ps {
		p.mmp("database", "cluster", "localnode", "a")
		p.mmp("database", "cluster", "certs", "dbclusterserver.key", "dbclusterserver.cer", "dbclusterclient.key", "dbclusterclient.cer", "dbca.cer")
	}
}

// awaitDatabase waits until p's database works or not, with as many nodes.
func awaitDatabase(t *testing.T, p *program, works bool, nodes int) {
	t.Helper()
	await(t, fmt.Sprintf("database of %s to work: %v", p.address, works), func(ctx context.Context) error {
		s, err := p.database().Status(ctx)
		if err != nil {
			return err
		}
		for _, n := range s.Nodes {
			if works && (!n.Connected && len(s.Nodes) == nodes || n.Learner) {
				err = fmt.Errorf("%s is not in sync", n.Address)
			}
		}
		if (s.Trouble == "") != works || len(s.Nodes) != nodes {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
}

// awaitBridges waits until p's database lists these.
func awaitBridges(t *testing.T, p *program, want string) {
	t.Helper()
	await(t, "Call Bridges "+want+" on "+p.address, func(ctx context.Context) error {
		rs, err := p.database().List(ctx, databaseapi.Bridges)
		var got []string
		for _, r := range rs {
			got = append(got, r.Key)
		}
		if err == nil && strings.Join(got, " ") != want {
			err = errors.New(strings.Join(got, " "))
		}
		return err
	})
}

// databaseAlarm begins the condition that the database takes no changes.
const databaseAlarm = "Database takes no changes"

// awaitAlarm waits until the console shows a fault condition, among others, or
// does not any more.
func (p *program) awaitAlarm(want string, there bool) {
	p.t.Helper()
	await(p.t, fmt.Sprintf("alarm %q: %v", want, there), func(context.Context) error {
		if out := p.mmp("alarms"); strings.Contains(out, want) != there {
			return errors.New(out)
		}
		return nil
	})
}

// TestDatabase: a database of two nodes and a third that connects; what the
// Call Bridges write is on all; and whatever becomes of the database, nobody who
// chats notices.
func TestDatabase(t *testing.T) {
	c, secrets := newCluster(t, 3, "ada", "bob")
	one, two, three := c.nodes[0], c.nodes[1], c.nodes[2]
	ca := opensslca.New(t)
	c.databaseFiles(ca)
	c.databaseReady(one, two)
	one.mmp("database", "cluster", "initialize")
	two.mmp("dns", "add", "rr", "db1."+domain+". 60 IN A "+one.address)
	two.mmpWith("Y\n", "database", "cluster", "join", "db1."+domain)
	three.mmp("database", "cluster", "certs", "dbclusterclient.key", "dbclusterclient.cer", "dbca.cer")
	three.mmp("database", "cluster", "connect", two.address)
	for _, p := range c.nodes {
		awaitDatabase(t, p, true, 2)
	}
	secrets = append(secrets, three.register("cb3"))
	for i, p := range c.nodes {
		p.mmp("callbridge", "xmpp", "name", []string{"cb1", "cb2", "cb9"}[i])
		p.mmp("callbridge", "xmpp", "domain", domain)
		p.mmp("callbridge", "xmpp", "server", p.address)
		p.mmp("callbridge", "trust", "certall.cer")
		p.mmpWith(secrets[i]+"\n", "callbridge", "xmpp", "secret")
		p.mmp("callbridge", "enable")
	}
	for _, p := range c.nodes {
		awaitBridges(t, p, "cb1 cb2 cb9")
	}
	three.mmp("callbridge", "xmpp", "name", "cb3")
	for _, p := range c.nodes {
		awaitBridges(t, p, "cb1 cb2 cb3")
	}
	if out := three.mmp("database", "cluster", "status"); !strings.Contains(out, "Call Bridges             : cb1 (cb1), cb2 (cb2), cb3 (cb3)\n") {
		t.Errorf("database cluster status:\n%s\nwant the Call Bridges and their nodes", out)
	}

	ada := c.client(t, realclient.Slixmpp, "ada", two)
	bob := c.client(t, realclient.Slixmpp, "bob", three)
	ada.AwaitOnline()
	bob.AwaitOnline()
	row := startTraffic(t, "on", ada, bob, "bob", 20*time.Millisecond)
	row.awaitMore(20)

	// Nobody trusts anybody any more, until the files are back.
	begun := time.Now()
	strange := opensslca.New(t)
	copyFile(t, strange.Certificate(), c.file("strange.cer"))
	for _, p := range c.nodes {
		copyFile(t, c.file("strange.cer"), p.file("dbca.cer"))
	}
	awaitDatabase(t, one, false, 2)
	awaitDatabase(t, two, false, 2)
	awaitDatabase(t, three, false, 0)
	if err := three.database().Put(t.Context(), "t", databaseapi.Record{Key: "k", Value: []byte("1")}); err == nil {
		t.Error("Put without a majority = nil; want an error")
	}
	for _, p := range c.nodes {
		p.awaitAlarm(databaseAlarm, true)
	}
	row.awaitMore(20)
	for _, p := range c.nodes {
		copyFile(t, ca.Certificate(), p.file("dbca.cer"))
	}
	for _, p := range c.nodes {
		awaitDatabase(t, p, true, 2)
	}
	if err := three.database().Put(t.Context(), "t", databaseapi.Record{Key: "k", Value: []byte(`{"a":1}`)}); err != nil {
		t.Errorf("Put with a majority again = %v", err)
	}
	for _, p := range c.nodes {
		p.awaitAlarm(databaseAlarm, false)
	}
	t.Logf("longest gap in the chat while the database was gone: %v", row.gap(begun))
	await(t, "the record on the replica", func(ctx context.Context) error {
		if rs, err := two.database().List(ctx, "t"); err != nil || len(rs) != 1 {
			return errors.Join(fmt.Errorf("records %v", rs), err)
		}
		return nil
	})

	// The primary dies, and with it the database's majority; of the chat's
	// servers two are left.
	begun = time.Now()
	one.kill()
	awaitDatabase(t, two, false, 2)
	row.awaitMore(20)
	t.Logf("longest gap in the chat when a node died: %v", row.gap(begun))
	if rs, err := three.database().List(t.Context(), "t"); err != nil || len(rs) != 1 || string(rs[0].Value) != `{"a":1}` {
		t.Errorf("List without a majority = %v, %v; want what was put", rs, err)
	}
	one.start()
	for _, p := range c.nodes {
		awaitDatabase(t, p, true, 2)
	}
	row.finish()
	untouched(t, ada, bob)
}
