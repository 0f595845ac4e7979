package mmptest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"parley/services/config"
	"parley/services/database"
	"parley/services/database/databaseapi"
	"parley/services/problem"
)

// Database is the twin of the Call Bridges' database on one node of a site.
type Database struct {
	Config *config.Store

	site    *Site
	address string
	mode    databaseapi.Mode
	taken   config.Database
	tables  *tables
	last    databaseapi.Command
	// own is what a connected node had, and has again.
	own *tables
}

// tables is what is replicated: all members have the same one, the primary
// first.
type tables struct {
	members []string
	rows    map[string]databaseapi.Record
}

var _ databaseapi.API = (*Database)(nil)

// AddDatabase puts the database of the node at an IPv4 address.
func (s *Site) AddDatabase(address string, cfg *config.Store) *Database {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &Database{Config: cfg, site: s, address: address, mode: databaseapi.Alone, tables: &tables{rows: map[string]databaseapi.Record{}}}
	s.databases[address] = d
	return d
}

// Fingerprint is all that changes of the state, as text.
func (d *Database) Fingerprint() string {
	d.site.mu.Lock()
	defer d.site.mu.Unlock()
	return fmt.Sprint(d.mode, d.taken, d.tables.members, d.tables.rows)
}

// up are the members that d reaches.
func (d *Database) up() (up []string) {
	_, cut := d.site.down[d.address+":5222"]
	for _, m := range d.tables.members {
		if _, gone := d.site.down[m+":5222"]; m == d.address || !gone && !cut {
			up = append(up, m)
		}
	}
	return up
}

// primary is who takes changes, "" without a majority.
func (d *Database) primary() string {
	up := d.up()
	if len(up) <= len(d.tables.members)/2 {
		return ""
	}
	return up[0]
}

// find returns the database of a node that is reached, or a problem.
func (d *Database) find(node string) (*Database, error) {
	x := d.site.find(node)
	if x == nil && strings.ContainsAny(node, "abcdefghijklmnopqrstuvwxyz") {
		return nil, problem.New(problem.DatabaseName, "node", node, "detail", "no such host")
	}
	var other *Database
	if x != nil {
		other = d.site.databases[strings.TrimSuffix(x.address, ":5222")]
		if _, gone := d.site.down[x.address]; gone {
			other = nil
		}
	}
	switch {
	case other == nil || other.mode == databaseapi.Alone:
		return nil, problem.New(problem.DatabaseRoute, "node", node, "detail", "connection refused, nothing listens there")
	case other == d:
		return nil, problem.New(problem.DatabaseSelf, "node", node)
	case other.mode == databaseapi.Connected:
		return nil, problem.New(problem.DatabaseNone, "node", node)
	}
	return other, nil
}

// Status implements databaseapi.API.
func (d *Database) Status(context.Context) (databaseapi.Status, error) {
	d.site.mu.Lock()
	defer d.site.mu.Unlock()
	s := databaseapi.Status{Mode: d.mode, Last: d.last}
	if d.mode == databaseapi.Alone {
		return s, nil
	}
	up := d.up()
	s.InUse = d.primary()
	for _, m := range slices.Sorted(slices.Values(d.tables.members)) {
		s.Nodes = append(s.Nodes, databaseapi.Node{Address: m, Self: m == d.address, Primary: m == s.InUse, Connected: slices.Contains(up, m)})
	}
	if s.InUse == "" {
		s.Trouble = problem.Text(problem.New(problem.DatabaseNoLeader))
	}
	return s, nil
}

// Reload implements databaseapi.API.
func (d *Database) Reload(context.Context) error {
	doc, err := d.Config.Load()
	if err != nil {
		return err
	}
	d.site.mu.Lock()
	defer d.site.mu.Unlock()
	if doc.Database != d.taken && d.mode != databaseapi.Alone {
		command := "database cluster certs"
		if doc.Database.Interface != d.taken.Interface {
			command = "database cluster localnode"
		}
		return problem.New(problem.DatabaseFiles, "command", command)
	}
	d.taken = doc.Database
	return nil
}

// command runs one that changes the cluster; what it refuses is not noted.
func (d *Database) command(text string, f func() error) error {
	d.site.mu.Lock()
	defer d.site.mu.Unlock()
	err := f()
	switch problem.CodeOf(err) {
	case "", problem.DatabaseRoute, problem.DatabaseName, problem.DatabaseNone, problem.DatabaseMany:
		d.last = databaseapi.Command{Text: "database cluster " + text, OK: err == nil}
	}
	return err
}

func (d *Database) copied() *tables { return &tables{rows: maps.Clone(d.tables.rows)} }

// ClearError implements databaseapi.API.
func (d *Database) ClearError(context.Context) error {
	d.site.mu.Lock()
	defer d.site.mu.Unlock()
	if !d.last.OK {
		d.last = databaseapi.Command{}
	}
	return nil
}

// Initialize implements databaseapi.API.
func (d *Database) Initialize(_ context.Context, again bool) error {
	return d.command("initialize", func() error {
		if d.mode == databaseapi.Connected || d.mode == databaseapi.Member && !again {
			return problem.New(problem.DatabaseClustered, "command", "database cluster initialize")
		}
		if err := database.Missing(d.taken, true); err != nil {
			return err
		}
		d.mode, d.tables = databaseapi.Member, d.copied()
		d.tables.members = []string{d.address}
		return nil
	})
}

// Join implements databaseapi.API.
func (d *Database) Join(_ context.Context, node string) error {
	return d.command("join "+node, func() error {
		if d.mode != databaseapi.Alone {
			return problem.New(problem.DatabaseClustered, "command", "database cluster join "+node)
		}
		if err := database.Missing(d.taken, true); err != nil {
			return err
		}
		other, err := d.find(node)
		if err != nil {
			return err
		}
		if len(other.tables.members) >= 3 {
			return problem.New(problem.DatabaseMany, "node", node, "most", "3")
		}
		d.mode, d.tables = databaseapi.Member, other.tables
		d.tables.members = append(d.tables.members, d.address)
		return nil
	})
}

// Connect implements databaseapi.API.
func (d *Database) Connect(_ context.Context, node string) error {
	return d.command("connect "+node, func() error {
		if d.mode != databaseapi.Alone {
			return problem.New(problem.DatabaseClustered, "command", "database cluster connect "+node)
		}
		if err := database.Missing(d.taken, false); err != nil {
			return err
		}
		other, err := d.find(node)
		if err != nil {
			return err
		}
		d.mode, d.own, d.tables = databaseapi.Connected, d.tables, other.tables
		return nil
	})
}

// Remove implements databaseapi.API.
func (d *Database) Remove(_ context.Context, node string) error {
	return d.command(strings.TrimSpace("remove "+node), func() error {
		switch {
		case d.mode == databaseapi.Alone:
			return problem.New(problem.DatabaseAlone)
		case d.mode == databaseapi.Connected && node == "":
			d.mode, d.tables = databaseapi.Alone, d.own
			return nil
		case d.mode == databaseapi.Connected:
			return problem.New(problem.DatabaseElsewhere, "node", node, "members", strings.Join(d.tables.members, ", "))
		}
		gone := d
		if x := d.site.find(node); node != "" && (x == nil || !slices.Contains(d.tables.members, strings.TrimSuffix(x.address, ":5222"))) {
			return problem.New(problem.DatabaseNode, "node", node, "members", strings.Join(d.tables.members, ", "))
		} else if node != "" {
			gone = d.site.databases[strings.TrimSuffix(x.address, ":5222")]
		}
		rest := slices.DeleteFunc(slices.Clone(d.tables.members), func(m string) bool { return m == gone.address })
		if gone.address == d.primary() && len(rest) > 0 {
			return problem.New(problem.DatabasePrimary, "node", gone.address, "replicas", strings.Join(rest, ", "))
		}
		if d.primary() == "" {
			return problem.New(problem.DatabaseNoLeader)
		}
		var lost []string
		for _, m := range rest {
			if !slices.Contains(d.up(), m) {
				lost = append(lost, m)
			}
		}
		if len(lost) > 0 && len(rest)-len(lost) <= len(rest)/2 {
			return problem.New(problem.DatabaseNeeded, "node", gone.address, "lost", strings.Join(lost, ", "), "first", lost[0])
		}
		d.tables.members = rest
		gone.mode, gone.tables = databaseapi.Alone, d.copied()
		return nil
	})
}

// Put implements databaseapi.Records.
func (d *Database) Put(_ context.Context, table string, records ...databaseapi.Record) error {
	d.site.mu.Lock()
	defer d.site.mu.Unlock()
	for _, r := range records {
		d.tables.rows[table+" "+r.Key] = r
	}
	return nil
}

// Swap implements databaseapi.Records.
func (d *Database) Swap(_ context.Context, table string, old json.RawMessage, r databaseapi.Record) error {
	d.site.mu.Lock()
	defer d.site.mu.Unlock()
	if d.mode != databaseapi.Alone && d.primary() == "" {
		return problem.New(problem.DatabaseNoLeader)
	}
	if now := d.tables.rows[table+" "+r.Key].Value; !bytes.Equal(now, old) {
		return problem.New(problem.RecordChanged, "table", table)
	}
	d.tables.rows[table+" "+r.Key] = r
	return nil
}

// Delete implements databaseapi.Records.
func (d *Database) Delete(_ context.Context, table string, keys ...string) error {
	d.site.mu.Lock()
	defer d.site.mu.Unlock()
	for _, k := range keys {
		delete(d.tables.rows, table+" "+k)
	}
	return nil
}

// List implements databaseapi.Records.
func (d *Database) List(_ context.Context, table string) (rs []databaseapi.Record, err error) {
	d.site.mu.Lock()
	defer d.site.mu.Unlock()
	if d.mode == databaseapi.Connected && len(d.up()) == 0 {
		return nil, problem.New(problem.DatabaseRoute, "node", d.tables.members[0], "detail", "no answer in time")
	}
	for _, k := range slices.Sorted(maps.Keys(d.tables.rows)) {
		if strings.HasPrefix(k, table+" ") {
			rs = append(rs, d.tables.rows[k])
		}
	}
	return rs, nil
}
