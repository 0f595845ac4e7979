package relay

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

func TestSingleNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.elect("a")
		ada, bob := w.client("ada", "a"), w.client("bob", "a")
		for range 10 {
			ada.send("bob")
			bob.send("ada")
		}
		w.done(ada, bob)
		if clients, components := w.node("a").relay.Sessions(); clients != 2 || len(components) != 0 {
			t.Errorf("Sessions() = %d, %v; want 2, 0", clients, components)
		}
		w.node("a").refuses(t)
	})
}

// refuses checks that the leader's refusal of a session comes to the edge.
func (n *node) refuses(t *testing.T) {
	t.Helper()
	_, err := n.relay.Open(t.Context(), link.Open{Ref: link.Ref{ID: link.SessionID{9}}, JID: mustJID("x@x"), Resource: "refused"}, n)
	if r, ok := errors.AsType[*link.Refusal](err); !ok || r.Condition != stanza.Conflict {
		t.Errorf("Open of a resource that is refused = %v; want %s", err, stanza.Conflict)
	}
}

func TestRemoteLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.elect("b")
		ada, bob, eve := w.client("ada", "a"), w.client("bob", "b"), w.client("eve", "c")
		for range 20 {
			ada.send("bob")
			ada.send("eve")
			bob.send("ada")
			eve.send("eve")
		}
		w.done(ada, bob, eve)
		n := w.node("a")
		if _, err := n.relay.Resume(t.Context(), link.Resume{ID: link.SessionID{9}}, n); err != link.ErrNoSession {
			t.Errorf("Resume of no session = %v; want %v", err, link.ErrNoSession)
		}
		n.refuses(t)
	})
}

func TestOtherNodeLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.elect("a")
		ada, bob, eve := w.client("ada", "a"), w.client("bob", "b"), w.client("eve", "c")
		for _, leader := range []string{"b", "c", "a", "a", "b"} {
			for range 10 {
				ada.send("bob")
				bob.send("eve")
				eve.send("ada")
			}
			w.elect(leader)
			for range 10 {
				ada.send("eve")
				bob.send("ada")
				eve.send("bob")
			}
		}
		w.done(ada, bob, eve)
	})
}

func TestNoLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		n := w.node("a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.relay.Open(ctx, link.Open{Ref: link.Ref{ID: link.SessionID{9}}, JID: mustJID("x@x")}, n); err != link.ErrNoLeader {
			t.Errorf("Open = %v; want %v", err, link.ErrNoLeader)
		}
		go func() {
			time.Sleep(time.Second)
			w.elect("b")
		}()
		ada := w.client("ada", "a")
		ada.send("ada")
		w.done(ada)
	})
}

// TestDeadLeaderIsLoud is over real sockets, as a program that has died leaves
// them.
func TestDeadLeaderIsLoud(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	start := func(deps Deps) *Relay {
		deps.Edge = &sink{confirmed: make(chan struct{}, 10), delivered: make(chan link.Delivery, 10)}
		deps.Log = slog.New(slog.DiscardHandler)
		deps.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
		r := New(Config{}, deps)
		work.Go(func() { r.Run(ctx) })
		return r
	}
	leader := start(Deps{})
	leader.Lead(Leadership{Term: 1, ID: "l", Addr: addr, Local: &switchboard{sessions: map[link.SessionID]*line{}}})
	lost := make(chan bool, 10)
	follower := start(Deps{LeaderLost: func(_ string, refused bool) { lost <- refused }})
	follower.Lead(Leadership{Term: 1, ID: "l", Addr: addr})
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	work.Go(func() { leader.Serve(ctx, conn, "f") })
	ref := link.Ref{ID: link.SessionID{2}}
	if _, err := follower.Open(ctx, link.Open{Ref: ref, JID: mustJID("ada@x")}, nil); err != nil {
		t.Fatal(err)
	}
	ln.Close()
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
	if refused := <-lost; !refused {
		t.Error("LeaderLost: refused = false; want true")
	}
}
