package network

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/services/config"
	"parley/services/network/dhcp"
	"parley/services/network/networkapi"
	"parley/services/network/resolver"
)

// bench is a service on a kernel in memory.
type bench struct {
	t       *testing.T
	service *Service
	kernel  *memoryKernel
	dhcp    *memoryDHCP
	doors   *memoryDoors
	store   *config.Store
	client  *networkapi.Client
	path    string
	sysfs   string
	names   []string
	mu      sync.Mutex
	stop    func()
}

func newBench(t *testing.T) *bench {
	dir := t.TempDir()
	b := &bench{t: t, dhcp: &memoryDHCP{}, doors: &memoryDoors{at: map[string]string{}}, path: filepath.Join(dir, "live.json"), stop: func() {}}
	b.store = config.NewStore(b.path)
	b.kernel = newMemoryKernel(
		Link{Index: 2, Name: "eth0", MAC: macB, MTU: 1500, Carrier: true},
		Link{Index: 3, Name: "eth1", MAC: macA, MTU: 1500, Carrier: true})
	b.sysfs = fakeSysfs(t,
		card{"eth0", macB, "pci0000:00/0000:00:04.0", "0"},
		card{"eth1", macA, "pci0000:00/0000:00:03.0", "0"})
	return b
}

func (b *bench) start() {
	b.t.Helper()
	socket := filepath.Join(filepath.Dir(b.path), "network.sock")
	b.client = networkapi.NewClient(socket)
	b.service = New(Config{Socket: socket, Group: -1, Sysfs: b.sysfs, Resolver: "127.0.0.1:0"}, Deps{
		Store:  b.store,
		Kernel: b.kernel,
		SetHostname: func(name string) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.names = append(b.names, name)
			return nil
		},
		DHCP:    func(string, string, func() string) (dhcp.Wire, error) { return b.dhcp, nil },
		DNS:     resolver.Sockets{},
		DNSDoor: b.doors.open,
		Log:     slog.New(slog.NewTextHandler(b.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error)
	go func() { done <- b.service.Run(ctx) }()
	var once sync.Once
	b.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				b.t.Errorf("Run = %v", err)
			}
		})
	}
	b.t.Cleanup(b.stop)
	b.await("the control socket", func() bool { _, err := b.client.Interfaces(b.t.Context()); return err == nil })
}

func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

func (b *bench) await(what string, cond func() bool) {
	b.t.Helper()
	await(b.t, what, cond)
}

func (b *bench) addresses(name string) string {
	b.t.Helper()
	is, err := b.client.Interfaces(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, i := range is {
		if i.Name == name {
			var all []string
			for _, p := range i.Addresses {
				all = append(all, p.String())
			}
			return strings.Join(all, " ")
		}
	}
	return "no such interface"
}

// change is what the console does.
func (b *bench) change(f func(*config.Document)) error {
	return b.store.Transact(
		func(d *config.Document) error { f(d); return nil },
		func() error { return b.client.Reload(b.t.Context()) })
}

func fixed(t testing.TB, p, gw string) config.IPv4 {
	t.Helper()
	return config.IPv4{Enabled: true, Address: netip.MustParsePrefix(p), Gateway: addr(gw)}
}

func set(name string, v4 config.IPv4) func(*config.Document) {
	return func(d *config.Document) {
		i := d.Interfaces[name]
		i.IPv4 = v4
		d.Interfaces[name] = i
	}
}

func lease(p, gw, dns string) dhcp.Lease {
	now := time.Now()
	return dhcp.Lease{
		Server: addr(gw), Address: netip.MustParsePrefix(p), Gateway: addr(gw), DNS: []netip.Addr{addr(dns)},
		Renew: now.Add(time.Hour), Rebind: now.Add(2 * time.Hour), Expires: now.Add(3 * time.Hour),
	}
}
