package callbridge

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/callbridge/callbridgeapi"
)

// TestFrozenServer: whenever a server that acknowledges falls silent, the bridge
// is on another one within 2 s; not before there was reason to.
func TestFrozenServer(t *testing.T) {
	for phase := time.Duration(0); phase <= askEvery+lifeTick; phase += lifeTick {
		t.Run(phase.String(), func(t *testing.T) {
			inBubble(t, "", func(t *testing.T, b *bubble) {
				f, at := b.mesh.server("10.0.0.1:5223", &fake{})
				_, next := b.mesh.server("10.0.0.2:5223", &fake{})
				b.zone.set(srv(0, "cb1."+domain, at), a("cb1."+domain, at), srv(1, "cb2."+domain, next), a("cb2."+domain, next))
				b.begin()
				pass(time.Minute + phase)
				b.want(callbridgeapi.Connected, "connected to cb1.tptac9.com (secure) for "+duration(time.Minute+phase))
				f.now(func() { f.mute = true })
				pass(lifeTime)
				if s := b.now(); s.Server != "cb1.tptac9.com" {
					t.Errorf("on %s after %v of silence; want patience", s.Server, lifeTime)
				}
				pass(2*time.Second - lifeTime - 200*time.Millisecond)
				if s := b.now(); s.State != callbridgeapi.Connected || s.Server != "cb2.tptac9.com" {
					t.Errorf("status %+v; want the other server", s)
				}
				if got := strings.Join(b.log.messages(), "\n"); !strings.Contains(got, "dropped while session was live for reason 1") {
					t.Errorf("events %q; want that the connection failed", got)
				}
			})
		})
	}
}

// TestLongAnswer: a server that is slow, but not that slow, is kept.
func TestLongAnswer(t *testing.T) {
	inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
		f, _ := b.mesh.server("10.0.0.1:5223", &fake{})
		b.begin()
		// By the first ping it is over: there is nothing to count until then.
		const times = 4
		for range times {
			f.now(func() { f.mute = true })
			pass(lifeTime - lifeTick)
			f.now(func() {
				f.mute = false
				a := fmt.Sprintf("<a xmlns='urn:xmpp:sm:3' h='%d'/>", len(f.heard))
				go func(c interface{ Write([]byte) (int, error) }) { c.Write([]byte(a)) }(f.live[0])
			})
			pass(time.Second)
		}
		b.want(callbridgeapi.Connected, "connected to 10.0.0.1 (secure) for "+duration(times*(lifeTime-lifeTick+time.Second)))
	})
}

// TestSilenceIsCountedWhileItIsWaitedFor and only then.
func TestSilenceIsCountedWhileItIsWaitedFor(t *testing.T) {
	for _, tt := range []struct {
		name    string
		acks    acks
		reading bool
		writing bool
		want    bool
		after   time.Duration
	}{
		{"a question without an answer", acks{on: true, asking: true}, true, false, false, lifeTime},
		{"the bridge does not read", acks{on: true, asking: true}, false, false, true, time.Minute},
		{"a write that does not end", acks{on: true}, true, true, false, lifeTime},
		{"a write that does not end, by the reader", acks{on: true}, false, true, true, time.Minute},
		{"the server does not acknowledge", acks{off: true}, true, false, true, 0},
		{"it has not said yet that it does", acks{}, true, false, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				w := &wire{acks: tt.acks}
				w.life.reading.Store(tt.reading)
				if tt.writing {
					w.mu.Lock()
				}
				begun := time.Now()
				if got, took := w.lives(ctx), time.Since(begun); got != tt.want || took != tt.after {
					t.Errorf("lives = %v after %v; want %v after %v", got, took, tt.want, tt.after)
				}
			})
		})
	}
}
