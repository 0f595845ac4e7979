package peer

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/problem"
)

// forget has the next connection be of a new session.
func (s *sessions) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = s.since.Add(-sessionLife)
}

// linked is a node that hands out the links that it serves.
func linked(t *testing.T, id string, identity *Identity) (n *node, served chan *conn) {
	t.Helper()
	served = make(chan *conn, 1)
	n = newNode(t, id, func(n *node) {
		n.cfg.Wait = 30 * time.Second
		n.identity.Store(identity)
		n.Handle("link", func(ctx context.Context, c net.Conn, _ Hello) {
			served <- c.(*conn)
			<-ctx.Done()
			c.Close()
		})
	})
	return n, served
}

// link dials a link and returns both ends of it.
func link(t *testing.T, from, to *node, served chan *conn) (here, there *conn, err error) {
	t.Helper()
	c, err := from.Dial(t.Context(), to.addr, "link")
	if err != nil {
		return nil, nil, err
	}
	here, there = c.(*conn), <-served
	if h, t1 := here.ConnectionState().DidResume, there.ConnectionState().DidResume; h != t1 {
		t.Errorf("resumed: %v by who dialed, %v by who was dialed", h, t1)
	}
	return here, there, nil
}

// TestSessions: what was changed between two connections shows on the second as
// if no session were resumed.
func TestSessions(t *testing.T) {
	var self *authority
	ca, other := self.issue(spec{cn: "Our CA", ca: true}), self.issue(spec{cn: "Other CA", ca: true})
	member := func(cn string) *authority { return ca.issue(spec{cn: cn, dns: []string{testDomain}}) }
	one, two, renewed := member("one"), member("two"), member("renewed")
	identity := func(shows *authority, trusts ...*authority) *Identity {
		return &Identity{Certificate: shows.tls(), Trust: bundle(t, trusts...), Domain: testDomain}
	}
	// keep has n go on with the sessions that it has, as another identity.
	keep := func(n *node, id *Identity) {
		n.identity.Store(id)
		n.sessions.mu.Lock()
		defer n.sessions.mu.Unlock()
		n.sessions.of = id.sum()
	}
	for _, tt := range []struct {
		name   string
		change func(a, b *node)
		// resumed: without new signatures. a sees and b sees whose certificate.
		resumed      bool
		aSees, bSees string
		// err is of the second connection, in place of the above.
		err string
	}{
		{"nothing", func(a, b *node) {}, true, "two", "one", ""},
		{"own certificate of who dials", func(a, b *node) { a.identity.Store(identity(renewed, ca)) }, false, "two", "renewed", ""},
		{"own certificate of who is dialed", func(a, b *node) { b.identity.Store(identity(renewed, ca)) }, false, "renewed", "one", ""},
		{"who dials trusts one more", func(a, b *node) { a.identity.Store(identity(one, ca, other)) }, false, "two", "one", ""},
		{"who is dialed trusts one more", func(a, b *node) { b.identity.Store(identity(two, ca, other)) }, false, "two", "one", ""},
		{"who dials trusts no more", func(a, b *node) { a.identity.Store(identity(one, other)) }, false, "", "", "is not in the trust bundle"},
		{"who is dialed trusts no more", func(a, b *node) { b.identity.Store(identity(two, other)) }, false, "", "", "does not trust this node's certificate CN=one"},
		{"who dials trusts no more, with the session", func(a, b *node) { keep(a, identity(one, other)) }, false, "", "", "is not in the trust bundle"},
		{"who is dialed trusts no more, with the session", func(a, b *node) { keep(b, identity(two, other)) }, false, "", "", "does not trust this node's certificate CN=one"},
		{"an hour for who dials", func(a, b *node) { a.sessions.forget() }, false, "two", "one", ""},
		{"an hour for who is dialed", func(a, b *node) { b.sessions.forget() }, false, "two", "one", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, _ := linked(t, "a", identity(one, ca))
			b, served := linked(t, "b", identity(two, ca))
			first, _, err := link(t, a, b, served)
			if err != nil || first.ConnectionState().DidResume {
				t.Fatalf("first connection: %v, or it was resumed", err)
			}
			tt.change(a, b)
			here, there, err := link(t, a, b, served)
			if tt.err != "" {
				if problem.CodeOf(err) != problem.ClusterTLS || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("second connection: %v; want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if here.ConnectionState().DidResume != tt.resumed || here.chain[0].Subject.CommonName != tt.aSees || there.chain[0].Subject.CommonName != tt.bSees {
				t.Errorf("resumed %v, a sees %s, b sees %s; want %v, %s, %s", here.ConnectionState().DidResume,
					here.chain[0].Subject.CommonName, there.chain[0].Subject.CommonName, tt.resumed, tt.aSees, tt.bSees)
			}
			if again, _, err := link(t, a, b, served); err != nil || !again.ConnectionState().DidResume {
				t.Errorf("third connection: %v, or it was not resumed", err)
			}
		})
	}
}

// TestSessionsOfRestartedNode: a new process cannot read its former self's tickets
// and asks for the certificate.
func TestSessionsOfRestartedNode(t *testing.T) {
	a := newNode(t, "a", nil)
	b, served := linked(t, "b", a.identity.Load())
	if _, _, err := link(t, a, b, served); err != nil {
		t.Fatal(err)
	}
	b.stop()
	again, served := linked(t, "b", a.identity.Load())
	l, err := net.Listen("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	again.serve(&wg, l)
	defer wg.Wait()
	defer l.Close()
	for _, want := range []bool{false, true} {
		c, _, err := link(t, a, b, served)
		if err != nil || c.ConnectionState().DidResume != want {
			t.Fatalf("connection to the restarted node: %v, or resumed is not %v", err, want)
		}
	}
	again.stop()
}

// TestSessionsExpire: a session does not carry a certificate past its time, nor past
// that of its authority. A connection that is there stays.
func TestSessionsExpire(t *testing.T) {
	for _, tt := range []struct {
		name string
		// ca and leaf are how long certificates are good. Who dials has leaf's,
		// or who is dialed.
		ca, leaf time.Duration
		dials    bool
		want     string
	}{
		{"of who dials", time.Hour, time.Minute, true, "b:5222 does not trust this node's certificate CN=short (SHA-256 …): it expired on 2000-Jan-01 00:01:00 UTC"},
		{"of who is dialed", time.Hour, time.Minute, false, "certificate CN=short (SHA-256 …) of b:5222 expired on 2000-Jan-01 00:01:00 UTC"},
		{"authority of who dials", time.Minute, time.Hour, true, "it is of the authority CN=Our CA (SHA-256 …), whose certificate expired on 2000-Jan-01 00:01:00 UTC"},
		{"authority of who is dialed", time.Minute, time.Hour, false, "is of the authority CN=Our CA (SHA-256 …), whose certificate expired on 2000-Jan-01 00:01:00 UTC"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var self *authority
				now := time.Now()
				ca := self.issue(spec{cn: "Our CA", ca: true, after: now.Add(tt.ca)})
				short, lasting := ca.issue(spec{cn: "short", dns: []string{testDomain}, after: now.Add(tt.leaf)}), self.issue(spec{cn: "lasting"})
				l := newBubble(t, "a", "b")
				a, b := l.node("a"), l.node("b")
				ofA, ofB := short, lasting
				if !tt.dials {
					ofA, ofB = lasting, short
				}
				trust := bundle(t, ca, lasting)
				a.identity.Store(&Identity{Certificate: ofA.tls(), Trust: trust, Domain: testDomain})
				b.identity.Store(&Identity{Certificate: ofB.tls(), Trust: trust, Domain: testDomain})
				for _, want := range []bool{false, true} {
					c, err := a.Dial(t.Context(), "b:5222", "link")
					if err != nil || c.(*conn).ConnectionState().DidResume != want {
						t.Fatalf("connection before: %v, or resumed is not %v", err, want)
					}
				}
				time.Sleep(time.Minute + time.Second)
				_, err := a.Dial(t.Context(), "b:5222", "link")
				if problem.CodeOf(err) != problem.ClusterTLS || !strings.Contains(errText(err), tt.want) {
					t.Errorf("connection after: %v; want %q", err, tt.want)
				}
				time.Sleep(2 * reviewEvery)
				if here, there := len(a.open()), len(b.open()); here != 2 || there != 2 {
					t.Errorf("%d and %d connections; want the 2 of before", here, there)
				}
			})
		})
	}
}

// TestIdentitySum: sessions go with everything that a node shows or checks.
func TestIdentitySum(t *testing.T) {
	var self *authority
	one, two := self.issue(spec{cn: "one"}), self.issue(spec{cn: "two"})
	base := Identity{Certificate: one.tls(), Client: one.tls(), ClientName: "postgres", Domain: testDomain, Trust: bundle(t, one)}
	if again := (Identity{Certificate: one.tls(), Client: one.tls(), ClientName: "postgres", Domain: testDomain, Trust: bundle(t, one)}); again.sum() != base.sum() {
		t.Error("sum of the same identity, loaded again, is another")
	}
	for name, change := range map[string]func(id *Identity){
		"certificate":         func(id *Identity) { id.Certificate = two.tls() },
		"no certificate":      func(id *Identity) { id.Certificate = nil },
		"chain":               func(id *Identity) { id.Certificate = one.tls(two) },
		"client":              func(id *Identity) { id.Client = two.tls() },
		"no client":           func(id *Identity) { id.Client = nil },
		"shown the other way": func(id *Identity) { id.Certificate, id.Client = one.tls(one), nil },
		"client's name":       func(id *Identity) { id.ClientName = "other" },
		"domain":              func(id *Identity) { id.Domain = "example.com" },
		"trust":               func(id *Identity) { id.Trust = bundle(t, one, two) },
	} {
		id := base
		if change(&id); id.sum() == base.sum() {
			t.Errorf("sum with another %s is the same", name)
		}
	}
}
