package edge

import (
	"crypto/tls"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/xmpp/stanza"
)

func TestSlowStrangers(t *testing.T) {
	for _, tt := range []struct {
		name string
		// drip is sent a byte a second.
		drip string
		want string
	}{
		{"nothing", "", ""},
		{"slow header", open(testDomain), "connection-timeout"},
		{"white space", strings.Repeat(" ", 100), "connection-timeout"},
		{"slow ClientHello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 100), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Limits{}, func(t *testing.T, s *server) {
				c := dial(t, s.clients)
				c.listen(stanza.NSClient)
				begin := time.Now()
				var wg sync.WaitGroup
				defer wg.Wait()
				wg.Go(func() {
					for _, b := range []byte(tt.drip) {
						if _, err := c.raw.Write([]byte{b}); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				})
				got, last := "", received{}
				for last.err == nil {
					if last = c.receiveSlowly(); last.e.Is(stanza.NSStreams, "error") {
						got = last.e.First().Name.Local
					}
				}
				if got != tt.want {
					t.Errorf("stream error = %q; want %q", got, tt.want)
				}
				if d := time.Since(begin); d != s.limits.Auth {
					t.Errorf("closed after %v; want %v", d, s.limits.Auth)
				}
			})
		})
	}
}

// receiveSlowly is receive without its time limit.
func (c *client) receiveSlowly() received { return <-c.in }

func TestSlowAuthentication(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, s *server) {
		begin := time.Now()
		c := dial(t, s.clients)
		time.Sleep(s.limits.Auth / 2)
		c.directTLS()
		c.listen(stanza.NSClient)
		c.send(open(testDomain))
		c.header()
		c.next()
		if got := c.expectEnd(); got != "connection-timeout" {
			t.Errorf("stream error = %q; want connection-timeout", got)
		}
		if d := time.Since(begin); d != s.limits.Auth {
			t.Errorf("closed after %v; want %v", d, s.limits.Auth)
		}
	})
}

func TestSilence(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, s *server) {
		c := login(t, s.clients, "x")
		c.send(smEnable)
		c.expect(stanza.NSSM, "enabled")
		for range 3 {
			begin := time.Now()
			e := c.receiveSlowly().e
			if !e.Is(stanza.NSSM, "r") || time.Since(begin) != s.limits.Silence {
				t.Fatalf("received %v after %v; want <r/> after %v", e, time.Since(begin), s.limits.Silence)
			}
			c.send(smAck(0))
			synctest.Wait()
		}
		c.receiveSlowly()
		begin := time.Now()
		r := c.receiveSlowly()
		if !r.e.Is(stanza.NSStreams, "error") || !contains(r.e, "<connection-timeout") || time.Since(begin) != s.limits.Answer {
			t.Errorf("received %v after %v; want connection-timeout after %v", r.e, time.Since(begin), s.limits.Answer)
		}
		ls := s.leader.session(t, 0)
		s.leader.waitFor(t, "the close", func() bool { return ls.closed })
	})
}

// A peer without acknowledgements may be silent for as long as it likes, but a
// stanza that has begun must come to an end.
func TestSilenceWithoutAcks(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, s *server) {
		c := login(t, s.clients, "x")
		time.Sleep(24 * time.Hour)
		c.send(message("1"))
		ls := s.leader.session(t, 0)
		s.leader.waitFor(t, "the message", func() bool { return len(ls.sent) == 1 })
		c.send("<message><body>")
		begin := time.Now()
		r := c.receiveSlowly()
		if want := s.limits.Silence + s.limits.Answer; r.e == nil || !contains(r.e, "<connection-timeout") || time.Since(begin) != want {
			t.Errorf("received %v after %v; want connection-timeout after %v", r.e, time.Since(begin), want)
		}
	})
}

// A peer that takes nothing is given up after a while even where little waits.
func TestStuckWrite(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, s *server) {
		c := dial(t, s.clients)
		tc := tls.Client(c.raw, c.tlsConfig())
		if err := tc.Handshake(); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		// The server's header has nowhere to go: a pipe has no buffer.
		if _, err := tc.Write([]byte(open(testDomain))); err != nil {
			t.Fatal(err)
		}
		for s.strangersNow() > 0 {
			if time.Since(begin) > 2*s.limits.Auth {
				t.Fatal("a stranger that reads nothing is not given up")
			}
			time.Sleep(time.Second)
		}
	})
}
