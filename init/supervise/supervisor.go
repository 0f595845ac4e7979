package supervise

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"parley/init/initapi"
	"parley/services/problem"
)

// Back-off between an end that nobody asked for and the next start.
const (
	firstDelay = 500 * time.Millisecond
	maxDelay   = 30 * time.Second
	// A service that was up for as long begins at firstDelay again.
	stableAfter = time.Minute
	// A session that lasted as long ended because somebody was done with it.
	sessionAfter = time.Second
	// awaitMax bounds the wait for another service's socket.
	awaitMax = 2 * time.Second
	// abortWait is for the trace of a service that does not stop.
	abortWait = time.Second
)

// Supervisor keeps services running.
type Supervisor struct {
	services []*service
	log      *slog.Logger
	guard    func(func())
	started  chan struct{}
}

// New returns a supervisor of specs. guard wraps each goroutine that it
// starts; PID 1 catches panics there.
func New(specs []Spec, l Launcher, log *slog.Logger, guard func(func())) *Supervisor {
	s := &Supervisor{log: log.With("component", "init"), guard: guard, started: make(chan struct{})}
	for _, spec := range specs {
		s.services = append(s.services, &service{
			spec: spec, launcher: l, log: s.log, guard: guard, jitter: rand.Float64,
			begun: make(chan struct{}), restart: make(chan chan struct{}),
			state: initapi.Service{Name: spec.Name},
		})
	}
	return s
}

// Run starts the services in order, and when ctx ends stops them in reverse
// order; it returns when all are gone.
func (s *Supervisor) Run(ctx context.Context) {
	type running struct {
		*service
		stop context.CancelFunc
		done chan struct{}
	}
	var started []running
	for _, svc := range s.services {
		if ctx.Err() != nil {
			break
		}
		if svc.spec.Await != "" {
			awaitFile(ctx, svc.spec.Await)
		}
		// Not a child of ctx: each is stopped in its turn.
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		r := running{svc, stop, make(chan struct{})}
		started = append(started, r)
		go s.guard(func() {
			defer close(r.done)
			r.run(own)
		})
		select {
		case <-svc.begun:
		case <-ctx.Done():
		}
	}
	close(s.started)
	<-ctx.Done()
	for _, r := range slices.Backward(started) {
		r.stop()
		<-r.done
	}
}

// awaitFile returns when the file is there, ctx ends, or awaitMax is over.
func awaitFile(ctx context.Context, path string) {
	ctx, stop := context.WithTimeout(ctx, awaitMax)
	defer stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Lstat(path); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Started is closed once Run has tried to start every service.
func (s *Supervisor) Started() <-chan struct{} { return s.started }

// Status is the state of all services, in their order.
func (s *Supervisor) Status() []initapi.Service {
	var all []initapi.Service
	for _, svc := range s.services {
		svc.mu.Lock()
		all = append(all, svc.state)
		svc.mu.Unlock()
	}
	return all
}

// Restart stops a service in order and starts it again, at once if it was
// waiting for its next start. It returns when it has been started.
func (s *Supervisor) Restart(ctx context.Context, name string) error {
	i := slices.IndexFunc(s.services, func(svc *service) bool { return svc.spec.Name == name })
	if i < 0 {
		return problem.New(problem.NoSuchService, "service", name)
	}
	started := make(chan struct{})
	select {
	case s.services[i].restart <- started:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-started:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// service is one of them; run's goroutine owns all but state.
type service struct {
	spec     Spec
	launcher Launcher
	log      *slog.Logger
	guard    func(func())
	jitter   func() float64
	// begun is closed when the first start was tried.
	begun chan struct{}
	// restart carries a request; its channel is closed when it is done.
	restart chan chan struct{}

	mu    sync.Mutex
	state initapi.Service
}

// run keeps the service up until ctx ends.
func (s *service) run(ctx context.Context) {
	var asked chan struct{}
	answer := func() {
		if asked != nil {
			close(asked)
			asked = nil
		}
	}
	defer answer()
	first := sync.OnceFunc(func() { close(s.begun) })
	defer first()
	for failures := 0; ctx.Err() == nil; {
		since := time.Now()
		p, err := s.launcher.Launch(s.spec)
		why := ""
		clean := false
		if err != nil {
			why = err.Error()
			first()
			answer()
		} else {
			s.started(p.PID(), since)
			first()
			answer()
			exit, request := s.watch(ctx, p)
			s.ended(exit)
			if request != nil {
				asked, failures = request, 0
				continue
			}
			if ctx.Err() != nil {
				return
			}
			why, clean = exit.String(), exit == Exit{}
		}
		up := time.Since(since)
		if s.spec.Session && err == nil && up >= sessionAfter {
			if !clean {
				s.failed(why, time.Time{})
			}
			failures = 0
			continue
		}
		if up >= stableAfter {
			failures = 0
		}
		delay := s.delay(failures)
		failures++
		s.failed(why, time.Now().Add(delay))
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case asked = <-s.restart:
			failures = 0
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// delay is the back-off after so many failures in a row. The jitter keeps
// services that fell together from rising together.
func (s *service) delay(failures int) time.Duration {
	d := maxDelay
	if failures < 6 {
		d = min(maxDelay, firstDelay<<failures)
	}
	return time.Duration(float64(d) * (0.75 + 0.25*s.jitter()))
}

// watch waits for the process to end, and ends it when ctx does or somebody
// asks for a restart, which it then returns.
func (s *service) watch(ctx context.Context, p Process) (Exit, chan struct{}) {
	exited := make(chan Exit, 1)
	go s.guard(func() { exited <- p.Wait() })
	var request chan struct{}
	select {
	case e := <-exited:
		return e, nil
	case request = <-s.restart:
	case <-ctx.Done():
	}
	p.Terminate()
	timer := time.NewTimer(s.spec.StopWait)
	defer timer.Stop()
	select {
	case e := <-exited:
		return e, request
	case <-timer.C:
	}
	s.log.Warn("service does not stop; killing it", "service", s.spec.Name, "waited", s.spec.StopWait)
	p.Abort()
	timer.Reset(abortWait)
	select {
	case e := <-exited:
		return e, request
	case <-timer.C:
	}
	p.Kill()
	return <-exited, request
}

func (s *service) started(pid int, at time.Time) {
	s.mu.Lock()
	s.state.Running, s.state.PID, s.state.Since, s.state.NextStart = true, pid, at, time.Time{}
	s.mu.Unlock()
	s.log.Info("service started", "service", s.spec.Name, "pid", pid)
}

func (s *service) ended(e Exit) {
	s.mu.Lock()
	s.state.Running, s.state.PID, s.state.Since = false, 0, time.Now()
	s.mu.Unlock()
	s.log.Info("service ended", "service", s.spec.Name, "exit", e)
}

// failed notes an end that nobody asked for; next is zero for at once.
func (s *service) failed(why string, next time.Time) {
	s.mu.Lock()
	s.state.Restarts++
	s.state.LastExit, s.state.NextStart = why, next
	n := s.state.Restarts
	s.mu.Unlock()
	s.log.Error("service failed", "service", s.spec.Name, "exit", why, "count", n, "next", next)
}
