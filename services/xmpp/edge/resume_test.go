package edge

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

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
