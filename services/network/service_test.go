package network

import (
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/config"
	"parley/services/network/dhcp"
	"parley/services/problem"
)

func TestFirstBootNamesPinsAndLeases(t *testing.T) {
	b := newBench(t)
	b.dhcp.grant = lease("10.1.0.7/24", "10.1.0.1", "10.1.0.53")
	b.start()
	b.await("a lease", func() bool { return b.addresses("a") == "10.1.0.7/24" })
	d, err := b.store.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": macA, "b": macB}, pinsOf(d)); diff != "" {
		t.Errorf("pins (-want +got):\n%s", diff)
	}
	is, err := b.client.Interfaces(t.Context())
	if err != nil || len(is) != 2 {
		t.Fatalf("Interfaces = %v, %v; want a and b", is, err)
	}
	a := is[0]
	if a.MAC != macA || !a.Up || a.MTU != 1500 || a.Speed != 0 || a.Duplex != "" || a.Lease == nil || a.Lease.Server != addr("10.1.0.1") {
		t.Errorf("interface a is %+v", a)
	}
	if len(a.Routes) != 1 || a.Routes[0].Gateway != addr("10.1.0.1") || !a.Routes[0].Global {
		t.Errorf("routes of a are %+v; want one by 10.1.0.1", a.Routes)
	}
	if got := *b.service.servers.Load(); len(got) != 1 || got[0].String() != "10.1.0.53:53" {
		t.Errorf("servers are %v; want the lease's", got)
	}
	links, _ := b.kernel.Links()
	for _, l := range links {
		if want := l.Name == "a" || l.Name == "lo"; l.Up != want {
			t.Errorf("link %s up = %v; want %v", l.Name, l.Up, want)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.names, []string{"parley"}) {
		t.Errorf("host names set: %v; want parley once", b.names)
	}
}

func TestReloadAppliesOnlyDifferences(t *testing.T) {
	b := newBench(t)
	b.start()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(problem.Text(err))
		}
	}
	must(b.change(set("a", fixed(t, "10.0.0.5/24", "10.0.0.1"))))
	must(b.change(set("b", fixed(t, "10.0.1.5/24", "10.0.1.1"))))
	b.kernel.takeLog()
	must(b.change(func(d *config.Document) { d.Hostname = "cb1" }))
	must(b.change(set("a", fixed(t, "10.0.0.5/24", "10.0.0.1"))))
	if log := b.kernel.takeLog(); len(log) > 0 {
		t.Errorf("a document with the same interfaces changed %v", log)
	}
	must(b.change(set("a", fixed(t, "10.0.0.6/24", "10.0.0.2"))))
	want := []string{"a: no route 0.0.0.0/0", "a: no address 10.0.0.5/24", "a: address 10.0.0.6/24", "a: route 0.0.0.0/0 by 10.0.0.2 metric 100"}
	if diff := cmp.Diff(want, b.kernel.takeLog()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	// The default interface moves, and the address of a to b.
	must(b.change(func(d *config.Document) {
		set("a", fixed(t, "10.0.2.5/24", "10.0.2.1"))(d)
		set("b", config.IPv4{Enabled: true, Default: true, Address: netip.MustParsePrefix("10.0.0.6/24"), Gateway: addr("10.0.0.1")})(d)
	}))
	if got := b.addresses("a") + ", " + b.addresses("b"); got != "10.0.2.5/24, 10.0.0.6/24" {
		t.Errorf("addresses are %s", got)
	}
	routes, _ := b.kernel.Routes(2)
	if len(routes) != 1 || routes[0].Metric != defaultMetric {
		t.Errorf("routes of b are %v; want the default one", routes)
	}
	must(b.change(func(d *config.Document) {
		i := d.Interfaces["a"]
		i.MTU = 1400
		d.Interfaces["a"] = i
	}))
	must(b.change(func(d *config.Document) {
		i := d.Interfaces["a"]
		i.MTU, i.IPv4.Enabled = 0, false
		d.Interfaces["a"] = i
	}))
	links, _ := b.kernel.Links()
	for _, l := range links {
		if l.Name == "a" && (l.Up || l.MTU != 1500) {
			t.Errorf("disabled link is %+v; want it down with its own MTU", l)
		}
	}
}

func TestRefusedReloadChangesNothing(t *testing.T) {
	b := newBench(t)
	b.start()
	if err := b.change(set("a", fixed(t, "10.0.0.5/24", "10.0.0.1"))); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*config.Document)
		want   problem.Code
	}{
		{"bad gateway", set("a", fixed(t, "10.0.0.5/24", "10.9.0.1")), problem.GatewayBad},
		{"absent interface", set("c", fixed(t, "10.0.3.5/24", "")), problem.InterfaceAbsent},
		{"same subnet", set("b", fixed(t, "10.0.0.9/24", "")), problem.SubnetTwice},
		{"bad record", func(d *config.Document) { d.DNS.Records = []string{"nonsense"} }, problem.RecordBad},
		// Only the kernel knows what the card takes; what was done before
		// it said no is undone.
		{"MTU too great for the card", func(d *config.Document) {
			set("b", fixed(t, "10.0.1.5/24", "10.0.1.1"))(d)
			d.Hostname = "other"
			i := d.Interfaces["a"]
			i.MTU = 9100
			d.Interfaces["a"] = i
		}, problem.MTURefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			links, _ := b.kernel.Links()
			if err := b.change(tt.change); problem.CodeOf(err) != tt.want {
				t.Errorf("change = %v; want %s", err, tt.want)
			}
			after, _ := os.ReadFile(b.path)
			if string(after) != string(before) {
				t.Errorf("live.json is now\n%s", after)
			}
			now, _ := b.kernel.Links()
			if diff := cmp.Diff(links, now); diff != "" {
				t.Errorf("links (-before +after):\n%s", diff)
			}
			if got := b.addresses("a") + ", " + b.addresses("b"); got != "10.0.0.5/24, " {
				t.Errorf("addresses are now %s", got)
			}
			if got := *b.service.hostname.Load(); got != "parley" {
				t.Errorf("host name is now %s", got)
			}
		})
	}
}

func TestLeaseIsGivenBackWhenDHCPEnds(t *testing.T) {
	b := newBench(t)
	b.dhcp.grant = lease("10.1.0.7/24", "10.1.0.1", "10.1.0.53")
	b.start()
	b.await("a lease", func() bool { return b.addresses("a") == "10.1.0.7/24" })
	if err := b.change(set("b", fixed(t, "10.1.0.9/24", ""))); problem.CodeOf(err) != problem.SubnetTwice {
		t.Errorf("a static address in the lease's subnet: %v; want %s", err, problem.SubnetTwice)
	}
	if err := b.change(set("a", fixed(t, "10.0.0.5/24", "10.0.0.1"))); err != nil {
		t.Fatal(err)
	}
	if got := b.addresses("a"); got != "10.0.0.5/24" {
		t.Errorf("addresses are %s; want the static one", got)
	}
	if diff := cmp.Diff([]string{"10.1.0.7/24"}, text(b.dhcp.released)); diff != "" {
		t.Errorf("released (-want +got):\n%s", diff)
	}
	if got := *b.service.servers.Load(); len(got) != 0 {
		t.Errorf("servers are %v; want none without a lease", got)
	}
}

func text(ps []netip.Prefix) []string {
	var out []string
	for _, p := range ps {
		out = append(out, p.String())
	}
	return out
}

func TestRestartKeepsTheLeasedAddress(t *testing.T) {
	b := newBench(t)
	b.dhcp.grant = lease("10.1.0.7/24", "10.1.0.1", "10.1.0.53")
	b.start()
	b.await("a lease", func() bool { return b.addresses("a") == "10.1.0.7/24" })
	b.stop()
	if len(b.dhcp.released) > 0 {
		t.Errorf("a restart gave %v back", b.dhcp.released)
	}
	b.dhcp.grant = dhcp.Lease{}
	b.dhcp.hints = nil
	b.start()
	b.await("a request", func() bool { b.dhcp.mu.Lock(); defer b.dhcp.mu.Unlock(); return len(b.dhcp.hints) > 0 })
	if got := b.addresses("a"); got != "10.1.0.7/24" {
		t.Errorf("while no server answers the address is %q; want the one from before", got)
	}
	if got := b.dhcp.hints[0]; got != addr("10.1.0.7") {
		t.Errorf("asks for %v; want the address that it has", got)
	}
}

func TestCarrierThatComesBackVerifiesTheLease(t *testing.T) {
	b := newBench(t)
	b.kernel.carrier(3, false)
	b.dhcp.grant = lease("10.1.0.7/24", "10.1.0.1", "10.1.0.53")
	b.start()
	if len(b.dhcp.hints) > 0 {
		t.Error("asked for a lease without carrier")
	}
	b.kernel.carrier(3, true)
	b.await("a lease", func() bool { return b.addresses("a") == "10.1.0.7/24" })
	b.kernel.carrier(3, false)
	b.await("the carrier to be seen", func() bool {
		is, err := b.client.Interfaces(t.Context())
		return err == nil && !is[0].Up
	})
	b.service.relink()
	b.dhcp.mu.Lock()
	b.dhcp.refuse, b.dhcp.grant = true, lease("10.2.0.7/24", "10.2.0.1", "10.2.0.53")
	b.dhcp.mu.Unlock()
	b.kernel.carrier(3, true)
	b.await("the other network's address", func() bool { return b.addresses("a") == "10.2.0.7/24" })
}

func TestLeasedMTUBeyondTheCardCostsNoAddress(t *testing.T) {
	b := newBench(t)
	b.dhcp.grant = lease("10.1.0.7/24", "10.1.0.1", "10.1.0.53")
	b.dhcp.grant.MTU = 60000
	b.start()
	b.await("the address", func() bool { return b.addresses("a") == "10.1.0.7/24" })
}

func TestBrokenDocumentLeavesTheNodeReachable(t *testing.T) {
	b := newBench(t)
	b.dhcp.grant = lease("10.1.0.7/24", "10.1.0.1", "10.1.0.53")
	if err := os.WriteFile(b.path, []byte(`{"hostname":`), 0o640); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.await("a lease by the default document", func() bool { return b.addresses("a") == "10.1.0.7/24" })
	if err := b.client.Reload(t.Context()); err == nil {
		t.Error("Reload of a broken document succeeded")
	}
	data, _ := os.ReadFile(b.path)
	if json.Valid(data) {
		t.Errorf("the broken document was replaced by %s", data)
	}
}
