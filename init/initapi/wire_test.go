package initapi

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/control"
	"parley/services/problem"
)

func TestClientReachesProcess(t *testing.T) {
	var restarted, ended int
	p := &Process{
		Version: "1.2", Started: time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC), State: "/var/parley",
		RestartAll: func() { restarted++ }, End: func() { ended++ },
	}
	socket := filepath.Join(t.TempDir(), "init.sock")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	s := &control.Server{Path: socket, Handler: Handler(p), Group: -1, Log: slog.New(slog.DiscardHandler)}
	go func() { done <- s.Run(ctx) }()
	c := NewClient(socket)
	got, err := c.Status(ctx)
	for problem.CodeOf(err) == problem.NotReachable {
		got, err = c.Status(ctx)
	}
	want, _ := p.Status(ctx)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Status, %v (-want +got):\n%s", err, diff)
	}
	if err := c.Restart(ctx, "xmpp"); problem.CodeOf(err) != problem.NoSuchService {
		t.Errorf("Restart = %v; want NoSuchService", err)
	}
	if err := c.Reboot(ctx); err != nil || restarted != 1 {
		t.Errorf("Reboot = %v, restarted %d times; want once", err, restarted)
	}
	if err := c.Poweroff(ctx); err != nil || ended != 1 {
		t.Errorf("Poweroff = %v, ended %d times; want once", err, ended)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v; want nil", err)
	}
}
