package edge

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

const (
	smEnable = "<enable xmlns='urn:xmpp:sm:3'/>"
	smKeep   = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
	smAsk    = "<r xmlns='urn:xmpp:sm:3'/>"
)

func smAck(h int) string { return fmt.Sprintf("<a xmlns='urn:xmpp:sm:3' h='%d'/>", h) }

func (c *client) expectAck(h int) {
	c.t.Helper()
	if e := c.expect(stanza.NSSM, "a"); e.Attr("h") != strconv.Itoa(h) {
		c.t.Fatalf("received %s; want h=%d", e, h)
	}
}

// bubble runs f with a server on pipes, in synctest's time.
func bubble(t *testing.T, limits Limits, f func(t *testing.T, s *server)) {
	testAuthority()
	testVerifiers()
	synctest.Test(t, func(t *testing.T) {
		s := startOn(t, listenPipe(), listenPipe(), limits)
		f(t, s)
		s.stop()
	})
}

// quiet says that nothing is received until all goroutines wait.
func (c *client) quiet() {
	c.t.Helper()
	synctest.Wait()
	select {
	case r := <-c.in:
		c.t.Fatalf("received %v, %v; want nothing", r.e, r.err)
	default:
	}
}

func TestAckWaitsForConfirm(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, s *server) {
		s.leader.confirm = false
		c := login(t, s.clients, "x")
		ls := s.leader.session(t, 0)
		// Stanza 1 comes before acknowledgements and is not counted.
		c.send(message("0") + smEnable)
		if e := c.expect(stanza.NSSM, "enabled"); e.Attr("resume") != "" || e.Attr("id") != "" {
			t.Errorf("received %s; want no resumption", e)
		}
		c.send(smEnable)
		c.expect(stanza.NSSM, "failed")
		c.send(message("1") + message("2") + smAsk + smAsk)
		c.quiet()
		s.leader.confirmTo(ls, 2)
		c.quiet()
		s.leader.confirmTo(ls, 3)
		c.expectAck(2)
		c.quiet()
		c.send(smAsk)
		c.expectAck(2)

		// One <r/> a message: each has its answer.
		c.send(message("3") + smAsk + message("4") + smAsk)
		c.quiet()
		s.leader.confirmTo(ls, 4)
		c.expectAck(3)
		c.quiet()
		s.leader.confirmTo(ls, 5)
		c.expectAck(4)

		// A confirmation that is too late is answered with what there is,
		// and later once more.
		c.send(message("5") + message("6") + smAsk)
		synctest.Wait()
		s.leader.confirmTo(ls, 6)
		c.quiet()
		time.Sleep(s.limits.Ack)
		c.expectAck(5)
		s.leader.confirmTo(ls, 7)
		c.expectAck(6)

		// The close is worth waiting for what is on its way.
		c.send(message("8") + "</stream:stream>")
		c.quiet()
		s.leader.confirmTo(ls, 8)
		c.expectAck(7)
		if got := c.expectEnd(); got != "" {
			t.Errorf("stream error = %s", got)
		}
	})
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, s *server) {
		s.leader.confirm = false
		c := login(t, s.clients, "x")
		c.send(smEnable + message("1") + "</stream:stream>")
		c.expect(stanza.NSSM, "enabled")
		begin := time.Now()
		c.expectAck(0)
		c.expectEnd()
		if d := time.Since(begin); d != s.limits.Close {
			t.Errorf("the close took %v; want %v", d, s.limits.Close)
		}
	})
}

func TestDelivered(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, s *server) {
		c := login(t, s.clients, "x")
		ls := s.leader.session(t, 0)
		deliver := func(item link.Item) {
			s.leader.deliver(ls, stanza.New(stanza.NSClient, "message"), item)
		}
		expect := func(n uint64) {
			t.Helper()
			synctest.Wait()
			if ls.delivered != n {
				t.Fatalf("delivered = %d; want %d", ls.delivered, n)
			}
		}
		deliver(1)
		c.expect(stanza.NSClient, "message")
		expect(1)
		c.send(smEnable)
		c.expect(stanza.NSSM, "enabled")
		deliver(0)
		c.expect(stanza.NSClient, "message")
		c.quiet()
		deliver(2)
		deliver(3)
		c.expect(stanza.NSClient, "message")
		if e := c.next(); e.Is(stanza.NSSM, "r") {
			// Written in two batches.
			c.expect(stanza.NSClient, "message")
		} else {
			c.expect(stanza.NSSM, "r")
		}
		c.quiet()
		expect(1)
		c.send(smAck(2))
		// Item 3 is still open, so the server asks again.
		c.expect(stanza.NSSM, "r")
		expect(3)
		// An answer that brings nothing is not asked after.
		c.send(smAck(2))
		c.quiet()
		deliver(4)
		c.expect(stanza.NSClient, "message")
		c.expect(stanza.NSSM, "r")
		c.send(smAck(4))
		c.quiet()
		expect(5)
		c.send(smAck(5))
		r := c.next()
		if e := r.Child(stanza.NSSM, "handled-count-too-high"); e.Attr("h") != "5" || e.Attr("send-count") != "4" {
			t.Errorf("received %s; want handled-count-too-high 5 of 4", r)
		}
		c.expectEnd()
		c.conn.Close()
		s.leader.waitFor(t, "the close", func() bool { return ls.closed })
	})
}

// Without acknowledgements an item is delivered once it is written, and what
// could not be written is not.
func TestUnwrittenIsNotDelivered(t *testing.T) {
	for _, tt := range []struct {
		name string
		// size and number of the stanzas that are delivered.
		size, number int
		after        time.Duration
	}{
		{"little, for too long", 10, 2, DefaultLimits().Write},
		{"too much", 100 << 10, 50, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Limits{}, func(t *testing.T, s *server) {
				c := dial(t, s.clients)
				tc := tls.Client(c.raw, c.tlsConfig())
				err := dialogue(tc, open(testDomain), "</stream:features>", plain("ada", "pencil"), "success",
					open(testDomain), "</stream:features>", "<iq type='set' id='b'><bind xmlns='"+nsBind+"'/></iq>", "</iq>")
				if err != nil {
					t.Fatal(err)
				}
				// From here on the client reads nothing, and a pipe has no buffer.
				begin := time.Now()
				ls := s.leader.session(t, 0)
				for i := range tt.number {
					s.leader.deliver(ls, stanza.New(stanza.NSClient, "message").AddText(strings.Repeat("x", tt.size)), link.Item(i+1))
					synctest.Wait()
				}
				time.Sleep(s.limits.Write + time.Second)
				s.leader.waitFor(t, "the close", func() bool { return ls.closed })
				if ls.delivered > 0 {
					t.Errorf("%v delivered to a client that reads nothing", ls.delivered)
				}
				if d := ls.closedAt.Sub(begin); d != tt.after {
					t.Errorf("closed after %v; want %v", d, tt.after)
				}
			})
		})
	}
}

func TestUnackedIsBounded(t *testing.T) {
	limits := DefaultLimits()
	limits.Unacked = 100
	bubble(t, limits, func(t *testing.T, s *server) {
		c := login(t, s.clients, "x")
		c.send(smEnable)
		c.expect(stanza.NSSM, "enabled")
		ls := s.leader.session(t, 0)
		for range 101 {
			s.leader.deliver(ls, stanza.New(stanza.NSClient, "presence"), 0)
			synctest.Wait()
		}
		s.leader.waitFor(t, "the end of a session that acknowledges nothing", func() bool { return ls.closed })
	})
}

func TestWindow(t *testing.T) {
	bubble(t, Limits{}, func(t *testing.T, s *server) {
		s.leader.confirm = false
		c := login(t, s.clients, "x")
		ls := s.leader.session(t, 0)
		sent := func() int { s.leader.mu.Lock(); defer s.leader.mu.Unlock(); return len(ls.sent) }
		go c.try(strings.Repeat(message("m"), 3*s.limits.Window))
		synctest.Wait()
		if got := sent(); got != s.limits.Window {
			t.Fatalf("%d stanzas are with the leader; want %d", got, s.limits.Window)
		}
		s.leader.confirmTo(ls, 10)
		synctest.Wait()
		if got, want := sent(), s.limits.Window+10; got != want {
			t.Fatalf("%d stanzas are with the leader; want %d", got, want)
		}
		// A session that waits for its window can still be ended.
		s.leader.end(ls, "conflict")
		if got := c.expectEnd(); got != "conflict" {
			t.Errorf("stream error = %q; want conflict", got)
		}
	})
}

// TestAccounting drives a session with random steps. An <a/> must never count
// a stanza that the leader has not confirmed, nor go back; each <r/> is answered
// by the count of all before it; and what the client has acknowledged is
// delivered, and nothing else.
func TestAccounting(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			bubble(t, Limits{}, func(t *testing.T, s *server) {
				rnd := rand.New(rand.NewPCG(seed, 0))
				s.leader.confirm = false
				c := login(t, s.clients, "x")
				ls := s.leader.session(t, 0)
				c.send(strings.Repeat(message("before"), rnd.IntN(4)) + smEnable)
				c.expect(stanza.NSSM, "enabled")
				synctest.Wait()
				var (
					base      = len(ls.sent)
					confirmed int // by the leader
					h         int // the server's last
					received  int // stanzas of the server
					acked     int // of them
				)
				place := base
				// counted is the most that h may be.
				counted := func() int { return max(0, confirmed-base) }
				take := func() {
					c.drain(func(e *stanza.Element) {
						switch {
						case e.Is(stanza.NSSM, "a"):
							got, _ := strconv.Atoi(e.Attr("h"))
							if got < h || got > counted() {
								t.Fatalf("h=%d after %d, with %d confirmed", got, h, counted())
							}
							h = got
						case e.Name.Space == stanza.NSClient:
							received++
						}
					})
				}
				next := link.Item(1)
				for range 300 {
					switch rnd.IntN(7) {
					case 0, 1:
						if place-confirmed < s.limits.Window-1 {
							c.send(message("m"))
							place++
						}
					case 2, 3:
						c.send(smAsk)
					case 4:
						synctest.Wait()
						if place > confirmed {
							confirmed += 1 + rnd.IntN(place-confirmed)
							s.leader.confirmTo(ls, uint64(confirmed))
						}
					case 5:
						e := stanza.New(stanza.NSClient, "message", "item", strconv.FormatUint(uint64(next), 10))
						s.leader.deliver(ls, e, next)
						next++
					case 6:
						take()
						if n := received - acked; n > 0 {
							acked += 1 + rnd.IntN(n)
							c.send(smAck(acked))
							synctest.Wait()
							if ls.delivered != uint64(acked) {
								t.Fatalf("delivered = %d; want %d", ls.delivered, acked)
							}
						}
					}
					if rnd.IntN(50) == 0 {
						time.Sleep(s.limits.Ack)
					}
					take()
				}
				c.send(smAsk)
				synctest.Wait()
				confirmed = place
				s.leader.confirmTo(ls, uint64(place))
				take()
				if h != place-base {
					t.Errorf("at the end h=%d; want %d", h, place-base)
				}
			})
		})
	}
}
