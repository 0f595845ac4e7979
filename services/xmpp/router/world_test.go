package router

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
	"parley/services/xmpp/stream"
)

const domain = "example.com"

// world is a router over a store on the disk.
type world struct {
	t     testing.TB
	store *store.Store
	r     *Router
}

func newWorld(t testing.TB, accounts ...string) *world {
	t.Helper()
	return newWorldIn(t, t.TempDir(), accounts...)
}

func newWorldIn(t testing.TB, dir string, accounts ...string) *world {
	t.Helper()
	st := store.New(store.Config{Dir: dir, NoSync: true}, store.Deps{Log: slog.New(slog.DiscardHandler)})
	if err := st.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx) }()
	if err := st.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("store:", err)
		}
	})
	for _, a := range accounts {
		mustApply(t, st, &store.AccountAdd{Name: a})
	}
	return worldOver(t, st, st)
}

// worldOver runs a router over any store.
func worldOver(t testing.TB, st *store.Store, s Store) *world {
	w := &world{t: t, store: st, r: New(Config{Domain: domain, Version: "1.0"}, Deps{Store: s, Log: slog.New(slog.DiscardHandler)})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	r := w.r
	r.Settled()
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("router:", err)
		}
	})
	return w
}

func mustApply(t testing.TB, st *store.Store, op store.Op) {
	t.Helper()
	rs, err := st.Apply(context.Background(), op)
	if err == nil {
		err = rs[0].Err
	}
	if err != nil {
		t.Fatalf("Apply(%T) = %v", op, err)
	}
}

func newRef() (ref link.Ref) {
	rand.Read(ref.ID[:])
	return ref
}

// peer is one session's edge.
type peer struct {
	w   *world
	ref link.Ref
	jid jid.JID
	seq uint64
	// auto acknowledges at once what is delivered.
	auto bool
	// held is what came with the first presence.
	held []string

	mu        sync.Mutex
	got       []link.Delivery
	confirmed uint64
	ended     string
	// last delivery, and the last that was acknowledged.
	last, acked uint64
	memo        []byte
}

func (p *peer) Deliver(ref link.Ref, d link.Delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.N != p.last+1 || ref != p.ref {
		p.w.t.Errorf("%s: delivery %d for %v after %d for %v", p.jid, d.N, ref, p.last, p.ref)
	}
	p.last = d.N
	p.got = append(p.got, d)
}

func (p *peer) Confirm(_ link.Ref, seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.confirmed = seq
}

func (p *peer) Memo(_ link.Ref, memo []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memo = memo
}

func (p *peer) End(_ link.Ref, condition string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = condition
}

func (w *world) openAs(kind link.Kind, address, resource string) (*peer, error) {
	j, err := jid.Parse(address)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &peer{w: w, ref: newRef(), auto: true}
	p.jid, err = w.r.Open(context.Background(), link.Open{Ref: p.ref, Kind: kind, JID: j, Resource: resource}, p)
	return p, err
}

// connect binds a client, which sends no presence.
func (w *world) connect(name, resource string) *peer {
	w.t.Helper()
	p, err := w.openAs(link.Client, name+"@"+domain, resource)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// online binds a client and makes it available with a priority.
func (w *world) online(name, resource string, priority int) *peer {
	w.t.Helper()
	p := w.connect(name, resource)
	p.send(fmt.Sprintf("<presence><priority>%d</priority></presence>", priority))
	p.held = p.take()
	return p
}

// component registers and connects a Call Bridge.
func (w *world) component(name string) *peer {
	w.t.Helper()
	if w.store == nil {
		// One in memory has it.
	} else if _, ok, _ := w.store.CallBridge(name); !ok {
		mustApply(w.t, w.store, &store.BridgeAdd{Name: name, Secret: "s"})
	}
	p, err := w.openAs(link.Component, name+"."+domain, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// sync waits until the router has done all that it was given.
func (w *world) sync() {
	w.t.Helper()
	if _, err := w.r.Connected(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

func parse(t testing.TB, xml string) *stanza.Element {
	t.Helper()
	xml = regexp.MustCompile(`^<(message|presence|iq)`).ReplaceAllString(xml, "<$1 xmlns='jabber:client'")
	e, err := stream.Parse([]byte(xml))
	if err != nil {
		t.Fatalf("%s: %v", xml, err)
	}
	return e
}

func (p *peer) send(xml string) {
	p.w.t.Helper()
	p.seq++
	p.w.r.Send(p.ref, p.seq, parse(p.w.t, xml))
}

// ack acknowledges all that was delivered.
func (p *peer) ack() {
	p.mu.Lock()
	p.acked = p.last
	n := p.last
	p.mu.Unlock()
	p.w.r.Delivered(p.ref, n)
}

// take returns, once the router is idle, what came since the last take, as
// text, and acknowledges it where the peer does that.
func (p *peer) take() []string {
	p.w.t.Helper()
	p.w.sync()
	p.mu.Lock()
	got := p.got
	p.got = nil
	p.mu.Unlock()
	if p.auto {
		p.ack()
	}
	lines := []string{}
	for _, d := range got {
		lines = append(lines, string(d.Bytes))
	}
	return lines
}

// expect takes and compares; a want that ends in … is a prefix.
func (p *peer) expect(want ...string) {
	p.w.t.Helper()
	got := p.take()
	shown := slices.Clone(got)
	for i := range min(len(got), len(want)) {
		if prefix, ok := strings.CutSuffix(want[i], "…"); ok && strings.HasPrefix(got[i], prefix) {
			shown[i] = want[i]
		}
	}
	if len(want) == 0 {
		want = []string{}
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		p.w.t.Errorf("%s got (-want +got):\n%s", p.jid, diff)
	}
}

func (p *peer) close() { p.w.r.Close(p.ref) }

func (p *peer) end() string {
	p.w.sync()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

func (p *peer) confirms() uint64 {
	p.w.sync()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.confirmed
}

// pending waits until an account's inbox holds n messages.
func (w *world) pending(account string, n int) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		got, err := w.store.Pending(account)
		if err != nil {
			w.t.Fatal(err)
		}
		if got == n {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s has %d pending messages; want %d", account, got, n)
		}
	}
}

func refusal(err error) stanza.Condition {
	if r, ok := errors.AsType[*link.Refusal](err); ok {
		return r.Condition
	}
	return ""
}

var discard = slog.New(slog.DiscardHandler)

type storeResult = store.Result

func containsAll(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}

// drain is what is already here, and then what a take brings.
func (p *peer) drain() []string {
	if first := p.held; first != nil {
		p.held = nil
		return first
	}
	return p.take()
}
