// Package pid1 is the first process of the appliance: it makes the kernel's
// file systems and devices usable, opens the state partition, runs the
// services and consoles as processes of their own, and takes the machine down
// in order. It offers no service itself but a control socket, and it never
// ends.
package pid1

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"parley/init/initapi"
	"parley/init/state"
	"parley/init/supervise"
	"parley/services/config"
)

// Config says where things are; Appliance is that of the image.
type Config struct {
	Version string
	// Root is "/" outside tests.
	Root  string
	Paths config.Paths
	// Programs is the folder of the services' programs, Fsck e2fsck.
	Programs, Fsck string
	// Group owns the control socket.
	Group int
}

// Appliance is the configuration on the image.
func Appliance(version string) Config {
	return Config{
		Version: version, Root: "/", Paths: config.AppliancePaths(),
		Programs: "/bin", Fsck: "/sbin/e2fsck", Group: state.Parley,
	}
}

// Deps are init's edges to the machine.
type Deps struct {
	Kernel Kernel
	Events Events
	// Own changes owners of files.
	Own state.Owner
	// Launcher starts services; nil is the machine's.
	Launcher supervise.Launcher
	// Disks finds state partitions.
	Disks func() []state.Partition
}

// Machine is the edges to the real machine.
func Machine() Deps {
	return Deps{
		Kernel: linux{}, Events: &netlinkEvents{}, Own: state.Chown,
		Disks: func() []state.Partition { return state.Find("/sys", "/dev") },
	}
}

// Init is PID 1.
type Init struct {
	cfg     Config
	deps    Deps
	kernel  Kernel
	log     *slog.Logger
	journal *logs
	phases  *phases
	reaper  *supervise.Reaper
	// once: one fatal error is enough. countdown shows it for a while.
	once      sync.Once
	countdown func()

	// ctx ends when a stop was asked for, which is in requests.
	ctx      context.Context
	cancel   context.CancelCauseFunc
	requests chan power
	// devices is told of each device event.
	devices chan struct{}

	// ttys, fsck and halt are of Run's goroutine.
	ttys []string
	fsck state.Health
	// halt stops the services; nil before they were started.
	halt func()
	// mounted says that a state partition is.
	mounted atomic.Bool

	mu         sync.Mutex
	status     initapi.Status
	supervisor *supervise.Supervisor
}

// New returns init; Run does everything.
func New(cfg Config, deps Deps) *Init {
	i := &Init{
		cfg: cfg, deps: deps, kernel: deps.Kernel, journal: newLogs(), reaper: supervise.NewReaper(),
		requests: make(chan power, 1), devices: make(chan struct{}, 1),
	}
	i.countdown = i.countDown
	i.log = i.journal.Logger(slog.LevelInfo).With("component", "init")
	i.phases = &phases{out: &screens{}, uptime: deps.Kernel.Uptime, note: func(line string) { i.log.Info(line) }}
	return i
}

// Run boots, keeps the services running, and goes down when asked. It returns
// when the kernel has taken over, which on a machine nobody sees, or an error
// where it did not.
//
// The order is that of what needs what: signals are caught before there is any
// child that could send one, and orphans reaped before there is any.
func (i *Init) Run(ctx context.Context) (err error) {
	i.ctx, i.cancel = context.WithCancelCause(ctx)
	defer i.cancel(nil)
	caught := catch()
	defer signal.Stop(caught)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	spawn := func(f func(context.Context)) {
		wg.Add(1)
		go i.guard(func() {
			defer wg.Done()
			f(background)
		})
	}
	spawn(i.reaper.Run)
	spawn(func(ctx context.Context) {
		for {
			select {
			case s := <-caught:
				if p, ok := signals[s]; ok {
					i.ask(p)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	i.guard(func() { err = i.boot(spawn) })
	if err == nil {
		<-i.ctx.Done()
	}
	if stop, ok := errors.AsType[stopping](context.Cause(i.ctx)); ok {
		i.phases.say(stop.String())
		spawn(func(ctx context.Context) { i.limit(ctx, stop.power) })
		i.stopServices()
		return i.down(stop.power)
	}
	if err != nil {
		i.fatal(err.Error(), "")
	}
	return err
}

// boot is everything up to the running services. An error other than that of
// ctx means that the machine cannot work.
func (i *Init) boot(spawn func(func(context.Context))) error {
	if err := i.mountAll(early); err != nil {
		return err
	}
	i.configure()
	i.ttys = consoles(i.path("sys"))
	i.phases.out.use(i.path("dev"), i.ttys)
	kernel := initapi.KernelRelease()
	i.mu.Lock()
	i.status = initapi.Status{Version: i.cfg.Version, Kernel: kernel, Booted: time.Now().Add(-i.kernel.Uptime())}
	i.mu.Unlock()
	spawn(i.kernelLog)
	spawn(i.journal.keep)
	i.phases.say(fmt.Sprintf("Parley %s on Linux %s", i.cfg.Version, kernel))
	if err := i.loadModules(kernel, spawn); err != nil {
		return err
	}
	i.gatherRandomness()
	end := i.phases.begin("system")
	if err := i.mountLate(); err != nil {
		return err
	}
	if err := i.kernel.LoopbackUp(); err != nil {
		i.log.Error("switch on lo", "err", err)
	}
	end("file systems mounted")
	if err := i.openState(); err != nil {
		return err
	}
	return i.start(spawn)
}

// gatherRandomness asks for a random number and waits for it, but lets the
// boot go on. A machine without RDRAND or virtio-rng has no randomness after
// power-on, and the kernel makes some (from timing jitter) only while somebody
// waits; those who ask without waiting, as the DHCP client does, would be
// refused for ever. The goroutine is not waited for: nothing can interrupt it.
func (i *Init) gatherRandomness() {
	start := i.kernel.Uptime()
	go i.guard(func() {
		if err := i.kernel.Randomness(); err != nil {
			i.log.Error("random numbers", "err", err)
			return
		}
		i.log.Info("random numbers are good", "after", i.kernel.Uptime()-start)
	})
}

// start runs the services and returns when all have been started once.
func (i *Init) start(spawn func(func(context.Context))) error {
	end := i.phases.begin("services")
	why, clean := "", false
	if i.mounted.Load() {
		var err error
		if why, clean, err = takeMark(i.statePath(cleanMark)); err != nil {
			i.log.Error("boot record", "err", err)
		}
	}
	hostname := config.Default().Hostname
	if d, err := config.NewStore(i.cfg.Paths.Live()).Load(); err != nil {
		i.log.Error("configuration", "err", err)
	} else if d.Hostname != "" {
		hostname = d.Hostname
	}
	if err := i.kernel.SetHostname(hostname); err != nil {
		i.log.Error("set the host name", "err", err)
	}
	launcher := i.deps.Launcher
	if launcher == nil {
		launcher = &supervise.Host{
			Reaper: i.reaper, Cgroups: i.path("sys/fs/cgroup"), Guard: i.guard,
			Output: func(s supervise.Spec, line string) { _ = i.journal.Take(s.Name, line, s.Audit) },
		}
	}
	supervisor := supervise.New(i.specs(i.ttys, memoryTotal(i.path("proc"))), launcher, i.log, i.guard)
	i.mu.Lock()
	i.supervisor = supervisor
	i.mu.Unlock()
	spawn(func(ctx context.Context) {
		if err := i.serve(ctx, i.log); err != nil {
			i.log.Error("control socket", "err", err)
		}
	})
	services, stop := context.WithCancel(context.WithoutCancel(i.ctx))
	gone := make(chan struct{})
	i.halt = func() { stop(); <-gone }
	go i.guard(func() {
		defer close(gone)
		supervisor.Run(services)
	})
	select {
	case <-supervisor.Started():
	case <-i.ctx.Done():
		return i.ctx.Err()
	}
	end(fmt.Sprintf("%d started", len(supervisor.Status())))
	if i.mounted.Load() {
		i.mu.Lock()
		r := Record{
			Time: time.Now().UTC(), Version: i.cfg.Version, Kernel: i.status.Kernel, Storage: i.status.Storage,
			Fsck: string(i.fsck), Clean: clean, Previous: why, Phases: i.phases.list(),
			Seconds: float64(i.kernel.Uptime().Milliseconds()) / 1000,
		}
		i.mu.Unlock()
		if err := appendRecord(i.statePath(bootRecord), r); err != nil {
			i.log.Error("boot record", "err", err)
		}
	}
	return nil
}

// stopServices stops what start has started.
func (i *Init) stopServices() {
	if i.halt == nil {
		return
	}
	end := i.phases.begin("services")
	i.halt()
	end("stopped")
}

// path is a file below Root.
func (i *Init) path(rel string) string { return filepath.Join(i.cfg.Root, rel) }

func (i *Init) statePath(rel string) string { return filepath.Join(i.cfg.Paths.State, rel) }

// Forever keeps PID 1 alive where Run came back: its end would be a kernel
// panic that hides the reason.
func Forever() {
	for {
		time.Sleep(time.Hour)
	}
}
