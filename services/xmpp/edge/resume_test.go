package edge

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

func smResume(id string, h int) string {
	return fmt.Sprintf("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='%d'/>", id, h)
}

// bubbles runs f with two servers of one leader, in synctest's time.
func bubbles(t *testing.T, f func(t *testing.T, a, b *server)) {
	testAuthority()
	testVerifiers()
	synctest.Test(t, func(t *testing.T) {
		l := newLeader()
		cfg := Config{Location: func() string { return "192.0.2.7:5222" }}
		a := startWith(t, l, listenPipe(), listenPipe(), cfg, nil)
		b := startWith(t, l, listenPipe(), listenPipe(), Config{}, nil)
		f(t, a, b)
		a.stop()
		b.stop()
	})
}

// kept is a client with a session that may be resumed, and its id.
func kept(t *testing.T, s *server, resource string) (*client, string) {
	t.Helper()
	c := login(t, s.clients, resource)
	c.send(smKeep)
	return c, c.expect(stanza.NSSM, "enabled").Attr("id")
}

// resume is a client that resumes a session, and the h that it was told.
func resume(t *testing.T, s *server, id string, h int) (*client, int) {
	t.Helper()
	c := authenticated(t, s.clients)
	c.send(smResume(id, h))
	e := c.expect(stanza.NSSM, "resumed")
	if got := e.Attr("previd"); got != id {
		t.Errorf("previd = %s; want %s", got, id)
	}
	n, err := strconv.Atoi(e.Attr("h"))
	if err != nil {
		t.Errorf("resumed: %v", err)
	}
	return c, n
}

func arrival(n int) *stanza.Element {
	return stanza.New(stanza.NSClient, "message", "id", "in"+strconv.Itoa(n))
}

func (c *client) expectArrival(n int) {
	c.t.Helper()
	e := c.next()
	for e.Is(stanza.NSSM, "r") {
		e = c.next()
	}
	if got, want := e.Attr("id"), "in"+strconv.Itoa(n); got != want {
		c.t.Fatalf("received %s; want %s", e, want)
	}
}

func TestEnable(t *testing.T) {
	for _, tt := range []struct{ name, attrs, want string }{
		{"no resumption", "", "<enabled xmlns='urn:xmpp:sm:3'/>"},
		{"resume false", "resume='false'", "<enabled xmlns='urn:xmpp:sm:3'/>"},
		{"resume", "resume='true'", "<enabled xmlns='urn:xmpp:sm:3' id='%s' resume='true' max='300' location='192.0.2.7:5222'/>"},
		{"resume 1, less", "resume='1' max='60'", "<enabled xmlns='urn:xmpp:sm:3' id='%s' resume='true' max='60' location='192.0.2.7:5222'/>"},
		{"more", "resume='true' max='4000000000'", "<enabled xmlns='urn:xmpp:sm:3' id='%s' resume='true' max='300' location='192.0.2.7:5222'/>"},
		{"for no time", "resume='true' max='0'", "<enabled xmlns='urn:xmpp:sm:3'/>"},
		{"malformed time", "resume='true' max='-1'", "<enabled xmlns='urn:xmpp:sm:3' id='%s' resume='true' max='300' location='192.0.2.7:5222'/>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubbles(t, func(t *testing.T, a, _ *server) {
				c := login(t, a.clients, "x")
				c.send("<enable xmlns='urn:xmpp:sm:3' " + tt.attrs + "/>")
				ls := a.leader.session(t, 0)
				want := tt.want
				if strings.Contains(want, "%s") {
					want = fmt.Sprintf(want, ls.ref.ID)
				}
				if got := c.next().String(); got != want {
					t.Errorf("received %s; want %s", got, want)
				}
			})
		})
	}
}

func TestResume(t *testing.T) {
	bubbles(t, func(t *testing.T, a, b *server) {
		l := a.leader
		l.confirm = false
		c := login(t, a.clients, "x")
		ls := l.session(t, 0)
		l.deliver(ls, arrival(0), 0)
		c.expectArrival(0)
		// One each way comes before acknowledgements.
		c.send(message("0") + smKeep)
		id := c.expect(stanza.NSSM, "enabled").Attr("id")
		c.send(message("1") + message("2") + message("3"))
		for n := range 3 {
			l.deliver(ls, arrival(n+1), link.Item(n+1))
		}
		for n := range 3 {
			c.expectArrival(n + 1)
		}
		c.send(smAck(1))
		synctest.Wait()
		l.confirmTo(ls, 3)
		c.raw.Close()
		synctest.Wait()
		if !ls.detached || ls.closed || ls.delivered != 2 {
			t.Fatalf("detached %v, closed %v, delivered %d; want true, false, 2", ls.detached, ls.closed, ls.delivered)
		}
		// A delivery of the time between, and early ones of each kind.
		l.deliver(ls, arrival(4), 0)
		l.resumed = func(ls *fakeSession) {
			l.deliver(ls, arrival(5), 5)
			l.confirmTo(ls, 3)
		}
		c, h := resume(t, b, id, 2)
		if h != 2 {
			t.Errorf("resumed with h=%d; want 2", h)
		}
		l.resumed = nil
		for n := 3; n <= 5; n++ {
			c.expectArrival(n)
		}
		// The client sends again what it was not told of.
		c.send(message("3") + message("4") + smAsk)
		c.expect(stanza.NSSM, "r")
		c.quiet()
		if ls.repeated != 1 || len(ls.sent) != 5 {
			t.Errorf("%d repeated of %d; want 1 of 5", ls.repeated, len(ls.sent))
		}
		// More than has come again may be confirmed at once.
		l.confirmTo(ls, 5)
		c.expectAck(4)
		c.send(smAck(5))
		synctest.Wait()
		if ls.delivered != 6 || len(ls.queue) != 0 {
			t.Errorf("delivered = %d, %d queued; want 6, 0", ls.delivered, len(ls.queue))
		}
		c.send(smEnable)
		c.expect(stanza.NSSM, "failed")
		// Back to the first node, and a clean end.
		c.raw.Close()
		synctest.Wait()
		c, h = resume(t, a, id, 5)
		if h != 4 || ls.ref.Epoch != 2 {
			t.Errorf("resumed with h=%d, epoch %d; want 4, 2", h, ls.ref.Epoch)
		}
		c.send("</stream:stream>")
		c.expectAck(4)
		c.expectEnd()
		c.raw.Close()
		l.waitFor(t, "the close", func() bool { return ls.closed })
		// Then there is nothing to resume, and the stream stays.
		c = authenticated(t, a.clients)
		c.send(smResume(id, 5))
		if e := c.expect(stanza.NSSM, "failed"); !contains(e, "<item-not-found") {
			t.Errorf("received %s; want item-not-found", e)
		}
		c.send("<iq type='set' id='b'><bind xmlns='" + nsBind + "'/></iq>")
		c.expect(stanza.NSClient, "iq")
	})
}

// TestResumeFromTheLiving takes a session over from a connection that is still
// there, on its own edge and on another.
func TestResumeFromTheLiving(t *testing.T) {
	for _, tt := range []struct {
		name string
		same bool
	}{{"same edge", true}, {"other edge", false}} {
		t.Run(tt.name, func(t *testing.T) {
			bubbles(t, func(t *testing.T, a, b *server) {
				if tt.same {
					b = a
				}
				old, id := kept(t, a, "x")
				ls := a.leader.session(t, 0)
				a.leader.deliver(ls, arrival(1), 1)
				old.expectArrival(1)
				old.expect(stanza.NSSM, "r")
				c, _ := resume(t, b, id, 0)
				c.expectArrival(1)
				if got := old.expectEnd(); got != "conflict" {
					t.Errorf("stream error = %q; want conflict", got)
				}
				// The old connection has no say any more.
				old.try(smAck(1))
				old.raw.Close()
				synctest.Wait()
				if ls.detached || ls.closed || ls.delivered != 0 {
					t.Errorf("detached %v, closed %v, delivered %d; want the session untouched", ls.detached, ls.closed, ls.delivered)
				}
				c.send(smAck(1))
				synctest.Wait()
				if ls.delivered != 1 {
					t.Errorf("delivered = %d; want 1", ls.delivered)
				}
			})
		})
	}
}

func TestResumeRefused(t *testing.T) {
	for _, tt := range []struct{ name, resume, want string }{
		{"no h", "<resume xmlns='urn:xmpp:sm:3' previd='%s'/>", "failed bad-request"},
		{"malformed h", "<resume xmlns='urn:xmpp:sm:3' previd='%s' h='-1'/>", "failed bad-request"},
		{"h beyond 32 bits", "<resume xmlns='urn:xmpp:sm:3' previd='%s' h='4294967296'/>", "failed bad-request"},
		{"no id", "<resume xmlns='urn:xmpp:sm:3' h='0'/>", "failed item-not-found"},
		{"malformed id", "<resume xmlns='urn:xmpp:sm:3' h='0' previd='%s0'/>", "failed item-not-found"},
		{"unknown id", "<resume xmlns='urn:xmpp:sm:3' h='0' previd='00000000000000000000000000000000'/>", "failed item-not-found"},
		{"h too high", "<resume xmlns='urn:xmpp:sm:3' h='2' previd='%s'/>", "error handled-count-too-high"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubbles(t, func(t *testing.T, a, b *server) {
				old, id := kept(t, a, "x")
				ls := a.leader.session(t, 0)
				a.leader.deliver(ls, arrival(1), 1)
				old.expectArrival(1)
				old.raw.Close()
				synctest.Wait()
				c := authenticated(t, b.clients)
				c.send(strings.Replace(tt.resume, "%s", id, 1))
				e := c.next()
				kind, condition, _ := strings.Cut(tt.want, " ")
				if e.Name.Local != kind || !contains(e, "<"+condition) {
					t.Errorf("received %s; want %s", e, tt.want)
				}
				if kind == "failed" {
					c.send(smResume(id, 1))
					c.expect(stanza.NSSM, "resumed")
				} else if c.expectEnd(); !ls.detached {
					t.Error("the session was not left alone")
				}
			})
		})
	}
	t.Run("another account", func(t *testing.T) {
		bubbles(t, func(t *testing.T, a, b *server) {
			_, id := kept(t, a, "x")
			c, _ := secure(t, b.clients)
			c.send(plain("bob", "pencil"))
			c.expect(nsSASL, "success")
			c.send(open(testDomain))
			c.header()
			c.next()
			c.send(smResume(id, 0))
			if e := c.expect(stanza.NSSM, "failed"); !contains(e, "<item-not-found") {
				t.Errorf("received %s; want item-not-found", e)
			}
		})
	})
}

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

// A queue that is longer than a connection may have waiting is still sent.
func TestResumeLongQueue(t *testing.T) {
	bubbles(t, func(t *testing.T, a, b *server) {
		_, id := kept(t, a, "x")
		ls := a.leader.session(t, 0)
		a.stop()
		big := stanza.New(stanza.NSClient, "message", "id", "in0").AddText(strings.Repeat("x", 1000))
		n := b.limits.Unacked + 100
		for range n {
			a.leader.deliver(ls, big, 1)
		}
		b.leader.resumed = func(ls *fakeSession) { b.leader.deliver(ls, big, 1) }
		c, _ := resume(t, b, id, 0)
		for i := 0; i <= n; i++ {
			c.expectArrival(0)
		}
		c.send(smAck(n + 1))
		b.leader.waitFor(t, "the acknowledgement", func() bool { return ls.delivered == uint64(n+1) })
	})
}

// A state that does not add up is refused: to go on with it would be to
// miscount.
func TestResumeInconsistent(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*fakeSession)
	}{
		{"gap in the queue", func(s *fakeSession) { s.queue[1].N++ }},
		{"queue not up to last", func(s *fakeSession) { s.last++; s.enable.Out++ }},
		{"confirmed before enable", func(s *fakeSession) { s.enable.In = 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubbles(t, func(t *testing.T, a, b *server) {
				old, id := kept(t, a, "x")
				ls := a.leader.session(t, 0)
				a.leader.deliver(ls, arrival(1), 1)
				a.leader.deliver(ls, arrival(2), 2)
				old.expectArrival(1)
				old.raw.Close()
				synctest.Wait()
				tt.spoil(ls)
				c := authenticated(t, b.clients)
				c.send(smResume(id, 0))
				if got := c.expectEnd(); got != "internal-server-error" {
					t.Errorf("stream error = %q; want internal-server-error", got)
				}
				c.raw.Close()
				b.leader.waitFor(t, "the session detached", func() bool { return ls.detached })
			})
		})
	}
}

// TestManyResume has two connections ask for one session at once: one gets it
// last, and has all that is to be had.
func TestManyResume(t *testing.T) {
	bubbles(t, func(t *testing.T, a, _ *server) {
		old, id := kept(t, a, "x")
		ls := a.leader.session(t, 0)
		old.raw.Close()
		synctest.Wait()
		var first *client
		a.leader.resumed = func(*fakeSession) {
			// A second one overtakes the first before that knows.
			a.leader.resumed = nil
			second, _ := resume(t, a, id, 0)
			a.leader.deliver(ls, arrival(1), 1)
			second.expectArrival(1)
			second.send(smAck(1))
		}
		first = authenticated(t, a.clients)
		first.send(smResume(id, 0))
		first.expect(stanza.NSSM, "resumed")
		if got := first.expectEnd(); got != "conflict" {
			t.Errorf("stream error = %q; want conflict", got)
		}
		first.raw.Close()
		a.leader.waitFor(t, "the acknowledgement", func() bool { return ls.delivered == 1 })
		synctest.Wait()
		if ls.detached || ls.closed {
			t.Errorf("detached %v, closed %v; want neither", ls.detached, ls.closed)
		}
		if n := len(a.sessions.awaited); n != 0 {
			t.Errorf("%d sessions are still awaited", n)
		}
	})
}

// TestResumptions cuts connections at random and resumes. No stanza of the
// client, and none for it, may be lost or come twice to the other's knowledge,
// and h never goes back.
func TestResumptions(t *testing.T) {
	for seed := range uint64(20) {
		bubbles(t, func(t *testing.T, a, b *server) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			l := a.leader
			l.confirm = false
			c, id := kept(t, a, "x")
			ls := l.session(t, 0)
			var (
				unacked  []string // the client's stanzas beyond h
				h, sent  int
				received int
				made     int // deliveries
			)
			acked := func(n int) {
				if n < h || uint64(n) > ls.confirmed {
					t.Fatalf("seed %d: h=%d after %d, with %d confirmed", seed, n, h, ls.confirmed)
				}
				unacked = unacked[n-h:]
				h = n
			}
			take := func() {
				synctest.Wait()
				for {
					select {
					case r := <-c.in:
						switch {
						case r.e == nil:
							t.Fatalf("seed %d: stream ended: %v", seed, r.err)
						case r.e.Is(stanza.NSSM, "a"):
							n, _ := strconv.Atoi(r.e.Attr("h"))
							acked(n)
						case r.e.Is(stanza.NSClient, "message"):
							received++
							if got, want := r.e.Attr("id"), "in"+strconv.Itoa(received); got != want {
								t.Fatalf("seed %d: received %s; want %s", seed, got, want)
							}
						}
						continue
					default:
					}
					return
				}
			}
			for range 300 {
				switch rnd.IntN(8) {
				case 0, 1:
					if sent-int(ls.confirmed) < 50 {
						sent++
						m := message(strconv.Itoa(sent))
						unacked = append(unacked, m)
						c.send(m)
					}
				case 2:
					c.send(smAsk)
				case 3:
					synctest.Wait()
					if n := len(ls.sent) - int(ls.confirmed); n > 0 {
						l.confirmTo(ls, ls.confirmed+1+uint64(rnd.IntN(n)))
					}
				case 4, 5:
					made++
					l.deliver(ls, arrival(made), link.Item(rnd.IntN(2)))
				case 6:
					take()
					c.send(smAck(received))
				case 7:
					if rnd.IntN(3) > 0 {
						continue
					}
					// What is under way may be lost with the connection, or
					// the connection be thought to live on.
					if rnd.IntN(2) == 0 {
						take()
					}
					if rnd.IntN(2) == 0 {
						c.raw.Close()
					}
					if rnd.IntN(2) == 0 {
						synctest.Wait()
					}
					s := a
					if rnd.IntN(2) == 0 {
						s = b
					}
					var n int
					c, n = resume(t, s, id, received)
					acked(n)
					c.send(strings.Join(unacked, ""))
				}
			}
			c.send(smAsk)
			synctest.Wait()
			l.confirmTo(ls, uint64(len(ls.sent)))
			take()
			c.send(smAck(received))
			synctest.Wait()
			if h != sent || len(ls.sent) != sent {
				t.Errorf("seed %d: h=%d, the leader has %d; want %d", seed, h, len(ls.sent), sent)
			}
			if received != made || ls.delivered != uint64(made) {
				t.Errorf("seed %d: received %d, delivered %d; want %d", seed, received, ls.delivered, made)
			}
			for i, e := range ls.sent {
				if got, want := e.Attr("id"), strconv.Itoa(i+1); got != want {
					t.Fatalf("seed %d: stanza %d is %s", seed, i+1, got)
				}
			}
		})
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
