// Package callbridge is the Call Bridge's connection to the XMPP servers: one
// component connection (XEP-0114 over TLS), to the server that live.json names
// or to one that the DNS names, made anew when it breaks. It tells what it is
// doing by its control socket, the event log and one fault condition. What is
// done over the connection is not its matter.
package callbridge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/callbridge/directory"
	"parley/services/callbridge/settings"
	"parley/services/config"
	"parley/services/control"
	"parley/services/eventlog/eventlogapi"
	"parley/services/network/networkapi"
)

// Config of a Bridge.
type Config struct {
	Paths config.Paths
	// Group owns the control socket; -1 leaves it to the process's own.
	Group int
}

// Names is how names are looked up: networkapi.API has it.
type Names interface {
	Lookup(ctx context.Context, kind, name string) (networkapi.Answer, error)
	ForgetDenials(ctx context.Context) error
}

// Events takes what the event log is told: eventlogapi.API has it.
type Events interface {
	Log(ctx context.Context, events ...eventlogapi.Event) error
	Raise(ctx context.Context, f eventlogapi.Fault) error
	Drop(ctx context.Context, key string) error
}

// Deps of a Bridge.
type Deps struct {
	Config *config.Store
	Names  Names
	Events Events
	// Own are the addresses by which this node reaches its own XMPP server;
	// the first is what "localhost" stands for.
	Own func() []netip.Addr
	// Dial opens a TCP connection; nil is the usual way.
	Dial func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
	// Deployment is where the bridge is listed among the others, and the
	// directory's settings are that it shares with them; nil for nowhere.
	Deployment Deployment
	Log        *slog.Logger
}

// Bridge is the service. Run it once; the methods of callbridgeapi.API may
// then be called from any goroutine.
type Bridge struct {
	cfg      Config
	deps     Deps
	log      *slog.Logger
	reporter *reporter
	people   *people
	twins    *twins

	// making is held while a component connection is made and none is there:
	// the server knows one connection by a name, and a second ends the first.
	making chan struct{}
	// taking is held while the directory's settings are read and taken, and
	// guards what follows: the file that they are kept in, the last that are
	// known, when they were first looked at, and that the log was told of a
	// file that cannot be written.
	taking sync.Mutex
	kept   *settings.Kept
	last   settings.InForce
	begun  time.Time
	unkept bool
	// listed has room for one word that the configuration has changed.
	listed chan struct{}

	mu sync.Mutex
	// conf is live.json as it was taken last.
	conf config.CallBridge
	// again ends what is done by the old conf; nil before Run.
	again  context.CancelFunc
	status status
}

var _ callbridgeapi.API = (*Bridge)(nil)

// New returns a bridge that has not started.
func New(cfg Config, deps Deps) *Bridge {
	if deps.Dial == nil {
		deps.Dial = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr.String())
		}
	}
	log := deps.Log.With("component", "callbridge")
	b := &Bridge{
		cfg: cfg, deps: deps, log: log, reporter: newReporter(faultKey, deps.Events, log), twins: newTwins(deps.Events, log),
		making: make(chan struct{}, 1), listed: make(chan struct{}, 1), kept: settings.NewKept(cfg.Paths.CallBridge()),
	}
	b.people = newPeople(cfg.Paths.Files(), deps, b.forget, log)
	return b
}

// Run keeps the connection until ctx ends.
func (b *Bridge) Run(ctx context.Context) error {
	d, err := b.deps.Config.Load()
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.conf = d.CallBridge
	b.mu.Unlock()
	b.people.rest(!d.CallBridge.Enabled)
	if b.deps.Deployment == nil {
		b.people.take(d.Directory, true)
	}
	socket := &control.Server{Path: b.cfg.Paths.Socket("callbridge"), Handler: callbridgeapi.Handler(b), Group: b.cfg.Group, Log: b.log}
	run, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var running sync.WaitGroup
	running.Go(func() { stop(socket.Run(run)) })
	running.Go(func() { b.reporter.run(run) })
	running.Go(func() { b.twins.run(run) })
	running.Go(func() { b.people.reporter.run(run) })
	running.Go(func() { b.people.run(run) })
	running.Go(func() { b.enlist(run) })
	running.Go(func() { b.follow(run) })
	b.keep(run)
	running.Wait()
	if err := context.Cause(run); ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// keep has a connection by each configuration, one after the other.
func (b *Bridge) keep(ctx context.Context) {
	for ctx.Err() == nil {
		run, stop := context.WithCancel(ctx)
		b.mu.Lock()
		b.again = stop
		conf := b.conf
		b.mu.Unlock()
		if ready(conf) {
			b.connect(run, conf)
		} else {
			b.idle(conf)
			<-run.Done()
		}
		stop()
	}
}

// ready says whether there is what a connection needs. A secret that is missing
// is the server's to refuse, as any that is wrong.
func ready(conf config.CallBridge) bool {
	return conf.Enabled && conf.XMPP.Name != "" && conf.XMPP.Domain != ""
}

// Reload implements callbridgeapi.API. What does not concern the connection
// leaves it alone.
func (b *Bridge) Reload(ctx context.Context) error {
	d, err := b.deps.Config.Load()
	if err != nil {
		return err
	}
	if err := CheckLink(d.CallBridge.XMPP); err != nil {
		return err
	}
	if _, err := loadTrust(b.cfg.Paths.Files(), d.CallBridge.Trust); err != nil {
		return err
	}
	if err := directory.CheckSettings(d.Directory); err != nil {
		return err
	}
	b.people.rest(!d.CallBridge.Enabled)
	// Changes of anything else do not depend on the database.
	if err := b.takeDirectory(ctx); err != nil {
		b.log.Warn("settings of the directory not looked at", "err", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.listed <- struct{}{}:
	default:
	}
	old, now := b.conf, d.CallBridge
	b.conf = now
	if b.again != nil && (old.Enabled != now.Enabled || old.XMPP != now.XMPP || old.Trust != now.Trust) {
		b.again()
	}
	return nil
}

// Restart implements callbridgeapi.API.
func (b *Bridge) Restart(ctx context.Context) error {
	b.forgetDenials(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.again != nil {
		b.again()
	}
	return nil
}
