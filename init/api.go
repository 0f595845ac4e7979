package pid1

import (
	"context"
	"log/slog"

	"parley/init/initapi"
	"parley/init/state"
	"parley/services/control"
	"parley/services/problem"
)

// api is what init offers on its control socket.
type api struct{ i *Init }

var _ initapi.API = api{}

// Status implements initapi.API.
func (a api) Status(context.Context) (initapi.Status, error) {
	a.i.mu.Lock()
	defer a.i.mu.Unlock()
	s := a.i.status
	if a.i.supervisor != nil {
		s.Services = a.i.supervisor.Status()
	}
	return s, nil
}

// Restart implements initapi.API.
func (a api) Restart(ctx context.Context, service string) error {
	if a.i.ctx.Err() != nil {
		return problem.New(problem.Stopping)
	}
	return a.i.supervisor.Restart(ctx, service)
}

// Reboot implements initapi.API.
func (a api) Reboot(context.Context) error { return a.ask(power{off: false, why: "console command"}) }

// Poweroff implements initapi.API.
func (a api) Poweroff(context.Context) error { return a.ask(power{off: true, why: "console command"}) }

func (a api) ask(p power) error {
	if !a.i.ask(p) {
		return problem.New(problem.Stopping)
	}
	return nil
}

// serve offers the API until ctx ends. Only console and SSH may change anything,
// as they have roles to check; XMPP, once taken over, must not switch the machine
// off. The event log looks how often services end.
func (i *Init) serve(ctx context.Context, log *slog.Logger) error {
	s := &control.Server{
		Path: i.cfg.Paths.Socket("init"), Handler: initapi.Handler(api{i}), Group: i.cfg.Group, Log: log,
		Allow:    func(uid uint32) bool { return uid == state.MMP },
		ReadOnly: func(uid uint32) bool { return uid == state.Events },
	}
	return s.Run(ctx)
}
