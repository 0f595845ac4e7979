package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/problem"
	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

func TestOpen(t *testing.T) {
	w := newWorld(t, "ada")
	first := w.connect("ada", "phone")
	if first.jid.String() != "ada@example.com/phone" {
		t.Errorf("full JID = %s", first.jid)
	}
	second := w.connect("ada", "phone")
	if got := first.end(); got != "conflict" {
		t.Errorf("older session of the same resource ended with %q; want conflict", got)
	}
	if got := second.end(); got != "" {
		t.Errorf("newer session ended with %q", got)
	}
	if p := w.connect("ada", ""); p.jid.Resource() == "" {
		t.Error("no resource was made")
	}
	for _, tt := range []struct {
		name, jid, resource string
		kind                link.Kind
		want                stanza.Condition
	}{
		{"no account", "eve@example.com", "x", link.Client, stanza.NotAuthorized},
		{"other domain", "ada@elsewhere.org", "x", link.Client, stanza.NotAuthorized},
		{"bad resource", "ada@example.com", "a\x01", link.Client, stanza.BadRequest},
		{"no such component", "cb9.example.com", "", link.Component, stanza.NotAuthorized},
		{"component of another domain", "cb1.elsewhere.org", "", link.Component, stanza.NotAuthorized},
	} {
		if _, err := w.openAs(tt.kind, tt.jid, tt.resource); refusal(err) != tt.want {
			t.Errorf("%s: Open = %v; want %s", tt.name, err, tt.want)
		}
	}
	for range maxSessions - 2 {
		w.connect("ada", "")
	}
	if _, err := w.openAs(link.Client, "ada@example.com", ""); refusal(err) != stanza.ResourceConstraint {
		t.Errorf("Open of one too many = %v; want %s", err, stanza.ResourceConstraint)
	}
	if _, err := w.openAs(link.Client, "ada@example.com", "phone"); err != nil {
		t.Errorf("Open in place of another = %v", err)
	}
}

func TestOpenGivenUp(t *testing.T) {
	w := newWorld(t, "ada")
	// The router is kept busy until the caller has gone.
	busy, free := make(chan struct{}), make(chan struct{})
	go w.r.do(context.Background(), nil, func(r storeResult) { close(busy); <-free })
	<-busy
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	j, _ := jid.New("ada", domain, "")
	if _, err := w.r.Open(ctx, link.Open{JID: j}, &peer{w: w}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v; want %v", err, context.Canceled)
	}
	close(free)
	c, err := w.r.Connected(context.Background())
	if c.Sessions != 0 || err != nil {
		t.Errorf("Connected = %+v, %v; want no sessions", c, err)
	}
}

func TestPendingInOrderWithDelay(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	ada := w.connect("ada", "a")
	for i := range 5 {
		ada.send(fmt.Sprintf("<message to='bob@example.com' id='%d'><body>%d</body></message>", i, i))
	}
	if got := ada.confirms(); got != 5 {
		t.Errorf("confirmed %d; want 5", got)
	}
	bob := w.connect("bob", "b")
	bob.expect()
	bob.send("<presence><priority>-1</priority></presence>")
	bob.expect("<presence from='bob@example.com/b' to='bob@example.com/b'><priority>-1</priority></presence>")
	bob.send("<presence/>")
	got := bob.take()
	if len(got) != 6 {
		t.Fatalf("bob got %v; want his presence and 5 messages", got)
	}
	for i, m := range got[1:] {
		want := fmt.Sprintf("<message to='bob@example.com' id='%d' from='ada@example.com/a'><body>%d</body><delay xmlns='urn:xmpp:delay' from='example.com' stamp='20", i, i)
		if !strings.HasPrefix(m, want) || !strings.HasSuffix(m, "Z'/></message>") {
			t.Errorf("message %d = %s; want %s…", i, m, want)
		}
	}
	w.pending("bob", 0)
	ada.send("<message to='bob@example.com' id='now'/>")
	bob.expect("<message to='bob@example.com' id='now' from='ada@example.com/a'/>")
}

// ids are the messages' ids.
func ids(lines []string) (ids []string) {
	for _, l := range lines {
		if _, after, ok := strings.Cut(l, " id='"); ok && strings.HasPrefix(l, "<message") {
			id, _, _ := strings.Cut(after, "'")
			ids = append(ids, id)
		}
	}
	return ids
}

func TestSlowSessionIsFedFromTheInbox(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	ada := w.connect("ada", "a")
	bob := w.online("bob", "b", 0)
	bob.auto = false
	const n = 3*windowItems + 17
	var want []string
	for i := range n {
		ada.send(fmt.Sprintf("<message to='bob@example.com' id='%d'/>", i))
		want = append(want, fmt.Sprint(i))
	}
	w.sync()
	bob.mu.Lock()
	if len(bob.got) != windowItems {
		t.Errorf("%d messages delivered without an acknowledgement; want %d", len(bob.got), windowItems)
	}
	bob.mu.Unlock()
	var got []string
	begin := time.Now()
	for len(got) < n {
		w.sync()
		lines := bob.take()
		bob.ack()
		if len(lines) == 0 {
			// Room is only where the store has removed them.
			if time.Since(begin) > time.Minute {
				t.Fatalf("no more after %d of %d", len(got), n)
			}
			time.Sleep(time.Millisecond)
		}
		got = append(got, ids(lines)...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ids:\n%s", diff)
	}
	w.pending("bob", 0)
}

// Messages that come in one batch with the acknowledgements which make room do
// not overtake those that wait in the inbox.
func TestNothingOvertakesTheInbox(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	ada := w.connect("ada", "a")
	bob := w.online("bob", "b", 0)
	bob.auto = false
	for i := range windowItems + 3 {
		ada.send(fmt.Sprintf("<message to='bob@example.com' id='%d'/>", i))
	}
	bob.take()
	busy, free := make(chan struct{}), make(chan struct{})
	go w.r.do(context.Background(), nil, func(storeResult) { close(busy); <-free })
	<-busy
	w.r.Delivered(bob.ref, 9)
	ada.send("<message to='bob@example.com' id='last'/>")
	close(free)
	want := []string{fmt.Sprint(windowItems), fmt.Sprint(windowItems + 1), fmt.Sprint(windowItems + 2), "last"}
	var got []string
	for begin := time.Now(); len(got) < len(want) && time.Since(begin) < time.Minute; time.Sleep(time.Millisecond) {
		got = append(got, ids(bob.take())...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("bob got %v; want %v", got, want)
	}
}

// What is sent to a resource that may not have older messages yet comes after
// those of the same sender, and those of others do not delay it.
func TestNothingOvertakesWhatWaitsForPresence(t *testing.T) {
	for _, tt := range []struct {
		name, presence string
		// older is where the message is sent to that waits, and whether before
		// bob binds.
		older  string
		before bool
	}{
		{"bound later", "", "bob@example.com", true},
		{"bound already", "", "bob@example.com", false},
		{"another resource's", "", "bob@example.com/gone", true},
		{"negative priority", "<presence><priority>-1</priority></presence>", "bob@example.com", true},
		{"negative priority already", "<presence><priority>-1</priority></presence>", "bob@example.com", false},
		{"available before", "<presence type='unavailable'/>", "bob@example.com", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, "ada", "bob", "cleo")
			ada, cleo := w.connect("ada", "a"), w.connect("cleo", "c")
			older := func() { ada.send("<message type='chat' to='" + tt.older + "' id='1'/>") }
			if tt.before {
				older()
			}
			bob := w.connect("bob", "b")
			if tt.presence != "" {
				bob.send("<presence><priority>-2</priority></presence>")
				bob.send(tt.presence)
			}
			if !tt.before {
				older()
			}
			ada.send("<message type='chat' to='bob@example.com/b' id='2'/>")
			cleo.send("<message type='chat' to='bob@example.com/b' id='other'/>")
			if got := ids(bob.take()); !slices.Equal(got, []string{"other"}) {
				t.Errorf("bob got %v; want other", got)
			}
			ada.send("<message to='bob@example.com/b' id='3'/>")
			if got := ids(bob.take()); len(got) > 0 {
				t.Errorf("bob got %v; want nothing", got)
			}
			bob.send("<presence/>")
			if got := ids(bob.take()); !slices.Equal(got, []string{"1", "2", "3"}) {
				t.Errorf("available, bob got %v; want 1, 2, 3", got)
			}
			w.pending("bob", 0)
			// Nothing waits any more.
			bob.send("<presence type='unavailable'/>")
			bob.take()
			ada.send("<message type='chat' to='bob@example.com/b' id='4'/>")
			bob.expect("<message type='chat' to='bob@example.com/b' id='4' from='ada@example.com/a'/>")
		})
	}
}

func TestLargeMessagesFillTheWindow(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	ada := w.connect("ada", "a")
	bob := w.online("bob", "b", 0)
	bob.auto = false
	body := strings.Repeat("x", 200<<10)
	for i := range 20 {
		ada.send(fmt.Sprintf("<message to='bob@example.com' id='%d'><body>%s</body></message>", i, body))
	}
	w.sync()
	bob.mu.Lock()
	defer bob.mu.Unlock()
	if len(bob.got) != 6 {
		t.Errorf("%d messages of 200 KiB in flight; want 6", len(bob.got))
	}
}

func TestUnacknowledgedGoOn(t *testing.T) {
	t.Run("to another resource", func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		ada := w.connect("ada", "a")
		low, high := w.online("bob", "low", 0), w.online("bob", "high", 1)
		low.take()
		high.auto = false
		ada.send("<message to='bob@example.com' id='1'/>")
		ada.send("<message type='chat' to='bob@example.com/high' id='2'/>")
		if got := ids(high.take()); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("high got %v", got)
		}
		if got := ids(low.take()); len(got) > 0 {
			t.Errorf("low got %v before high left", got)
		}
		high.close()
		if got := ids(low.take()); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("low got %v; want 1, 2", got)
		}
		w.pending("bob", 0)
	})
	t.Run("to a later session", func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		ada := w.connect("ada", "a")
		bob := w.online("bob", "b", 0)
		bob.auto = false
		ada.send("<message to='bob@example.com' id='1'/>")
		bob.take()
		bob.close()
		w.pending("bob", 1)
		again := w.connect("bob", "b")
		again.send("<presence/>")
		if got := ids(again.take()); !slices.Equal(got, []string{"1"}) {
			t.Errorf("later session got %v; want 1", got)
		}
		w.pending("bob", 0)
	})
	t.Run("when the resource is replaced", func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		ada := w.connect("ada", "a")
		bob := w.online("bob", "b", 0)
		bob.auto = false
		ada.send("<message to='bob@example.com/b' id='1'/>")
		bob.take()
		again := w.connect("bob", "b")
		again.send("<presence/>")
		if got := ids(again.take()); !slices.Equal(got, []string{"1"}) {
			t.Errorf("newer session got %v; want 1", got)
		}
	})
	t.Run("when it becomes unavailable what it has not got goes on", func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		ada := w.connect("ada", "a")
		low, high := w.online("bob", "low", 0), w.online("bob", "high", 1)
		low.take()
		high.auto = false
		for i := range windowItems + 2 {
			ada.send(fmt.Sprintf("<message to='bob@example.com' id='%d'/>", i))
		}
		if got := ids(high.take()); len(got) != windowItems {
			t.Errorf("high got %d; want %d", len(got), windowItems)
		}
		high.send("<presence type='unavailable'/>")
		if got := ids(low.take()); !slices.Equal(got, []string{fmt.Sprint(windowItems), fmt.Sprint(windowItems + 1)}) {
			t.Errorf("low got %v; want the last two", got)
		}
	})
}

func TestEqualPriorities(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	ada := w.connect("ada", "a")
	one, two := w.online("bob", "one", 3), w.online("bob", "two", 3)
	one.take()
	one.auto = false
	ada.send("<message to='bob@example.com' id='1'/>")
	if got := ids(one.take()); !slices.Equal(got, []string{"1"}) {
		t.Errorf("one got %v; want 1", got)
	}
	if got := ids(two.take()); !slices.Equal(got, []string{"1"}) {
		t.Errorf("two got %v; want 1", got)
	}
	// Two's acknowledgement is enough.
	w.pending("bob", 0)
	one.close()
	if got := ids(two.take()); len(got) > 0 {
		t.Errorf("two got %v again", got)
	}
	three := w.connect("bob", "three")
	three.send("<presence/>")
	if got := ids(three.take()); len(got) > 0 {
		t.Errorf("three got %v, which was acknowledged", got)
	}
}

func TestDeleteAccount(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	ada, bob := w.online("ada", "a", 0), w.online("bob", "b", 0)
	befriend(ada, bob)
	bob.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
	bob.take()
	if err := w.r.DeleteAccount(context.Background(), "eve"); problem.CodeOf(err) != problem.UserUnknown {
		t.Errorf("DeleteAccount(eve) = %v", err)
	}
	if err := w.r.DeleteAccount(context.Background(), "ada"); err != nil {
		t.Fatal(err)
	}
	if got := ada.end(); got != "not-authorized" {
		t.Errorf("session ended with %q; want not-authorized", got)
	}
	bob.expect(
		"<presence type='unsubscribe' from='ada@example.com' to='bob@example.com'/>",
		"<iq type='set' id='push1' to='bob@example.com/b'><query xmlns='jabber:iq:roster' ver='4'><item jid='ada@example.com' subscription='to'/></query></iq>",
		"<presence type='unsubscribed' from='ada@example.com' to='bob@example.com'/>",
		"<iq type='set' id='push2' to='bob@example.com/b'><query xmlns='jabber:iq:roster' ver='5'><item jid='ada@example.com' subscription='none'/></query></iq>",
		"<presence type='unavailable' from='ada@example.com/a' to='bob@example.com'/>",
	)
}

func TestServiceSide(t *testing.T) {
	w := newWorld(t, "ada", "bob")
	b, a := w.connect("ada", "b"), w.connect("ada", "a")
	cb := w.component("cb1")
	got, err := w.r.Connected(context.Background())
	want := Connected{Sessions: 2, Resources: map[string][]string{"ada": {"a", "b"}}, Components: []string{"cb1"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Connected: %v\n%s", err, diff)
	}
	if err := w.r.EndAccount(context.Background(), "ada"); err != nil || a.end() != "not-authorized" || b.end() != "not-authorized" {
		t.Errorf("EndAccount = %v; ended with %q, %q", err, a.end(), b.end())
	}
	if err := w.r.DeleteCallBridge(context.Background(), "cb1"); err != nil || cb.end() != "not-authorized" {
		t.Errorf("DeleteCallBridge = %v; ended with %q", err, cb.end())
	}
	if err := w.r.DeleteCallBridge(context.Background(), "cb1"); problem.CodeOf(err) != problem.BridgeUnknown {
		t.Errorf("second DeleteCallBridge = %v", err)
	}
	c := w.connect("bob", "x")
	if err := w.r.DropAll(context.Background(), "system-shutdown"); err != nil || c.end() != "system-shutdown" {
		t.Errorf("DropAll = %v; ended with %q", err, c.end())
	}
}

func TestStopped(t *testing.T) {
	r := New(Config{Domain: domain}, Deps{Log: discard})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Connected(context.Background()); !errors.Is(err, ErrStopped) {
		t.Errorf("Connected = %v; want %v", err, ErrStopped)
	}
	j, _ := jid.New("ada", domain, "")
	if _, err := r.Open(context.Background(), link.Open{JID: j}, nil); !errors.Is(err, ErrStopped) {
		t.Errorf("Open = %v; want %v", err, ErrStopped)
	}
	for range 2 * queueLen {
		r.Send(link.Ref{}, 1, nil)
	}
}
