package settings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/problem"
)

// table is a database in memory, which stores share.
type table struct {
	mu    sync.Mutex
	mode  databaseapi.Mode
	value json.RawMessage
	down  error
	// trouble is of a database without a primary.
	trouble string
	// asked is called with each question for the mode, before the answer.
	asked func()
}

// Status implements Records.
func (d *table) Status(context.Context) (databaseapi.Status, error) {
	if d.asked != nil {
		d.asked()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return databaseapi.Status{Mode: d.mode, Trouble: d.trouble}, d.down
}

// List implements Records.
func (d *table) List(_ context.Context, name string) (rs []databaseapi.Record, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.value != nil && name == databaseapi.Directory {
		rs = append(rs, databaseapi.Record{Key: key, Value: d.value})
	}
	return rs, d.down
}

// Swap implements Records.
func (d *table) Swap(_ context.Context, name string, old json.RawMessage, r databaseapi.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if string(old) != string(d.value) {
		return problem.New(problem.RecordChanged, "table", name)
	}
	if d.down == nil {
		d.value = r.Value
	}
	return d.down
}

// then is when settings are set here.
var then = time.Date(2026, 11, 22, 20, 47, 58, 0, time.UTC)

// newStore is that of a node, with an LDAP server in its live.json unless address
// is "".
func newStore(t *testing.T, host, address string, d *table) (*Store, *config.Store) {
	t.Helper()
	c := config.NewStore(config.FolderPaths(t.TempDir()).Live())
	if err := c.Update(func(doc *config.Document) error {
		doc.Hostname, doc.Directory.Address = host, address
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return NewStore(c, d, func() time.Time { return then }), c
}

func taken() error { return nil }

// filter has the settings' filter be that.
func filter(to string) func(*config.Directory) error {
	return func(d *config.Directory) error { d.Filter = to; return nil }
}

// want checks what is in force: address, filter, and the node that set it.
func want(t *testing.T, s *Store, expected string) {
	t.Helper()
	now, err := s.Load(t.Context())
	if got := fmt.Sprintf("%s %s %s", now.Address, now.Filter, now.Host); err != nil || got != expected || now.Shared() != (now.Host != "") {
		t.Errorf("Load = %q, shared %v, %v; want %q", got, now.Shared(), err, expected)
	}
}

// live is the filter in a live.json.
func live(t *testing.T, c *config.Store) string {
	t.Helper()
	d, err := c.Load()
	if err != nil {
		t.Fatal(err)
	}
	return d.Directory.Filter
}

// TestAlone: they are live.json's, and a refused change changes nothing.
func TestAlone(t *testing.T) {
	d := &table{mode: databaseapi.Alone}
	s, c := newStore(t, "cb1", "ldap", d)
	if err := s.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(t, s, "ldap  ")
	if err := s.Change(t.Context(), filter("a"), taken); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	if err := s.Change(t.Context(), filter("b"), func() error { return refused }); !errors.Is(err, refused) {
		t.Errorf("Change = %v; want the Call Bridge's", err)
	}
	if err := s.Change(t.Context(), func(*config.Directory) error { return refused }, taken); !errors.Is(err, refused) {
		t.Errorf("Change = %v; want that of change", err)
	}
	want(t, s, "ldap a ")
	if got := live(t, c); got != "a" || d.value != nil {
		t.Errorf("live.json has %q, the database %s; want a, and nothing", got, d.value)
	}
}

// TestShared: the first who has settings sets them for all; from then on each
// node reads and changes the same, and one that leaves keeps a copy.
func TestShared(t *testing.T) {
	d := &table{mode: databaseapi.Member}
	none, _ := newStore(t, "cb0", "", d)
	one, _ := newStore(t, "cb1", "ldap1", d)
	two, live2 := newStore(t, "cb2", "ldap2", d)
	for _, s := range []*Store{none, one, two} {
		if err := s.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []*Store{none, one, two} {
		want(t, s, "ldap1  cb1")
	}
	if err := two.Change(t.Context(), filter("a"), func() error { return errors.New("no Call Bridge here") }); err != nil {
		t.Errorf("Change with a dead Call Bridge = %v; want nil, as others have one", err)
	}
	refused := errors.New("refused")
	if err := one.Change(t.Context(), func(*config.Directory) error { return refused }, taken); !errors.Is(err, refused) {
		t.Errorf("Change = %v; want that of change", err)
	}
	for _, s := range []*Store{none, one, two} {
		want(t, s, "ldap1 a cb2")
	}
	d.mode = databaseapi.Alone
	if err := two.Change(t.Context(), filter("b"), taken); err != nil {
		t.Fatal(err)
	}
	want(t, two, "ldap1 b cb2")
	if doc, err := two.Document(t.Context()); err != nil || doc.Directory.Filter != "b" || doc.Hostname != "cb2" {
		t.Errorf("Document = %+v, %v; want live.json with the settings in force", doc, err)
	}
	if got := live(t, live2); got != "" {
		t.Errorf("live.json has filter %q; want it as it was", got)
	}
}

// TestFirstChange: where nobody has settings yet, the first change makes the
// record.
func TestFirstChange(t *testing.T) {
	d := &table{mode: databaseapi.Connected}
	s, c := newStore(t, "cb1", "", d)
	want(t, s, "  ")
	if err := s.Change(t.Context(), filter("a"), taken); err != nil {
		t.Fatal(err)
	}
	want(t, s, " a cb1")
	if got := live(t, c); got != "" {
		t.Errorf("live.json has filter %q; want none", got)
	}
}

// TestChangesAtOnce: of changes on several nodes none is lost.
func TestChangesAtOnce(t *testing.T) {
	d := &table{mode: databaseapi.Member}
	const nodes, changes = 4, 25
	var running sync.WaitGroup
	for range nodes {
		s, _ := newStore(t, "cb1", "", d)
		running.Go(func() {
			for range changes {
				if err := s.Change(t.Context(), func(d *config.Directory) error { d.Port++; return nil }, taken); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	s, _ := newStore(t, "cb1", "", d)
	if now, err := s.Load(t.Context()); err != nil || now.Port != nodes*changes {
		t.Errorf("Load = %d, %v; want %d, one for each change", now.Port, err, nodes*changes)
	}
}

// TestClusteredMeanwhile: the database becomes a cluster, and the Call Bridge
// publishes what live.json had, just while that is changed.
func TestClusteredMeanwhile(t *testing.T) {
	d := &table{mode: databaseapi.Alone}
	s, _ := newStore(t, "cb1", "ldap", d)
	old, err := json.Marshal(record{Settings: config.Directory{Address: "ldap"}, Host: "cb1"})
	if err != nil {
		t.Fatal(err)
	}
	questions := 0
	d.asked = func() {
		if questions++; questions == 2 {
			d.mu.Lock()
			d.mode, d.value = databaseapi.Member, old
			d.mu.Unlock()
		}
	}
	if err := s.Change(t.Context(), filter("a"), taken); err != nil {
		t.Fatal(err)
	}
	want(t, s, "ldap a cb1")
}

// TestNoDatabase: what is in force is not known then, nor changed.
func TestNoDatabase(t *testing.T) {
	down := problem.New(problem.DatabaseNoLeader)
	d := &table{mode: databaseapi.Alone, down: down}
	s, c := newStore(t, "cb1", "ldap", d)
	for name, f := range map[string]func() error{
		"Load":    func() error { _, err := s.Load(t.Context()); return err },
		"Publish": func() error { return s.Publish(t.Context()) },
		"Change":  func() error { return s.Change(t.Context(), filter("a"), taken) },
	} {
		if err := f(); !errors.Is(err, down) {
			t.Errorf("%s = %v; want the database's", name, err)
		}
	}
	if got := live(t, c); got != "" {
		t.Errorf("live.json has filter %q; want it as it was", got)
	}
	if doc, err := s.Document(t.Context()); err != nil || doc.Directory.Address != "ldap" {
		t.Errorf("Document = %+v, %v; want live.json", doc, err)
	}
}

// TestPasswordIsNotPrinted: it is stored, and shown by nobody.
func TestPasswordIsNotPrinted(t *testing.T) {
	d := &table{mode: databaseapi.Member}
	s, _ := newStore(t, "cb1", "ldap", d)
	if err := s.Change(t.Context(), func(d *config.Directory) error { d.Password = "geheim"; return nil }, taken); err != nil {
		t.Fatal(err)
	}
	now, err := s.Load(t.Context())
	if err != nil || now.Password.Reveal() != "geheim" {
		t.Errorf("Load has password %q, %v; want geheim", now.Password.Reveal(), err)
	}
	if text := fmt.Sprintf("%v %+v %#v", now, now, now); strings.Contains(text, "geheim") {
		t.Errorf("settings print as %s", text)
	}
}
