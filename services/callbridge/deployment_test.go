package callbridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/problem"
)

// table is a Deployment in memory.
type table struct {
	mu   sync.Mutex
	rows map[string]string
	puts int
	down error
	mode databaseapi.Mode
}

// Status implements Deployment.
func (d *table) Status(context.Context) (databaseapi.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return databaseapi.Status{Mode: d.mode}, d.down
}

// Swap implements Deployment.
func (d *table) Swap(_ context.Context, name string, old json.RawMessage, r databaseapi.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rows[name+" "+r.Key] != string(old) {
		return problem.New(problem.RecordChanged, "table", name)
	}
	d.rows[name+" "+r.Key] = string(r.Value)
	return d.down
}

// List implements Deployment.
func (d *table) List(_ context.Context, name string) (rs []databaseapi.Record, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(d.rows)) {
		if key, ok := strings.CutPrefix(k, name+" "); ok {
			rs = append(rs, databaseapi.Record{Key: key, Value: []byte(d.rows[k])})
		}
	}
	return rs, d.down
}

// Put implements Deployment.
func (d *table) Put(_ context.Context, name string, rs ...databaseapi.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range rs {
		d.rows[name+" "+r.Key] = string(r.Value)
	}
	d.puts++
	return d.down
}

// Delete implements Deployment.
func (d *table) Delete(_ context.Context, name string, keys ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range keys {
		delete(d.rows, name+" "+k)
	}
	return d.down
}

// look is what the table has.
func (d *table) look() (rows map[string]string, puts int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.rows), d.puts
}

func TestEnlist(t *testing.T) {
	const other = `bridges cb2={"host":"cb2","address":"10.0.0.2","domain":"tptac9.com"}`
	own := func(name, domain string) string {
		return fmt.Sprintf(`bridges %s={"host":"parley","address":"10.0.0.1","domain":"%s"}`, name, domain)
	}
	synctest.Test(t, func(t *testing.T) {
		paths := config.FolderPaths(t.TempDir())
		store := config.NewStore(paths.Live())
		d := &table{rows: map[string]string{"bridges cb2": `{"host":"cb2","address":"10.0.0.2","domain":"tptac9.com"}`}}
		b := New(Config{Paths: paths}, Deps{
			Config: store, Deployment: d, Log: slog.New(slog.DiscardHandler),
			Own: func() []netip.Addr {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.1")}
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { b.enlist(ctx) })
		defer running.Wait()
		defer cancel()
		for _, step := range []struct {
			name   string
			change func(*config.CallBridge)
			before func()
			want   []string
			puts   int
		}{
			{name: "not set up", want: []string{other}},
			{name: "enabled", change: func(c *config.CallBridge) { c.Enabled, c.XMPP.Name, c.XMPP.Domain = true, "cb1", domain }, want: []string{own("cb1", domain), other}, puts: 1},
			{name: "nothing new", want: []string{own("cb1", domain), other}, puts: 1},
			{name: "another domain", change: func(c *config.CallBridge) { c.XMPP.Domain = "example.org" }, want: []string{own("cb1", "example.org"), other}, puts: 2},
			{name: "another name", change: func(c *config.CallBridge) { c.XMPP.Name = "cb3" }, want: []string{other, own("cb3", "example.org")}, puts: 3},
			{name: "another table, by a join", before: func() { d.rows = map[string]string{} }, want: []string{own("cb3", "example.org")}, puts: 4},
			{name: "no database", before: func() { d.rows, d.down = map[string]string{}, errors.New("down") }, want: nil, puts: 4},
			{name: "there again", before: func() { d.down = nil }, want: []string{own("cb3", "example.org")}, puts: 5},
			{name: "disabled", change: func(c *config.CallBridge) { c.Enabled = false }, want: nil, puts: 5},
		} {
			if step.change != nil {
				if err := store.Update(func(doc *config.Document) error { step.change(&doc.CallBridge); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			if step.before != nil {
				d.mu.Lock()
				step.before()
				d.mu.Unlock()
			}
			pass(enlistEvery)
			rows, puts := d.look()
			var got []string
			for _, k := range slices.Sorted(maps.Keys(rows)) {
				got = append(got, k+"="+rows[k])
			}
			if !slices.Equal(got, step.want) || puts != step.puts {
				t.Errorf("%s: %d puts, table %q; want %d, %q", step.name, puts, got, step.puts, step.want)
			}
		}
	})
}
