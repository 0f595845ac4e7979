package database

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/problem"
	"parley/services/xmpp/peer"
)

// TestAlone: a node without a cluster has its data to itself, and keeps it.
func TestAlone(t *testing.T) {
	n := newNode(t, newAuthority(t))
	n.put("b", "2")
	n.put("a", "1")
	n.put("c", "3")
	must(t, n.Delete(t.Context(), "t", "c", "absent"))
	if err := n.Put(t.Context(), "t", databaseapi.Record{Key: "d", Value: []byte("no JSON")}); problem.CodeOf(err) != problem.RecordSize {
		t.Errorf("Put of no JSON = %v; want %q", err, problem.RecordSize)
	}
	n.stop()
	n.start()
	n.awaitRecords("a=1", "b=2")
	if s, err := n.Status(t.Context()); err != nil || s.Mode != databaseapi.Alone || len(s.Nodes) > 0 {
		t.Errorf("Status = %+v, %v; want alone", s, err)
	}
}

// TestCluster is a cluster's life: founded, joined, used from each node, without
// its primary, without its majority, and taken apart.
func TestCluster(t *testing.T) {
	ca := newAuthority(t)
	a, b, c, d, e := newNode(t, ca), newNode(t, ca), newNode(t, ca), newNode(t, ca), newNode(t, ca)
	a.put("a", "1")
	b.put("lost", "1")
	d.put("own", "1")
	must(t, a.Initialize(t.Context(), false))
	a.awaitRecords("a=1")
	must(t, b.Join(t.Context(), a.address))
	b.awaitRecords("a=1")
	must(t, c.Join(t.Context(), b.address))
	must(t, d.Connect(t.Context(), c.address))
	all := []*node{a, b, c}
	for _, n := range append(all, d) {
		n.awaitNodes(all...)
		n.put(n.address, "x")
	}
	want := []string{a.address + "=x", b.address + "=x", c.address + "=x", d.address + "=x", "a=1"}
	for _, n := range append(all, d) {
		n.awaitRecords(want...)
	}
	// The leader decides who of two was first, and the value stays the same
	// on its way through JSON.
	winner, loser := json.RawMessage(`{"filter":"(\u0026(a=1))"}`), json.RawMessage(`{"filter":"(a=2)"}`)
	must(t, d.Swap(t.Context(), "swapped", nil, databaseapi.Record{Key: "k", Value: winner}))
	for _, n := range append(all, d) {
		if err := n.Swap(t.Context(), "swapped", nil, databaseapi.Record{Key: "k", Value: loser}); problem.CodeOf(err) != problem.RecordChanged {
			t.Errorf("Swap on %s = %v; want %q", n.address, err, problem.RecordChanged)
		}
	}
	client := databaseapi.NewClient(d.paths.Socket("database"))
	read, err := client.List(t.Context(), "swapped")
	if err != nil || len(read) != 1 {
		t.Fatalf("List = %v, %v; want one record", read, err)
	}
	must(t, client.Swap(t.Context(), "swapped", read[0].Value, databaseapi.Record{Key: "k", Value: loser}))
	if err := e.Join(t.Context(), a.address); problem.CodeOf(err) != problem.DatabaseMany {
		t.Errorf("Join of a fourth = %v; want %q", err, problem.DatabaseMany)
	}
	first := primary(all...)
	for {
		err := first.Remove(t.Context(), "")
		if err != nil {
			if problem.CodeOf(err) != problem.DatabasePrimary {
				t.Errorf("Remove of the primary = %v; want %q", err, problem.DatabasePrimary)
			}
			break
		}
		// It was it no more.
		rest := slices.DeleteFunc(slices.Clone(all), func(n *node) bool { return n == first })
		next := primary(rest...)
		must(t, first.Join(t.Context(), next.address))
		first.awaitNodes(all...)
		first = next
	}
	if err := a.Reload(t.Context()); err != nil {
		t.Errorf("Reload of nothing new = %v", err)
	}

	// Its process dies, and it is taken out for good; back again it finds out.
	var rest []*node
	for _, n := range all {
		if n != first {
			rest = append(rest, n)
		}
	}
	first.stop()
	rest[0].put("after", "2")
	next, replica := primary(rest...), rest[0]
	if next == replica {
		replica = rest[1]
	}
	for n, node := range map[*node]string{next: replica.address, replica: ""} {
		if err := n.Remove(t.Context(), node); problem.CodeOf(err) != problem.DatabaseNeeded || !strings.Contains(err.Error(), first.address) {
			t.Errorf("Remove of %q, with one node down, on %s = %v; want %q with who is", node, n.address, err, problem.DatabaseNeeded)
		}
	}
	replica.put("after", "2")
	d.awaitRecords(append(want, "after=2")...)
	must(t, rest[0].Remove(t.Context(), first.address))
	rest[1].awaitNodes(rest...)
	first.start()
	first.await("it to stand alone", func() error {
		if s, err := first.Status(t.Context()); err != nil || s.Mode != databaseapi.Alone {
			return errors.Join(err, errors.New(string(s.Mode)))
		}
		return nil
	})
	// The leader may have sent it what came after, before it let it go.
	if rs, err := first.List(t.Context(), "t"); err != nil || len(rs) < len(want) {
		t.Errorf("List on the one taken out = %v, %v; want %v at least", rs, err, want)
	}
	d.awaitNodes(rest...)
	if err := d.Remove(t.Context(), rest[0].address); problem.CodeOf(err) != problem.DatabaseElsewhere || !strings.Contains(err.Error(), rest[0].address) {
		t.Errorf("Remove of a member on one that is connected = %v; want %q, and where", err, problem.DatabaseElsewhere)
	}

	// The majority is lost for good.
	gone, left := primary(rest...), rest[0]
	if gone == left {
		left = rest[1]
	}
	left.awaitRecords(append(want, "after=2")...)
	gone.stop()
	left.await("it to notice", func() error {
		if s, err := left.Status(t.Context()); err != nil || s.Trouble == "" {
			return errors.Join(err, errors.New("no trouble"))
		}
		return nil
	})
	must(t, left.Initialize(t.Context(), true))
	left.put("again", "3")
	must(t, first.Join(t.Context(), left.address))
	first.awaitRecords(append(want, "after=2", "again=3")...)
	d.awaitNodes(left, first)
	must(t, first.Remove(t.Context(), ""))
	must(t, left.Remove(t.Context(), ""))
	must(t, d.Remove(t.Context(), ""))
	d.awaitRecords("own=1")
	left.put("end", "4")
	if s, err := left.Status(t.Context()); err != nil || s.Mode != databaseapi.Alone || s.Last != (databaseapi.Command{Text: "database cluster remove", OK: true}) {
		t.Errorf("Status = %+v, %v; want alone, by remove", s, err)
	}
}

// TestRestart: all nodes come back as what they were.
func TestRestart(t *testing.T) {
	ca := newAuthority(t)
	a, b, c := newNode(t, ca), newNode(t, ca), newNode(t, ca)
	must(t, a.Initialize(t.Context(), false))
	must(t, b.Join(t.Context(), a.address))
	must(t, c.Connect(t.Context(), b.address))
	for _, n := range []*node{a, b, c} {
		n.stop()
	}
	for _, n := range []*node{a, b, c} {
		n.start()
	}
	for _, n := range []*node{a, b, c} {
		n.awaitNodes(a, b)
	}
	c.put("k", "v")
	b.awaitRecords("k=v")
	if err := config.NewStore(a.paths.Live()).Update(func(d *config.Document) error { d.Database.CA = "c.cer"; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(t.Context()); problem.CodeOf(err) != problem.DatabaseFiles || !strings.Contains(err.Error(), "certs") {
		t.Errorf("Reload of other files = %v; want %q of certs", err, problem.DatabaseFiles)
	}
}

// TestStopHandsOver: when a stopped primary has ended, another leads already.
func TestStopHandsOver(t *testing.T) {
	ca := newAuthority(t)
	all := []*node{newNode(t, ca), newNode(t, ca), newNode(t, ca)}
	must(t, all[0].Initialize(t.Context(), false))
	for _, n := range all[1:] {
		must(t, n.Join(t.Context(), all[0].address))
	}
	for _, n := range all {
		n.awaitNodes(all...)
	}
	// A busy machine may be too slow for it once, or twice.
	for round := 1; ; round++ {
		first := primary(all...)
		first.stop()
		led := slices.ContainsFunc(all, func(n *node) bool {
			c, _ := n.current()
			st := c.State()
			return n != first && st.LeaderID == st.ID
		})
		first.start()
		for _, n := range all {
			n.awaitNodes(all...)
		}
		if led {
			return
		}
		if round == 5 {
			t.Fatalf("in %d rounds none of the others led when the primary had stopped", round)
		}
	}
}

// TestIncomplete: while a node joins, what it lacks is not taken for what is not
// there.
func TestIncomplete(t *testing.T) {
	n := newNode(t, newAuthority(t))
	n.put("k", "v")
	c, _ := n.current()
	c.joining.Store(true)
	if rs, err := n.List(t.Context(), "t"); problem.CodeOf(err) != problem.DatabaseNoLeader {
		t.Errorf("List during a join = %v, %v; want %q", rs, err, problem.DatabaseNoLeader)
	}
	c.joining.Store(false)
	n.awaitRecords("k=v")
}

// TestSilentServer: one that is silent keeps a connected node from nothing.
func TestSilentServer(t *testing.T) {
	ca := newAuthority(t)
	a, b := newNode(t, ca), newNode(t, ca)
	must(t, a.Initialize(t.Context(), false))
	a.put("k", "v")
	must(t, b.Connect(t.Context(), a.address))
	silent, err := net.Listen("tcp", net.JoinHostPort(newAddress(), "0"))
	must(t, err)
	defer silent.Close()
	b.mu.Lock()
	b.place.Servers = []string{silent.Addr().String(), a.address + ":5432"}
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), askWait)
	defer cancel()
	if err := b.Put(ctx, "t", databaseapi.Record{Key: "k", Value: []byte("2")}); err != nil {
		t.Errorf("Put = %v", err)
	}
	c, _ := b.current()
	c.answered.Store(nil)
	begun := time.Now()
	if rs, err := b.List(t.Context(), "t"); err != nil || len(rs) != 1 || string(rs[0].Value) != "2" || time.Since(begun) >= askWait {
		t.Errorf("List = %v, %v after %v; want one record, before the silent one is given up", rs, err, time.Since(begun))
	}
	if first := c.inOrder([]string{silent.Addr().String(), a.address + ":5432"})[0]; first != a.address+":5432" {
		t.Errorf("who is asked first next time is %s; want who has answered", first)
	}
	a.stop()
	if rs, err := b.List(t.Context(), "t"); problem.CodeOf(err) != problem.DatabaseRoute {
		t.Errorf("List without anybody who answers = %v, %v; want %q", rs, err, problem.DatabaseRoute)
	}
}

func TestNobody(t *testing.T) {
	servers := []string{"10.0.0.1:5432", "10.0.0.2:5432", "10.0.0.1:5432"}
	refused := problem.New(problem.DatabaseRoute, "node", "10.0.0.1", "detail", "connection refused")
	silent := problem.New(problem.DatabaseRoute, "node", "10.0.0.2", "detail", "no answer in time")
	strange := problem.New(problem.DatabaseTLS, "node", "10.0.0.1", "detail", "unknown authority")
	for _, tt := range []struct {
		name   string
		failed []error
		want   *problem.Problem
	}{
		{"none asked", nil, problem.New(problem.DatabaseNoLeader)},
		{"alike", []error{refused, refused, refused}, problem.New(problem.DatabaseRoute, "node", "10.0.0.1, 10.0.0.2", "detail", "connection refused")},
		{"for two reasons", []error{refused, silent, refused}, problem.New(problem.DatabaseRoute, "node", "10.0.0.1, 10.0.0.2", "detail", "connection refused, or no answer in time")},
		{"in two ways", []error{refused, strange}, strange},
		{"without a primary", []error{problem.New(problem.DatabaseNoLeader)}, problem.New(problem.DatabaseNoLeader)},
		{"not known", []error{refused, peer.ErrOutcome}, problem.New(problem.DatabaseNoLeader)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(error(tt.want), nobody(tt.failed, servers)); d != "" {
				t.Errorf("nobody (-want +got):\n%s", d)
			}
		})
	}
}

// TestMoves: a member whose address changes is found again.
func TestMoves(t *testing.T) {
	ca := newAuthority(t)
	a, b := newNode(t, ca), newNode(t, ca)
	must(t, a.Initialize(t.Context(), false))
	must(t, b.Join(t.Context(), a.address))
	b.stop()
	b.address = newAddress()
	b.start()
	a.awaitNodes(a, b)
	b.awaitNodes(a, b)
}

// A member that has moved and is back where it was may never have heard that it
// was looked for elsewhere.
func TestMovesBack(t *testing.T) {
	ca := newAuthority(t)
	a, b, c := newNode(t, ca), newNode(t, ca), newNode(t, ca)
	must(t, a.Initialize(t.Context(), false))
	must(t, b.Join(t.Context(), a.address))
	must(t, c.Join(t.Context(), a.address))
	own, _ := c.current()
	id := own.State().ID
	c.stop()
	leader, _ := primary(a, b).current()
	must(t, leader.SetAddress(t.Context(), id, newAddress()+":5432"))
	c.start()
	for _, n := range []*node{a, b, c} {
		n.awaitNodes(a, b, c)
	}
}

// The others go on without it, and their leader looks for it where it was.
func TestMovesAwayFromTheLeader(t *testing.T) {
	ca := newAuthority(t)
	a, b, c := newNode(t, ca), newNode(t, ca), newNode(t, ca)
	must(t, a.Initialize(t.Context(), false))
	must(t, b.Join(t.Context(), a.address))
	must(t, c.Join(t.Context(), a.address))
	for range 2 {
		c.stop()
		c.address = newAddress()
		c.start()
		for _, n := range []*node{a, b, c} {
			n.awaitNodes(a, b, c)
		}
	}
}

// TestJoinFails: what goes wrong after the checks is undone, here and there.
func TestJoinFails(t *testing.T) {
	ca := newAuthority(t)
	a, b := newNode(t, ca), newNode(t, ca)
	b.put("own", "1")
	must(t, a.Initialize(t.Context(), false))
	elsewhere := func(ctx context.Context, _ []string, _ int) ([]net.Listener, error) {
		l, err := net.Listen("tcp", net.JoinHostPort(b.address, "0"))
		return []net.Listener{l}, err
	}
	taken := func(context.Context, []string, int) ([]net.Listener, error) {
		return nil, problem.New(problem.PortTaken)
	}
	for _, tt := range []struct {
		name   string
		listen func(context.Context, []string, int) ([]net.Listener, error)
		want   problem.Code
	}{
		{"port taken", taken, problem.PortTaken},
		{"no way back", elsewhere, problem.DatabaseBack},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.listen = tt.listen
			if err := b.Join(t.Context(), a.address); problem.CodeOf(err) != tt.want {
				t.Errorf("Join = %v; want %q", err, tt.want)
			}
			b.awaitRecords("own=1")
			b.put("own", "1")
			a.awaitNodes(a)
			s, err := b.Status(t.Context())
			if d := cmp.Diff(databaseapi.Status{Mode: databaseapi.Alone, Last: databaseapi.Command{Text: "database cluster join " + a.address}}, s); d != "" || err != nil {
				t.Errorf("Status: %v\n%s", err, d)
			}
			must(t, b.ClearError(t.Context()))
			if s, err := b.Status(t.Context()); err != nil || s.Last != (databaseapi.Command{}) {
				t.Errorf("Last after ClearError = %+v, %v; want none", s.Last, err)
			}
		})
	}
	b.listen = nil
	must(t, b.Join(t.Context(), a.address))
	a.awaitNodes(a, b)
}

func TestRefusals(t *testing.T) {
	ca := newAuthority(t)
	member, alone, stranger, client := newNode(t, ca), newNode(t, ca), newNode(t, newAuthority(t)), newNode(t, ca)
	client.files(ca, "somebody")
	bare := newNode(t, ca)
	must(t, config.NewStore(bare.paths.Live()).Update(func(d *config.Document) error { d.Database = config.Database{Interface: "a"}; return nil }))
	must(t, bare.Reload(t.Context()))
	must(t, member.Initialize(t.Context(), false))
	ctx := t.Context()
	for _, tt := range []struct {
		name string
		err  func() error
		want problem.Code
		// detail is in the error.
		detail string
	}{
		{"initialize twice", func() error { return member.Initialize(ctx, false) }, problem.DatabaseClustered, "initialize"},
		{"initialize again with a majority", func() error { return member.Initialize(ctx, true) }, problem.DatabaseClustered, "initialize"},
		{"join of a member", func() error { return member.Join(ctx, alone.address) }, problem.DatabaseClustered, "join"},
		{"connect of a member", func() error { return member.Connect(ctx, alone.address) }, problem.DatabaseClustered, "connect"},
		{"remove of one alone", func() error { return alone.Remove(ctx, "") }, problem.DatabaseAlone, ""},
		{"remove of nobody", func() error { return member.Remove(ctx, "127.0.0.99") }, problem.DatabaseNode, member.address},
		{"join with nobody", func() error { return alone.Join(ctx, stranger.address) }, problem.DatabaseRoute, "refused"},
		{"join with itself", func() error { return alone.Join(ctx, alone.address) }, problem.DatabaseSelf, ""},
		{"join with itself by another name", func() error {
			c, _ := alone.current()
			_, err := c.checkJoin(joinRequest{Node: "cb1", Hello: c.hello()})
			return err
		}, problem.DatabaseSelf, "cb1"},
		{"join of no name", func() error { return alone.Join(ctx, "nowhere.invalid") }, problem.DatabaseName, ""},
		{"connect of no name", func() error { return alone.Connect(ctx, "nowhere.invalid") }, problem.DatabaseName, ""},
		{"join by another authority", func() error { return stranger.Join(ctx, member.address) }, problem.DatabaseTLS, "not in the trust bundle"},
		{"connect by another authority", func() error { return stranger.Connect(ctx, member.address) }, problem.DatabaseTLS, "not in the trust bundle"},
		{"connect by another name", func() error { return client.Connect(ctx, member.address) }, problem.DatabaseTLS, "names somebody and not postgres"},
		{"initialize without certificates", func() error { return bare.Initialize(ctx, false) }, problem.DatabaseUnready, "server_key"},
		{"connect without certificates", func() error { return bare.Connect(ctx, member.address) }, problem.DatabaseUnready, "<client_key> <client_crt> <ca>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.err(); problem.CodeOf(err) != tt.want || !strings.Contains(err.Error(), tt.detail) {
				t.Errorf("error %v; want %q with %q", err, tt.want, tt.detail)
			}
		})
	}
	for _, n := range []*node{alone, stranger, client, bare} {
		if s, err := n.Status(ctx); err != nil || s.Mode != databaseapi.Alone {
			t.Errorf("Status = %+v, %v; want alone", s, err)
		}
	}
	member.awaitNodes(member)
}

// TestPlace: what a join that did not come to its end has left is removed, and
// nothing else.
func TestPlace(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"store-1", "store-2", "notes"} {
		must(t, os.Mkdir(filepath.Join(dir, f), 0o700))
	}
	folders := func() (names []string) {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	p, err := loadPlace(dir)
	if d := cmp.Diff(place{Mode: databaseapi.Alone, Folder: "store-1"}, p); d != "" || err != nil {
		t.Errorf("loadPlace: %v\n%s", err, d)
	}
	if d := cmp.Diff([]string{"notes", "store-1"}, folders()); d != "" {
		t.Errorf("folders (-want +got):\n%s", d)
	}
	want := place{Mode: databaseapi.Member, Folder: p.nextFolder(), Servers: []string{"h:1"}, Last: databaseapi.Command{Text: "x", OK: true}}
	must(t, want.save(dir))
	got, err := loadPlace(dir)
	if d := cmp.Diff(want, got); d != "" || err != nil || want.nextFolder() != "store-1" {
		t.Errorf("loadPlace of what was saved: %v\n%s", err, d)
	}
	if d := cmp.Diff([]string{"node.json", "notes"}, folders()); d != "" {
		t.Errorf("folders (-want +got):\n%s", d)
	}
	must(t, os.WriteFile(filepath.Join(dir, filePlace), []byte("{"), 0o600))
	if _, err := loadPlace(dir); err == nil {
		t.Error("loadPlace of a damaged file = nil; want an error")
	}
}
