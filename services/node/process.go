package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"parley/init/initapi"
	"parley/services/callbridge"
	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/control"
	"parley/services/database"
	"parley/services/database/databaseapi"
	"parley/services/diagnosis"
	"parley/services/eventlog/eventlogapi"
	"parley/services/eventlog/trace"
	"parley/services/journal"
	"parley/services/network"
	"parley/services/network/networkapi"
	"parley/services/sshd"
	"parley/services/webadmin"
	"parley/services/xmpp"
	"parley/services/xmpp/xmppapi"
)

// Config of a node that is one ordinary process.
type Config struct {
	// State is the folder that outlives the process.
	State string
	// Address is what interface a has.
	Address netip.Addr
	SSHPort int
	Version string
	// Out is told once how to reach the node.
	Out io.Writer
}

// ownGroup leaves control sockets to the process's own group.
const ownGroup = -1

// errReboot ends the services to start them again.
var errReboot = errors.New("reboot")

// Run is a node until ctx ends, the console's shutdown, or a service fails.
func Run(ctx context.Context, cfg Config) error {
	paths := config.FolderPaths(cfg.State)
	for _, dir := range []string{paths.State, paths.Files(), paths.SSH(), paths.Log(), paths.XMPP(), paths.Database(), paths.Run} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make folder %s: %w", dir, err)
		}
	}
	lock, err := lockState(paths.State)
	if err != nil {
		return err
	}
	defer lock.Close()
	fmt.Fprintf(cfg.Out, "node of %s: ssh -p %d admin@%s, XMPP on %s, components on %s\n", cfg.State, cfg.SSHPort, cfg.Address,
		netip.AddrPortFrom(cfg.Address, xmpp.ClientPort), netip.AddrPortFrom(cfg.Address, xmpp.ComponentPort))
	for {
		if err := runOnce(ctx, cfg, paths); !errors.Is(err, errReboot) {
			return err
		}
	}
}

// ErrRunning is a state folder whose node is up.
var ErrRunning = errors.New("a node already runs there; stop it first, or give another folder with -state")

// lockState keeps a second node off the folder: it would take the first one's
// control sockets. The lock goes with the process.
func lockState(state string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(state, ".running"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", state, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", state, ErrRunning)
		}
		return nil, fmt.Errorf("lock %s: %w", state, err)
	}
	return f, nil
}

// runOnce runs all services until one of them ends, and waits for the others.
func runOnce(ctx context.Context, cfg Config, paths config.Paths) error {
	store := config.NewStore(paths.Live())
	desk := NewDesk(paths, journal.New(paths.Log(), hostname(store)))
	log := desk.Journal.Logger(slog.LevelInfo)
	if err := desk.Files.Prepare(); err != nil {
		return err
	}
	run, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	power := &initapi.Process{
		Version: cfg.Version, Started: time.Now(), State: paths.State,
		RestartAll: func() { stop(errReboot) }, End: func() { stop(context.Canceled) },
	}
	events := eventlogapi.NewClient(paths.Socket("eventlog"))
	xmppTrace, dnsTrace, bridgeTrace := trace.New(trace.XMPP, events), trace.New(trace.DNS, events), trace.New(trace.CallBridge, events)
	net := network.NewProcess(network.ProcessConfig{
		Address: cfg.Address, Socket: paths.Socket("network"), ResolvConf: "/etc/resolv.conf",
	}, store, dnsTrace.Logger(log))
	services := map[string]interface{ Run(context.Context) error }{
		"init":    &control.Server{Path: paths.Socket("init"), Handler: initapi.Handler(power), Group: ownGroup, Log: log},
		"network": net,
		"xmpp": xmpp.New(xmpp.Config{Paths: paths, Group: ownGroup, Version: cfg.Version},
			xmpp.Deps{Config: store, Listen: net.Listen, Address: net.InterfaceAddress, Names: net.Names(), Examine: diagnosis.New(diagnosis.Machine(paths)).Answer, Log: xmppTrace.Logger(log)}),
		// Faults live as long as this process: its services are all in it.
		"eventlog": EventLog(paths, ownGroup, "", log),
		"callbridge": callbridge.New(callbridge.Config{Paths: paths, Group: ownGroup}, callbridge.Deps{
			Config: store, Names: net, Events: events,
			Own: func() []netip.Addr { return []netip.Addr{cfg.Address} }, Deployment: databaseapi.NewClient(paths.Socket("database")), Log: bridgeTrace.Logger(log),
		}),
		"database": database.New(database.Config{Paths: paths, Group: ownGroup, Version: cfg.Version},
			database.Deps{Config: store, Listen: net.Listen, Address: net.InterfaceAddress, Names: net.Names(), Log: log}),
		"trace of xmpp": xmppTrace, "trace of dns": dnsTrace, "trace of callbridge": bridgeTrace,
		"sshd":     desk.SSH(sshListen(cfg), log),
		"webadmin": desk.Webadmin(ownGroup, net.Listen, log),
	}
	var running sync.WaitGroup
	for name, s := range services {
		running.Go(func() {
			if err := s.Run(run); err != nil {
				stop(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	running.Wait()
	if err := context.Cause(run); ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// sshListen opens the SSH port on the node's address.
func sshListen(cfg Config) func(context.Context) ([]net.Listener, error) {
	return func(ctx context.Context) ([]net.Listener, error) {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(cfg.Address.String(), strconv.Itoa(cfg.SSHPort)))
		if err != nil {
			return nil, fmt.Errorf("listen for SSH: %w; choose another port with -ssh-port", err)
		}
		return []net.Listener{l}, nil
	}
}

// SSH is the SSH and SFTP service over the desk.
func (d *Desk) SSH(listen func(context.Context) ([]net.Listener, error), log *slog.Logger) *sshd.Server {
	return sshd.New(sshd.Config{Keys: d.Paths.SSH()}, sshd.Deps{
		Listen: listen, Console: d.Console, Accounts: d.Accounts, Files: d.Files, Journal: d.Journal, Log: log,
	})
}

// Webadmin is the web interface over the desk; group owns its control socket.
func (d *Desk) Webadmin(group int, listen network.Listener, log *slog.Logger) *webadmin.Server {
	return webadmin.New(webadmin.Config{Socket: d.Paths.Socket("webadmin"), Group: group}, webadmin.Deps{
		Config: d.Config, Accounts: d.Accounts, Files: d.Files, Listen: listen,
		Init:       initapi.NewClient(d.Paths.Socket("init")),
		XMPP:       xmppapi.NewClient(d.Paths.Socket("xmpp")),
		CallBridge: callbridgeapi.NewClient(d.Paths.Socket("callbridge")),
		Events:     eventlogapi.NewClient(d.Paths.Socket("eventlog")),
		Database:   databaseapi.NewClient(d.Paths.Socket("database")),
		Network:    networkapi.NewClient(d.Paths.Socket("network")),
		Diagnose:   diagnosis.New(diagnosis.Machine(d.Paths)).Run,
		Audit:      d.Journal, Log: log, Now: time.Now,
	})
}
