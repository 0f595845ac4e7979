package edge

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

// TestNoLeader has a bind and a resumption wait for a leader, for as long as
// the client's patience may be taken to last.
func TestNoLeader(t *testing.T) {
	var absent atomic.Int64
	hooks := func(l *fakeLeader, block bool) {
		back := time.Now().Add(time.Duration(absent.Load()))
		wait := func(ctx context.Context) error {
			if time.Now().After(back) {
				return nil
			}
			if !block {
				return link.ErrNoLeader
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Until(back)):
				return nil
			}
		}
		l.onOpen = func(ctx context.Context, _ link.Open) error { return wait(ctx) }
		l.onResume = func(ctx context.Context, _ link.Resume) error { return wait(ctx) }
	}
	for _, tt := range []struct {
		name  string
		block bool
		after time.Duration
		ok    bool
	}{
		{"blocks for 5 s", true, 5 * time.Second, true},
		{"says so for 5 s", false, 5 * time.Second, true},
		{"blocks for long", true, time.Hour, false},
		{"says so for long", false, time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubbles(t, func(t *testing.T, a, b *server) {
				old, id := kept(t, a, "x")
				old.raw.Close()
				synctest.Wait()
				absent.Store(int64(tt.after))
				binding, resuming := authenticated(t, a.clients), authenticated(t, b.clients)
				hooks(a.leader, tt.block)
				begin := time.Now()
				binding.send("<iq type='set' id='b'><bind xmlns='" + nsBind + "'><resource>y</resource></bind></iq>")
				resuming.send(smResume(id, 0))
				bound, resumed := binding.receiveSlowly().e, resuming.receiveSlowly().e
				d := time.Since(begin)
				if tt.ok {
					if !bound.Is(stanza.NSClient, "iq") || !resumed.Is(stanza.NSSM, "resumed") || d > tt.after+time.Second {
						t.Errorf("after %v: received %s, %s; want success", d, bound, resumed)
					}
					return
				}
				if !contains(bound, "<internal-server-error") || !contains(resumed, "<remote-server-timeout") || d > a.limits.Auth+time.Second {
					t.Errorf("after %v: received %s, %s; want internal-server-error, remote-server-timeout", d, bound, resumed)
				}
				// The client may try again.
				a.leader.onResume = nil
				time.Sleep(a.limits.Auth / 2)
				resuming.send(smResume(id, 0))
				resuming.expect(stanza.NSSM, "resumed")
			})
		})
	}
	t.Run("shutdown meanwhile", func(t *testing.T) {
		bubbles(t, func(t *testing.T, a, b *server) {
			absent.Store(int64(time.Hour))
			binding, resuming := authenticated(t, a.clients), authenticated(t, a.clients)
			hooks(a.leader, true)
			binding.send("<iq type='set' id='b'><bind xmlns='" + nsBind + "'/></iq>")
			resuming.send(smResume(strings.Repeat("0", 32), 0))
			synctest.Wait()
			begin := time.Now()
			a.stop()
			if d := time.Since(begin); d > partingTime {
				t.Errorf("the shutdown took %v; want at most %v", d, partingTime)
			}
			for _, c := range []*client{binding, resuming} {
				if got := c.expectEnd(); got != "system-shutdown" {
					t.Errorf("stream error = %q; want system-shutdown", got)
				}
			}
		})
	})
}

// A client that has gone does not wait for the leader any more: once there is
// one, the connection that it has opened since is to have the session. One that
// has merely sent ahead goes on.
func TestGoneWhileAsked(t *testing.T) {
	for _, tt := range []struct{ name, request string }{
		{"bind", "<iq type='set' id='b'><bind xmlns='" + nsBind + "'/></iq>"},
		{"resume", smResume(strings.Repeat("0", 32), 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := start(t, Limits{})
			asked, over := make(chan struct{}, 1), make(chan error, 1)
			wait := func(ctx context.Context) error {
				asked <- struct{}{}
				<-ctx.Done()
				over <- context.Cause(ctx)
				return ctx.Err()
			}
			a.leader.onOpen = func(ctx context.Context, _ link.Open) error { return wait(ctx) }
			a.leader.onResume = func(ctx context.Context, _ link.Resume) error { return wait(ctx) }
			c := authenticated(t, a.clients)
			c.send(tt.request + " ")
			<-asked
			c.send(" ")
			select {
			case err := <-over:
				t.Fatalf("the wait ended with %v while the client was there", err)
			case <-time.After(50 * time.Millisecond):
			}
			c.raw.Close()
			if err := <-over; err != errGone {
				t.Errorf("the wait ended with %v; want %v", err, errGone)
			}
		})
	}
	t.Run("answered", func(t *testing.T) {
		a := start(t, Limits{})
		a.leader.onOpen = func(context.Context, link.Open) error { time.Sleep(10 * time.Millisecond); return nil }
		c := login(t, a.clients, "x")
		c.send(smKeep)
		c.expect(stanza.NSSM, "enabled")
	})
}

// A leader that is silent stops a client that sends, but not the signs of life.
func TestSilentLeader(t *testing.T) {
	for _, enable := range []string{"", smKeep} {
		t.Run(enable, func(t *testing.T) {
			bubbles(t, func(t *testing.T, a, _ *server) {
				a.leader.confirm = false
				c := login(t, a.clients, "x")
				ls := a.leader.session(t, 0)
				if c.send(enable); enable != "" {
					c.expect(stanza.NSSM, "enabled")
				}
				go c.try(strings.Repeat(message("m"), a.limits.Window+10))
				for range 5 {
					time.Sleep(a.limits.Silence)
					synctest.Wait()
					if ls.detached || ls.closed {
						t.Fatal("the session ended")
					}
					if enable != "" {
						c.expect(stanza.NSSM, "r")
					}
				}
				a.leader.confirmTo(ls, 10)
				a.leader.waitFor(t, "the rest", func() bool { return len(ls.sent) == a.limits.Window+10 })
				a.leader.deliver(ls, arrival(1), 1)
				c.expectArrival(1)
			})
		})
	}
}

// A leader that takes its time to take a stanza holds up the client that sent
// it, but not what is for the client; what was written is reported after.
func TestBlockedSend(t *testing.T) {
	bubbles(t, func(t *testing.T, a, _ *server) {
		c := login(t, a.clients, "x")
		ls := a.leader.session(t, 0)
		release := make(chan struct{})
		a.leader.onSend = func(*fakeSession, uint64, *stanza.Element) { <-release }
		c.send(message("1") + message("2"))
		synctest.Wait()
		for n := range 10 {
			a.leader.deliver(ls, arrival(n), 0)
			c.expectArrival(n)
		}
		synctest.Wait()
		if ls.delivered != 0 || len(ls.sent) != 1 {
			t.Errorf("delivered = %d, sent %d during a call; want 0, 1", ls.delivered, len(ls.sent))
		}
		close(release)
		synctest.Wait()
		if ls.delivered != 10 || len(ls.sent) != 2 {
			t.Errorf("delivered = %d, sent %d after it; want 10, 2", ls.delivered, len(ls.sent))
		}
	})
}
