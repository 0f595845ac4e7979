package network

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parley/services/config"
	"parley/services/network/networkapi"
	"parley/services/problem"
)

// process is a node that is this process, at 127.0.0.11, with its store.
func process(t *testing.T) (*Process, *networkapi.Client, *config.Store) {
	t.Helper()
	dir := t.TempDir()
	store := config.NewStore(filepath.Join(dir, "live.json"))
	conf := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(conf, []byte("# of the host\nnameserver 127.0.0.99\nnameserver ::1\nsearch example.com\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "network.sock")
	p := NewProcess(ProcessConfig{Address: netip.MustParseAddr("127.0.0.11"), Socket: socket, ResolvConf: conf, Resolver: "127.0.0.1:0"},
		store, slog.New(slog.NewTextHandler(t.Output(), nil)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	c := networkapi.NewClient(socket)
	await(t, "the control socket", func() bool { _, err := c.Interfaces(t.Context()); return err == nil })
	return p, c, store
}

func TestProcessHasItsAddress(t *testing.T) {
	p, c, store := process(t)
	d, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}
	if a := d.Interfaces["a"].IPv4; a.DHCP || !a.Enabled || a.Address.String() != "127.0.0.11/8" || len(d.Interfaces) != 1 {
		t.Errorf("live.json has %+v", d.Interfaces)
	}
	is, err := c.Interfaces(t.Context())
	if err != nil || len(is) != 1 || is[0].Name != "a" || len(is[0].Addresses) != 1 || is[0].Addresses[0].String() != "127.0.0.11/8" || !is[0].Up || is[0].MTU == 0 {
		t.Errorf("Interfaces = %+v, %v", is, err)
	}
	var servers []string
	for _, s := range p.hostServers() {
		servers = append(servers, s.String())
	}
	if got := strings.Join(servers, " "); got != "127.0.0.99:53 [::1]:53" {
		t.Errorf("the host's servers are %s", got)
	}
}

func TestProcessTakesDNSButNoAddress(t *testing.T) {
	p, c, store := process(t)
	change := func(f func(*config.Document)) error {
		return store.Transact(func(d *config.Document) error { f(d); return nil }, func() error { return c.Reload(t.Context()) })
	}
	if err := change(func(d *config.Document) {
		d.Hostname = "cb1"
		d.DNS.Records = []string{"_xmpp-component._tcp.tptac9.com. 86400 IN SRV 0 0 5223 cb1.tptac9.com.", "cb1.tptac9.com A 127.0.0.11"}
	}); err != nil {
		t.Fatal(problem.Text(err))
	}
	a, err := c.Lookup(t.Context(), "srv", "_xmpp-component._tcp.tptac9.com")
	if err != nil || a.Source != "local record" || a.Code != "NOERROR" || len(a.Records) != 1 || a.Server.IsValid() {
		t.Errorf("Lookup = %+v, %v", a, err)
	}
	servers, err := c.NameServers(t.Context())
	if want := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.99:53"), netip.MustParseAddrPort("[::1]:53")}; err != nil || !slices.Equal(servers, want) {
		t.Errorf("NameServers = %v, %v; want the host's, %v", servers, err, want)
	}
	if got, err := p.Names().LookupHost(t.Context(), "cb1.tptac9.com."); err != nil || len(got) != 1 || got[0] != "127.0.0.11" {
		t.Errorf("LookupHost = %v, %v; want the local record", got, err)
	}
	for _, tt := range []struct {
		name   string
		change func(*config.Document)
		want   problem.Code
	}{
		{"address", set("a", fixed(t, "10.0.0.5/24", "")), problem.AddressFixed},
		{"DHCP", set("a", config.IPv4{Enabled: true, DHCP: true}), problem.AddressFixed},
		{"second interface", set("b", fixed(t, "10.0.0.5/24", "")), problem.AddressFixed},
		{"unknown interface", set("x", fixed(t, "10.0.0.5/24", "")), problem.InterfaceUnknown},
		{"record", func(d *config.Document) { d.DNS.Records = append(d.DNS.Records, "x") }, problem.RecordBad},
		{"host name", func(d *config.Document) { d.Hostname = "a b" }, problem.HostnameBad},
	} {
		before, _ := store.Load()
		if err := change(tt.change); problem.CodeOf(err) != tt.want {
			t.Errorf("%s: %v; want %s", tt.name, err, tt.want)
		}
		if after, _ := store.Load(); after.Hostname != before.Hostname || len(after.Interfaces) != 1 || len(after.DNS.Records) != 2 {
			t.Errorf("%s: live.json is now %+v", tt.name, after)
		}
	}
	if err := c.FlushDNS(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.Lookup(t.Context(), "a", "cb1.tptac9.com"); err != nil {
		t.Error(err)
	}
	_, err = c.Lookup(t.Context(), "a", "elsewhere.example.com")
	if problem.CodeOf(err) != problem.NameServersSilent {
		t.Errorf("Lookup by the host's servers, which are silent: %v; want %s", err, problem.NameServersSilent)
	}
}

func TestProcessListens(t *testing.T) {
	p, _, _ := process(t)
	ls, err := p.Listen(t.Context(), []string{"a"}, 0)
	if err != nil {
		t.Fatal(problem.Text(err))
	}
	answers(t, ls)
	at := netip.MustParseAddrPort(ls[0].Addr().String())
	if at.Addr().String() != "127.0.0.11" || !reaches(at.String()) {
		t.Errorf("listens on %v", at)
	}
	for name, want := range map[string]problem.Code{"a": problem.PortTaken, "b": problem.InterfaceAbsent, "x": problem.InterfaceUnknown} {
		if _, err := p.Listen(t.Context(), []string{name}, int(at.Port())); problem.CodeOf(err) != want {
			t.Errorf("Listen on %s = %v; want %s", name, err, want)
		}
	}
	if ls, err := p.Listen(t.Context(), nil, 5222); ls != nil || err != nil {
		t.Errorf("no interfaces: %v, %v", ls, err)
	}
}

func TestProcessPings(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		ip(t, "link", "set", "dev", "lo", "up")
		allowPing(t)
		_, c, _ := process(t)
		e, err := c.Ping(t.Context(), "127.0.0.11", 3)
		if err != nil || e.From.String() != "127.0.0.11" || e.Seq != 3 {
			t.Errorf("Ping = %+v, %v", e, err)
		}
	})
}
