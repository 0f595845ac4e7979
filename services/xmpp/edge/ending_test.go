package edge

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

// partingTime is more than any end of a connection takes; 5 s are TLS's own
// limit where nobody takes its last word.
const partingTime = 10 * time.Second

// TestHowSessionsEnd says which ends let the client come back.
func TestHowSessionsEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(c *client, s *server, ls *fakeSession)
		// kept is whether it may, if it could.
		kept bool
	}{
		{"connection closed", func(c *client, _ *server, _ *fakeSession) { c.raw.Close() }, true},
		{"closed amid a stanza", func(c *client, _ *server, _ *fakeSession) { c.send("<message><bo"); c.raw.Close() }, true},
		{"silence", func(_ *client, s *server, _ *fakeSession) {
			time.Sleep(s.limits.Silence + s.limits.Answer + time.Second)
		}, true},
		{"shutdown", func(_ *client, s *server, _ *fakeSession) { s.stop() }, true},
		{"gate", func(_ *client, s *server, _ *fakeSession) { s.Gate(false, elsewhere) }, true},
		{"gap in the deliveries", func(_ *client, s *server, ls *fakeSession) {
			ls.edge.Deliver(ls.ref, link.Delivery{N: 2, Bytes: []byte("<presence/>")})
		}, true},
		{"end of stream", func(c *client, _ *server, _ *fakeSession) { c.send("</stream:stream>") }, false},
		{"stream error of the client", func(c *client, _ *server, _ *fakeSession) { c.send("<stream:error/>") }, false},
		{"broken rules", func(c *client, _ *server, _ *fakeSession) { c.send("<letter/>") }, false},
		{"too high a count", func(c *client, _ *server, _ *fakeSession) { c.send(smAck(1)) }, false},
	} {
		for _, enable := range []string{smKeep, smEnable} {
			t.Run(fmt.Sprintf("%s, %s", tt.name, enable), func(t *testing.T) {
				bubbles(t, func(t *testing.T, a, _ *server) {
					c := login(t, a.clients, "x")
					c.send(enable)
					c.expect(stanza.NSSM, "enabled")
					ls := a.leader.session(t, 0)
					tt.end(c, a, ls)
					time.Sleep(partingTime)
					synctest.Wait()
					if want := tt.kept && enable == smKeep; ls.detached != want || ls.closed == want {
						t.Errorf("detached %v, closed %v; want detached %v", ls.detached, ls.closed, want)
					}
				})
			})
		}
	}
}

// A client is told of what is confirmed before this side closes its stream: not
// every one that could resume does after a stream error.
func TestLastAckOfShutdown(t *testing.T) {
	bubbles(t, func(t *testing.T, a, _ *server) {
		c, _ := kept(t, a, "x")
		c.send(message("1") + message("2") + smAsk)
		c.expectAck(2)
		c.send(message("3"))
		synctest.Wait()
		a.stop()
		c.expectAck(3)
		if got := c.expectEnd(); got != "system-shutdown" {
			t.Errorf("stream error = %q; want system-shutdown", got)
		}
	})
}
