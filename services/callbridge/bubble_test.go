package callbridge

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
)

// bubble is a bridge in a mesh, without its control socket, which would keep
// the bubble's time from passing.
type bubble struct {
	*world
	mesh *mesh
}

func inBubble(t *testing.T, server string, f func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		link := config.BridgeLink{Name: "cb1", Domain: domain, Server: server, Secret: "kvgP1SRzWVabhi01Ab1"}
		b := &bubble{newWorld(t, link, m.ca.pem), m}
		b.deps.Dial = m.dial
		f(t, b)
	})
}

// begin is what Run would do but for the control socket.
func (b *bubble) begin() {
	ctx, stop := context.WithCancel(context.Background())
	d, err := b.store.Load()
	if err != nil {
		b.t.Fatal(err)
	}
	b.conf = d.CallBridge
	done := make(chan struct{}, 3)
	go func() { b.keep(ctx); done <- struct{}{} }()
	go func() { b.reporter.run(ctx); done <- struct{}{} }()
	go func() { b.twins.run(ctx); done <- struct{}{} }()
	b.t.Cleanup(func() {
		stop()
		<-done
		<-done
		<-done
	})
	synctest.Wait()
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bubble) want(state callbridgeapi.State, row string) {
	b.t.Helper()
	if s := b.now(); s.State != state || s.XMPPRow != row {
		b.t.Errorf("status %q, row %q (%s); want %q, %q", s.State, s.XMPPRow, s.Detail, state, row)
	}
}
