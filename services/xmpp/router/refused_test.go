package router

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/store"
)

// faulty is a store that can be told to fail.
type faulty struct {
	*store.Store
	mu sync.Mutex
	// refuse is what Apply returns instead of doing anything for ops that
	// are not only removals; lie is what it returns although it did.
	refuse, lie error
	applies     int
}

func (f *faulty) set(refuse, lie error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse, f.lie = refuse, lie
}

func (f *faulty) Apply(ctx context.Context, ops ...store.Op) ([]store.Result, error) {
	f.mu.Lock()
	refuse, lie := f.refuse, f.lie
	st := f.Store
	f.applies++
	f.mu.Unlock()
	grows := slices.ContainsFunc(ops, func(op store.Op) bool {
		_, removal := op.(*store.Delivered)
		return !removal
	})
	if refuse != nil && grows {
		return nil, refuse
	}
	rs, err := st.Apply(ctx, ops...)
	if err == nil && lie != nil {
		return nil, lie
	}
	return rs, err
}

func newFaulty(t *testing.T, accounts ...string) (*world, *faulty) {
	w := newWorld(t, accounts...)
	f := &faulty{Store: w.store}
	return worldOver(t, w.store, f), f
}

func TestStoreRefuses(t *testing.T) {
	w, f := newFaulty(t, "ada", "bob")
	ada, bob := w.online("ada", "a", 0), w.online("bob", "b", 0)
	ada.send("<message to='bob@example.com' id='0'/>")
	if got := ids(bob.take()); !slices.Equal(got, []string{"0"}) {
		t.Fatalf("bob got %v; want 0", got)
	}
	f.set(problem.New(problem.StoreFull), nil)
	const held = "<error type='wait'><resource-constraint…"
	ada.send("<message to='bob@example.com' id='1'><body>hi</body></message>")
	ada.expect("<message type='error' id='1' from='bob@example.com' to='ada@example.com/a'>" + held)
	ada.send("<iq type='set' id='2'><query xmlns='jabber:iq:roster'><item jid='x@y'/></query></iq>")
	ada.expect("<iq type='error' id='2' to='ada@example.com/a'><query xmlns='jabber:iq:roster'><item jid='x@y'/></query>" + held)
	ada.send("<presence type='subscribe' id='3' to='bob@example.com'/>")
	ada.expect("<presence type='error' id='3' from='bob@example.com' to='ada@example.com'>" + held)
	if err := w.r.DeleteAccount(context.Background(), "bob"); problem.CodeOf(err) != problem.StoreFull {
		t.Errorf("DeleteAccount = %v; want %s", err, problem.StoreFull)
	}
	// What needs no store goes on, and acknowledgements free room.
	ada.send("<message type='headline' to='bob@example.com' id='4'/>")
	if got := ids(bob.take()); !slices.Equal(got, []string{"4"}) {
		t.Errorf("bob got %v; want 4", got)
	}
	w.pending("bob", 0)
	if ada.confirms() != ada.seq || ada.end() != "" {
		t.Errorf("confirmed %d of %d, ended with %q", ada.confirms(), ada.seq, ada.end())
	}
	f.set(nil, nil)
	ada.send("<message to='bob@example.com' id='5'/>")
	if got := ids(bob.take()); !slices.Equal(got, []string{"5"}) {
		t.Errorf("bob got %v; want 5", got)
	}
}

// Where the outcome is not known the router asks again until it is: nobody is
// told anything meanwhile, and nothing is done twice.
func TestOutcomeUnknown(t *testing.T) {
	for _, err := range []error{store.ErrOutcome, store.ErrClosed} {
		t.Run(err.Error(), func(t *testing.T) {
			w, f := newFaulty(t, "ada", "bob")
			ada, bob := w.online("ada", "a", 0), w.online("bob", "b", 0)
			ada.send("<presence/>")
			ada.take()
			f.set(nil, err)
			ada.send("<message to='bob@example.com' id='1'/>")
			ada.send("<message to='bob@example.com' id='2'/>")
			f.waitApplies(3)
			ada.mu.Lock()
			if ada.confirmed >= ada.seq-1 || ada.ended != "" || len(ada.got) > 0 {
				t.Errorf("confirmed %d of %d, ended with %q, got %v although it is not known", ada.confirmed, ada.seq, ada.ended, ada.got)
			}
			ada.mu.Unlock()
			// A full disk is no answer now.
			f.set(problem.New(problem.StoreFull), nil)
			f.waitApplies(2)
			f.set(nil, nil)
			if got := ids(bob.take()); !slices.Equal(got, []string{"1", "2"}) {
				t.Errorf("bob got %v; want 1, 2", got)
			}
			if ada.confirms() != ada.seq || ada.end() != "" {
				t.Errorf("confirmed %d of %d, ended with %q", ada.confirms(), ada.seq, ada.end())
			}
			ada.expect()
			w.pending("bob", 0)
		})
	}
}

func (f *faulty) waitApplies(n int) {
	f.mu.Lock()
	f.applies = 0
	f.mu.Unlock()
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		got := f.applies
		f.mu.Unlock()
		if got >= n {
			return
		}
	}
}

// The leadership ends before the store has answered: nothing is confirmed,
// refused or ended.
func TestLeadershipLost(t *testing.T) {
	w, f := newFaulty(t, "ada", "bob")
	r := New(Config{Domain: domain}, Deps{Store: f, Log: discard})
	r.Settled()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	w.r = r
	ada, bob := w.online("ada", "a", 0), w.online("bob", "b", 0)
	before := ada.confirms()
	f.set(problem.New(problem.NoLeader), nil)
	ada.send("<message to='bob@example.com' id='1'/>")
	f.waitApplies(2)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if ada.confirmed != before || ada.ended != "" || len(ada.got) > 0 || len(bob.got) > 0 {
		t.Errorf("confirmed %d (%d before), ended with %q, got %v, %v", ada.confirmed, before, ada.ended, ada.got, bob.got)
	}
	if _, err := r.Connected(context.Background()); !errors.Is(err, ErrStopped) {
		t.Errorf("Connected = %v; want %v", err, ErrStopped)
	}
}

// Acknowledgements that the store refused are tried again, and meanwhile the
// messages are not given to others.
func TestRefusedAcknowledgements(t *testing.T) {
	w, f := newFaulty(t, "ada", "bob")
	ada, bob := w.connect("ada", "a"), w.online("bob", "b", 0)
	ada.send("<message to='bob@example.com' id='1'/>")
	w.sync()
	f.mu.Lock()
	f.Store, f.applies = brokenStore(t), 0
	f.mu.Unlock()
	if got := ids(bob.take()); !slices.Equal(got, []string{"1"}) {
		t.Fatalf("bob got %v; want 1", got)
	}
	for tries := 0; tries == 0; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		tries = f.applies
		f.mu.Unlock()
	}
	f.mu.Lock()
	f.Store = w.store
	f.mu.Unlock()
	w.sync()
	bob.close()
	again := w.connect("bob", "b")
	again.send("<presence/>")
	if got := strings.Join(again.take(), ""); strings.Contains(got, "<message") {
		t.Errorf("later session got %s; it was acknowledged", got)
	}
	w.pending("bob", 0)
}

// brokenStore is one that was closed.
func brokenStore(t *testing.T) *store.Store {
	s := store.New(store.Config{Dir: t.TempDir(), NoSync: true}, store.Deps{Log: discard})
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}
