package mmp

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"parley/services/account"
	"parley/services/config"
	"parley/services/database"
	"parley/services/database/databaseapi"
	"parley/services/problem"
)

func databaseFamily() family {
	need := account.Configure
	return family{name: "database", about: "the Call Bridges' database: one node's own, or a cluster", commands: []command{
		{
			usage: "database cluster status", summary: "nodes, files, and the last command",
			help: "Which nodes have a copy of the database and whether they can be reached, which of them takes the changes, the files in use, and what became of the last command.\n" +
				"A replica that is not in sync is catching up. Changes need a majority of the nodes; chat needs none of them.",
			example: "database cluster status", need: account.Console, run: databaseStatus,
		}, {
			usage: "database cluster localnode <interface>", args: []arg{interfaceArg}, summary: "set the interface that other nodes use",
			help:    "The nodes of the cluster reach this one on TCP port 5432 of this interface. It cannot be changed while the database is clustered.",
			example: "database cluster localnode a", need: need, run: func(c *call) error {
				if _, err := c.nic(c.text(0)); err != nil {
					return err
				}
				return c.changeDatabase(func(d *config.Document) error { d.Database.Interface = c.text(0); return nil })
			},
		}, {
			usage: "database cluster certs <client_key> <client_crt> <ca>", args: []arg{keyArg, certificateArg, fileWith(".crt", ".cer", ".pem", ".key")},
			summary: "certificates of a node that only connects",
			help: "Key and certificate by which this node asks the database of others, and the certificate of the authority that theirs are of. The client certificate's CN must be postgres, as in 'pki csr dbclusterclient CN:postgres'.\n" +
				"A node that is to have a copy of its own needs a server's key and certificate as well: give all five files.",
			example: "database cluster certs dbclusterclient.key dbclusterclient.cer ca.cer", need: need, run: func(c *call) error {
				return c.databaseCerts(config.Database{ClientKey: c.text(0), ClientCertificate: c.text(1), CA: c.text(2)})
			},
		}, {
			usage:   "database cluster certs <server_key> <server_crt> <client_key> <client_crt> <ca>",
			args:    []arg{keyArg, certificateArg, keyArg, certificateArg, certificateArg},
			summary: "certificates of a node with a copy",
			help: "Key and certificate that this node's database shows others; key and certificate by which it asks theirs, whose CN must be postgres; and the certificate of the authority that all of them are of. Who has a certificate of CN postgres of that authority has the database, so use an authority of your own.\n" +
				"They cannot be changed while the database is clustered; to renew them, put the new files by SFTP under the same names.",
			example: "database cluster certs dbclusterserver.key dbclusterserver.cer dbclusterclient.key dbclusterclient.cer ca.cer", need: need, run: func(c *call) error {
				return c.databaseCerts(config.Database{
					ServerKey: c.text(0), ServerCertificate: c.text(1), ClientKey: c.text(2), ClientCertificate: c.text(3), CA: c.text(4),
				})
			},
		}, {
			usage: "database cluster certs none", summary: "use no certificates",
			help:    "Takes back 'database cluster certs'. The files stay.",
			example: "database cluster certs none", need: need, run: func(c *call) error {
				return c.changeDatabase(func(d *config.Document) error {
					d.Database = config.Database{Interface: d.Database.Interface}
					return nil
				})
			},
		}, {
			usage: "database cluster initialize", summary: "make this node the first of a cluster",
			help: "This node's database becomes a cluster of one, with what it has; others then 'database cluster join' it. Interface and certificates must have been set.\n" +
				"Where most nodes of a cluster are lost for good, it makes this one the only one, after a question.",
			example: "database cluster initialize", need: need, run: databaseInitialize,
		}, {
			usage: "database cluster join <primary>", args: []arg{databaseArg}, summary: "have a copy of a cluster's data here",
			help:    "Replaces what this node's database has by the data of the cluster, and keeps it the same from then on. Any node of the cluster may be named. Three nodes may have a copy; more can 'database cluster connect'.",
			example: "database cluster join 10.106.81.30", need: need, run: databaseJoin,
		}, {
			usage: "database cluster connect <node>", args: []arg{databaseArg}, summary: "use a cluster's data without a copy",
			help:    "This node's Call Bridge uses the cluster's database over the network. What this node's own database has stays, unused, until 'database cluster remove'.",
			example: "database cluster connect 10.106.81.30", need: need, run: func(c *call) error {
				return c.done(c.Database.Connect(c.ctx, c.text(0)))
			},
		}, {
			usage: "database cluster remove [<node>]", args: []arg{databaseArg}, summary: "leave the cluster, or take out a node that is lost",
			help:    "Takes this node out of its cluster, or ends its connection to one; it keeps a copy if it had one. The replicas go first, the primary last. With an address it takes out a node that is gone for good.",
			example: "database cluster remove", need: need, run: databaseRemove,
		}, {
			usage: "database cluster clear_error", summary: "forget that the last command failed",
			help:    "Takes a command that failed from 'database cluster status'. What is wrong now stays there until it is mended.",
			example: "database cluster clear_error", need: need, run: func(c *call) error {
				return c.done(c.Database.ClearError(c.ctx))
			},
		}, {
			usage: "database cluster upgrade_schema", summary: "see that the database takes changes",
			help:    "This database has no schema that an upgrade changes, so there is nothing to do but to see that it works: the command is for procedures that have it as their last step.",
			example: "database cluster upgrade_schema", need: need, run: func(c *call) error {
				s, err := c.Database.Status(c.ctx)
				if err != nil {
					return err
				}
				if s.Trouble != "" {
					return problem.New(problem.DatabaseNoLeader)
				}
				return c.out.success("the database works, and has no schema to upgrade")
			},
		},
	}}
}

// databaseArg is a node whose database is meant.
var databaseArg = nodeAt(strconv.Itoa(database.Port))

// changeDatabase changes the database's configuration; if the service refuses
// it, nothing has changed.
func (c *call) changeDatabase(change func(*config.Document) error) error {
	return c.done(c.config.Transact(change, func() error { return c.Database.Reload(c.ctx) }))
}

func (c *call) databaseCerts(files config.Database) error {
	warnings, err := database.CheckFiles(c.Files, files, c.Now())
	if err != nil {
		return err
	}
	for _, w := range warnings {
		c.out.warn(w)
	}
	return c.changeDatabase(func(d *config.Document) error {
		files.Interface = d.Database.Interface
		d.Database = files
		return nil
	})
}

func databaseInitialize(c *call) error {
	s, err := c.Database.Status(c.ctx)
	if err != nil {
		return err
	}
	again := s.Mode == databaseapi.Member && s.Trouble != "" && !s.Majority()
	if again {
		err := c.confirm("This makes this node the only one of its database cluster, with what it has. The others (" + otherDatabases(s) +
			") must be removed there and join again; what only they have is lost.")
		if err != nil {
			return err
		}
	}
	return c.done(c.Database.Initialize(c.ctx, again))
}

func databaseJoin(c *call) error {
	s, err := c.Database.Status(c.ctx)
	if err != nil {
		return err
	}
	node := c.text(0)
	if s.Mode != databaseapi.Alone {
		return problem.New(problem.DatabaseClustered, "command", "database cluster join "+node)
	}
	d, err := c.config.Load()
	if err != nil {
		return err
	}
	if err := database.Missing(d.Database, true); err != nil {
		return err
	}
	if err := c.confirm("This replaces all that this node's database has by the data of the cluster of " + node + "."); err != nil {
		return err
	}
	return c.done(c.Database.Join(c.ctx, node))
}

func databaseRemove(c *call) error {
	s, err := c.Database.Status(c.ctx)
	if err != nil {
		return err
	}
	if s.Mode == databaseapi.Alone {
		return problem.New(problem.DatabaseAlone)
	}
	self := slices.IndexFunc(s.Nodes, func(n databaseapi.Node) bool { return n.Self })
	if c.text(0) == "" && self >= 0 && s.Nodes[self].Primary && len(s.Nodes) > 1 {
		return problem.New(problem.DatabasePrimary, "node", s.Nodes[self].Address, "replicas", otherDatabases(s))
	}
	if s.Mode == databaseapi.Connected && c.text(0) != "" {
		// It knows where that is done.
		return c.Database.Remove(c.ctx, c.text(0))
	}
	question := "This takes this node out of its database cluster. It keeps a copy of the data, and is on its own then."
	switch node := c.text(0); {
	case node != "":
		question = "This takes " + node + " out of the database cluster."
	case s.Mode == databaseapi.Connected:
		question = "This ends the connection to the database cluster. This node's own database is used again."
	}
	if err := c.confirm(question); err != nil {
		return err
	}
	return c.done(c.Database.Remove(c.ctx, c.text(0)))
}

func otherDatabases(s databaseapi.Status) string {
	var others []string
	for _, n := range s.Nodes {
		if !n.Self {
			others = append(others, n.Address)
		}
	}
	return orNone(strings.Join(others, ", "))
}

// databaseStatus is the original's, to the letter; what it never told follows.
func databaseStatus(c *call) error {
	d, err := c.config.Load()
	if err != nil {
		return err
	}
	s, err := c.Database.Status(c.ctx)
	if err != nil {
		return err
	}
	state := "Enabled"
	switch {
	case s.Mode == databaseapi.Alone:
		state = "Disabled"
	case s.Trouble != "":
		state = "Error"
	}
	line := func(indent, label, value string) {
		fmt.Fprintf(c.out, "%-24s : %s\n", indent+label, orNone(value))
	}
	line("", "Status", state)
	if len(s.Nodes) > 0 {
		fmt.Fprintln(c.out, "Nodes:")
	}
	for _, n := range s.Nodes {
		name := n.Address
		if n.Self {
			name += " (me)"
		}
		line("    ", name, databaseNode(n, s.InUse != ""))
	}
	if s.Mode != databaseapi.Alone {
		line("", "Node in use", s.InUse)
	}
	f := d.Database
	line("", "Interface", f.Interface)
	fmt.Fprintln(c.out, "Certificates")
	for _, r := range []row{
		{"Server Key", f.ServerKey}, {"Server Certificate", f.ServerCertificate},
		{"Client Key", f.ClientKey}, {"Client Certificate", f.ClientCertificate}, {"CA Certificate", f.CA},
	} {
		line("    ", r.label, r.value)
	}
	last := ""
	if s.Last.Text != "" {
		last = "'" + s.Last.Text + "' (" + map[bool]string{true: "Success", false: "Failed"}[s.Last.OK] + ")"
	}
	line("", "Last command", last)
	deployment := "not known"
	if s.Mode != databaseapi.Connected || len(s.Nodes) > 0 {
		deployment = c.deployment()
	}
	line("", "Call Bridges", deployment)
	if next := nextForDatabase(f, s); next != "" {
		fmt.Fprintf(c.out, "\n%s\n", next)
	}
	return nil
}

// databaseNode is how a node is. Without a primary there is nothing to be in sync
// with.
func databaseNode(n databaseapi.Node, primary bool) string {
	words := "Connected"
	if !n.Connected {
		words = "Disconnected"
	}
	switch {
	case n.Primary:
		return words + " Primary"
	case !n.Connected, !primary:
		return words + " Replica"
	case n.Learner:
		return words + " Replica ( Joining )"
	case n.Behind > 0:
		return fmt.Sprintf("%s Replica ( Behind by %d )", words, n.Behind)
	}
	return words + " Replica ( In Sync )"
}

// deployment names the Call Bridges that share the database.
func (c *call) deployment() string {
	records, err := c.Database.List(c.ctx, databaseapi.Bridges)
	if err != nil {
		return "not known"
	}
	var names []string
	for _, r := range records {
		var b databaseapi.Bridge
		if json.Unmarshal(r.Value, &b) == nil && b.Host != "" {
			names = append(names, r.Key+" ("+b.Host+")")
		} else {
			names = append(names, r.Key)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// nextForDatabase says what to do next, "" where all is well.
func nextForDatabase(f config.Database, s databaseapi.Status) string {
	var gone []string
	voters, where := 0, "here"
	for _, n := range s.Nodes {
		switch {
		case !n.Connected:
			gone = append(gone, n.Address)
		case s.Mode == databaseapi.Connected:
			where = "on " + n.Address
		}
		voters++
	}
	switch {
	case s.Activity != "":
		return "This node is joining a cluster: " + s.Activity
	case s.Mode == databaseapi.Alone && f.ClientKey == "" && f.Interface == "":
		return "To share the database with other nodes, next type 'database cluster localnode <interface>'."
	case s.Mode == databaseapi.Alone && f.ClientKey == "":
		return "Next type 'database cluster certs <server_key> <server_crt> <client_key> <client_crt> <ca>'."
	case s.Mode == databaseapi.Alone && f.ServerKey == "":
		return "Next type 'database cluster connect <node>'."
	case s.Mode == databaseapi.Alone && f.Interface == "":
		return "Next type 'database cluster localnode <interface>'."
	case s.Mode == databaseapi.Alone:
		return "If this is the first node, next type 'database cluster initialize'; otherwise 'database cluster join <primary>'."
	case s.Trouble != "" && len(s.Nodes) == 0:
		return "WARNING: " + s.Trouble
	case s.Trouble != "" && s.Majority():
		return "WARNING: the database takes no changes at the moment: enough of its nodes can be reached, and they are about to agree on a primary. Type 'database cluster status' again in a few seconds."
	case s.Trouble != "":
		return "WARNING: the database takes no changes: too few of its nodes reach each other. Start " + strings.Join(gone, " and ") +
			" again, or mend the network. If they are lost for good, type 'database cluster initialize' " + where + ". Chat goes on."
	case len(gone) > 0 && s.Mode == databaseapi.Connected:
		return "Start " + strings.Join(gone, " and ") + " again, or, where it is gone for good, type 'database cluster remove " + gone[0] + "' on " + s.InUse + "."
	case len(gone) > 0:
		return "Start " + strings.Join(gone, " and ") + " again, or, where it is gone for good, type 'database cluster remove " + gone[0] + "'."
	case voters == 1:
		return "WARNING: only this node has the data. Have two more join: type 'database cluster join " + s.InUse + "' there."
	case voters == 2:
		return "WARNING: two nodes are worse than one: each of them is needed. Have a third join: type 'database cluster join " + s.InUse + "' there."
	}
	return ""
}
