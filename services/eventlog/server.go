// Package eventlog is the event log service: it keeps what the other services
// log for people (the original's lines), the conditions that last until they
// are mended, and which subsystems are traced, and answers the control socket.
// It looks at the other services by itself, through package watch, and makes
// what it finds there conditions. What services and kernel write for
// developers is syslog's, package journal.
package eventlog

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"parley/services/control"
	"parley/services/eventlog/eventlogapi"
	"parley/services/eventlog/watch"
)

// Config of a Server.
type Config struct {
	// Socket is the control socket; Group owns it, -1 leaves it to the
	// process's own.
	Socket string
	Group  int
	// Events is the file that the log is kept in.
	Events string
	// Board is a file that faults and traces outlive the process in, but not
	// a reboot: by then each service says anew what is so. Empty: there is
	// none.
	Board string
}

// Watcher looks at the node and says what there is now. standing are the
// conditions that it found before, by key.
type Watcher interface {
	Look(ctx context.Context, standing map[string]eventlogapi.Fault) watch.Findings
}

// Deps of a Server.
type Deps struct {
	Watch Watcher
	// Log takes each event, as well as what the service has to say itself.
	Log *slog.Logger
}

// Server is the event log service. Run it once; the methods of eventlogapi.API
// may then be called from any goroutine.
type Server struct {
	cfg  Config
	deps Deps
	log  *slog.Logger

	mu     sync.Mutex
	record *record
	board  *board
}

var _ eventlogapi.API = (*Server)(nil)

// New returns a server that has not started.
func New(cfg Config, deps Deps) *Server {
	log := deps.Log.With("component", "eventlog")
	return &Server{cfg: cfg, deps: deps, log: log, record: newRecord(cfg.Events, log), board: newBoard(cfg.Board, log)}
}

const (
	// tidyEvery bounds what a power cut takes from the log, and how late a
	// trace ends.
	tidyEvery = time.Second
	// lookEvery is how often the watcher looks, lookMax how long a look may
	// take.
	lookEvery = 3 * time.Second
	lookMax   = 2500 * time.Millisecond
)

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	err := s.record.open()
	s.board.open()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { s.tidy(ctx) })
	running.Go(func() { s.watch(ctx) })
	socket := &control.Server{Path: s.cfg.Socket, Handler: eventlogapi.Handler(s), Group: s.cfg.Group, Log: s.log}
	err = socket.Run(ctx)
	stop()
	running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record.close()
	return err
}

// tidy does now and then what need not be done at once.
func (s *Server) tidy(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		s.endTraces()
		s.record.mend(time.Now())
		unsynced := s.record.unsynced()
		s.mu.Unlock()
		// Not under the lock: a slow disk must not hold up who logs.
		if unsynced != nil {
			s.record.sync(unsynced)
		}
	}
}

// watch makes what the watcher finds faults, and drops those that it does not
// find any more.
func (s *Server) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s.mu.Lock()
		standing := s.board.watched()
		s.mu.Unlock()
		look, cancel := context.WithTimeout(ctx, lookMax)
		found := s.deps.Watch.Look(look, standing)
		cancel()
		// Other services end at the same time as this one, which is no fault.
		if ctx.Err() == nil {
			s.settle(found)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// settle makes the faults of the watcher those that it found, with an event for
// each that is new, or new in its words, and for each that is over.
func (s *Server) settle(found watch.Findings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	news, over := s.board.settle(found.Conditions, now)
	es := found.Events
	for _, c := range news {
		es = append(es, eventlogapi.Event{Level: c.Level, Message: c.Message, Hint: c.Hint})
	}
	for _, f := range over {
		es = append(es, eventlogapi.Event{Level: eventlogapi.Info, Message: "no longer so: " + f.Message})
	}
	s.add(now, es)
}
