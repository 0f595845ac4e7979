package callbridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/eventlog/eventlogapi"
	"parley/services/network/networkapi"
)

// zone answers look-ups from records in zone-file form.
type zone struct {
	mu      sync.Mutex
	records []string
	err     error
	asked   int
}

func (z *zone) set(records ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records = records
}

// Lookup implements Names.
func (z *zone) Lookup(_ context.Context, kind, name string) (networkapi.Answer, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	if z.err != nil {
		return networkapi.Answer{}, z.err
	}
	a := networkapi.Answer{Source: "server", Server: netip.MustParseAddrPort("10.0.0.53:53"), Code: "NXDOMAIN"}
	for _, r := range z.records {
		f := strings.Fields(r)
		if !strings.EqualFold(strings.TrimSuffix(f[0], "."), strings.TrimSuffix(name, ".")) {
			continue
		}
		a.Code = "NOERROR"
		if strings.EqualFold(f[3], kind) {
			a.Records = append(a.Records, r)
		}
	}
	return a, nil
}

// ForgetDenials implements Names; nothing is cached here.
func (z *zone) ForgetDenials(context.Context) error { return nil }

// eventLog is one in memory; while deaf it takes nothing.
type eventLog struct {
	mu     sync.Mutex
	deaf   bool
	events []eventlogapi.Event
	faults map[string]eventlogapi.Fault
}

var errDeaf = errors.New("the event log is deaf")

func (l *eventLog) hear(deaf bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = deaf
}

// Log implements Events.
func (l *eventLog) Log(_ context.Context, es ...eventlogapi.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf {
		return errDeaf
	}
	l.events = append(l.events, es...)
	return nil
}

// Raise implements Events.
func (l *eventLog) Raise(_ context.Context, f eventlogapi.Fault) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf {
		return errDeaf
	}
	if l.faults == nil {
		l.faults = map[string]eventlogapi.Fault{}
	}
	l.faults[f.Key] = f
	return nil
}

// Drop implements Events.
func (l *eventLog) Drop(_ context.Context, key string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf {
		return errDeaf
	}
	delete(l.faults, key)
	return nil
}

// messages are the texts so far.
func (l *eventLog) messages() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var texts []string
	for _, e := range l.events {
		texts = append(texts, e.Message)
	}
	return texts
}

// fault is the condition of the connection, zero for none.
func (l *eventLog) fault() eventlogapi.Fault { return l.faultOf(faultKey) }

// faultOf is the condition of a key, zero for none.
func (l *eventLog) faultOf(key string) eventlogapi.Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults[key]
}

// world is a bridge that runs, and what is around it.
type world struct {
	*Bridge
	t     testing.TB
	paths config.Paths
	store *config.Store
	zone  *zone
	log   *eventLog
	own   []netip.Addr
}

// newWorld makes a bridge that has not started. trust are the certificates that
// it trusts.
func newWorld(t testing.TB, link config.BridgeLink, trust ...[]byte) *world {
	t.Helper()
	w := &world{t: t, paths: config.FolderPaths(shortDir(t)), zone: &zone{}, log: &eventLog{}}
	w.store = config.NewStore(w.paths.Live())
	if err := os.MkdirAll(w.paths.Files(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.paths.Files(), "trust.crt"), slices.Concat(trust...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Update(func(d *config.Document) error {
		d.CallBridge = config.CallBridge{Enabled: true, Trust: "trust.crt", XMPP: link}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.Bridge = New(Config{Paths: w.paths, Group: -1}, Deps{
		Config: w.store, Names: w.zone, Events: w.log, Own: func() []netip.Addr { return w.own },
		Log: slog.New(slog.DiscardHandler),
	})
	return w
}

// run runs the bridge until the test ends.
func (w *world) run() {
	w.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			w.t.Errorf("Run = %v; want nil", err)
		}
	})
}

// now is the status.
func (w *world) now() callbridgeapi.Status {
	s, err := w.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// until waits for a state.
func (w *world) until(state callbridgeapi.State) callbridgeapi.Status {
	w.t.Helper()
	var last callbridgeapi.Status
	await(w.t, fmt.Sprintf("state %q", state), func() bool {
		last = w.now()
		return last.State == state
	})
	return last
}

// change changes live.json and has the bridge take it.
func (w *world) change(f func(*config.CallBridge)) error {
	return w.store.Transact(func(d *config.Document) error { f(&d.CallBridge); return nil },
		func() error { return w.Reload(w.t.Context()) })
}

// srv is a record for a server.
func srv(priority int, name string, at netip.AddrPort) string {
	return fmt.Sprintf("_xmpp-component._tcp.%s. 86400 IN SRV %d 0 %d %s.", domain, priority, at.Port(), name)
}

// a is its address.
func a(name string, at netip.AddrPort) string {
	return fmt.Sprintf("%s. 86400 IN A %s", name, at.Addr())
}
